"""How a connection reaches its source: proxy, authorities, client certificate, timeout."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connectors.kit.base import ConnectorSettings
from connectors.kit.http.transport import Transport, tls_context

TIMEOUT = 300.0  # seconds


class ClientCert(BaseModel):
    """Name a client certificate and its key, in PEM form; without `key` one file holds both."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cert: Path
    key: Path | None = None


class NetworkSettings(ConnectorSettings):
    """Hold what every HTTP connection may set of the network.

    `proxy` may hold a user and a password. `ca_file` replaces the usual authorities. `timeout` is
    how many seconds one request may take on the network, its repetitions included.
    """

    proxy: SecretStr | None = None
    ca_file: Path | None = None
    client_cert: ClientCert | None = None
    timeout: float = Field(TIMEOUT, gt=0, le=3600)

    @field_validator("client_cert", mode="before")
    @classmethod
    def _one_file(cls, value: object) -> object:
        return {"cert": value} if isinstance(value, str | Path) else value

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not _is_address(proxy.get_secret_value()):
            raise ValueError("must be http://[user:password@]host:port, or the same with https")
        return proxy

    @model_validator(mode="after")
    def _can_be_read(self) -> "NetworkSettings":
        for name, path in self._files():
            if not path.is_file():
                raise ValueError(f"{name}: no such file: {path}")
        _refuse(self._authorities(), None, "ca_file: no certificates in PEM form")
        _refuse(self._authorities(), self._pair(), "client_cert: the key does not fit, or has a password")
        return self

    def transport(self, pool: int) -> Transport:
        """Open a transport that keeps as many sockets."""
        proxy = self.proxy.get_secret_value() if self.proxy else None
        return Transport(pool, proxy, self._authorities(), self._pair())

    def _files(self) -> list[tuple[str, Path]]:
        cert = self.client_cert
        named = {"ca_file": self.ca_file, "client_cert": cert and cert.cert, "client_cert.key": cert and cert.key}
        return [(name, path) for name, path in named.items() if path]

    def _authorities(self) -> str | None:
        return str(self.ca_file) if self.ca_file else None

    def _pair(self) -> tuple[str, str] | None:
        cert = self.client_cert
        return (str(cert.cert), str(cert.key or cert.cert)) if cert else None


def _refuse(ca_file: str | None, pair: tuple[str, str] | None, reason: str) -> None:
    """Raise ValueError with the reason where the files cannot be used."""
    try:
        if ca_file or pair:
            tls_context(ca_file, pair)
    except OSError:
        raise ValueError(reason) from None


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for a port that is none
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_bare
