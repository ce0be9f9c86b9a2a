"""The base of every connector that uses HTTP."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, model_validator
from requests.auth import AuthBase

from connectors.kit.base import Connector, ConnectorSettings, Writing
from connectors.kit.errors import ReplyError
from connectors.kit.http.client import POOL, Http
from connectors.kit.http.network import NetworkSettings
from connectors.kit.rate_limit.limiter import Limit, RateHeader
from connectors.kit.raw_rows import Page
from connectors.kit.repair import Repairs
from connectors.kit.stream import Checkpoint, Stream


class HttpSettings(NetworkSettings):
    """Settings of every HTTP connection; `concurrency` limits the requests that run at once.

    An http:// address is accepted for this machine only, unless `allow_http` is true.
    """

    base_url: str
    allow_http: bool = False
    concurrency: int | None = Field(None, ge=1)

    def addresses(self) -> Mapping[str, str]:
        """Return the addresses that must be encrypted, by the name of their setting."""
        return {"base_url": self.base_url}

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        for setting, url in self.addresses().items():
            if not self.allow_http and (host := plain_host(url)):
                raise ValueError(
                    f"{setting} is an http:// address: secrets and records would go to {host} unencrypted; "
                    "use https://, or allow it with allow_http: true"
                )
        return self


class HttpConnector(Connector):
    """Base of HTTP connectors: opens one client and reads the source's clock from its Date header.

    `rate_headers` names the response headers with the vendor's remaining requests.
    """

    settings: HttpSettings
    rate_headers: tuple[RateHeader, ...] = ()
    writing: Writing = Writing()

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings)
        self.http = http or Http(
            name,
            self.settings.base_url,
            auth=self.auth(),
            limits=self.limits(),
            rates=self.rate_headers,
            places=self.settings.concurrency,
            transport=self.settings.transport(max(POOL, self.writing.parallel)),
            timeout=self.settings.timeout,
        )

    def auth(self) -> AuthBase | None:
        """Return how requests are authenticated; None sends no secret."""
        return None

    def limits(self) -> Sequence[Limit]:
        """Return the rate limits of this account."""
        return ()

    def now(self) -> datetime:
        """Return the source's clock as of its last response; sends a request if there was none.

        Raises ReplyError if the source sends no Date header.
        """
        if not self.http.answered:  # not `date is None`: `check` calls now() itself and would recurse
            self.check()
        if self.http.date is None:
            raise ReplyError(f"{self.name}: the source sends no Date header, so its clock cannot be read")
        return self.http.date.astimezone(UTC)

    def page(
        self,
        stream: Stream,
        records: Sequence[bytes],
        checkpoint: Checkpoint | None,
        total: int | None = None,
        *,
        deleted: bool = False,
        repairs: Repairs | None = None,
    ) -> Page:
        """Return a page of unparsed records with the source's clock as the time of extraction."""
        return Page(stream, records, self.now(), checkpoint, total, deleted, repairs=repairs or Repairs())

    def share_rate_limit(self, folder: Path) -> None:
        """Count requests in a file of the folder; connections with the same secrets are one account."""
        account = (type(self).__name__, self.settings.base_url.rstrip("/"), *sorted(_identity(self.settings)))
        self.http.share_rate_limit(folder, sha256("\0".join(account).encode()).hexdigest()[:32])

    def close(self) -> None:
        self.http.close()


def plain_host(url: str) -> str | None:
    """Return the host that an address reaches without encryption; None for https and this machine."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # the client refuses the address when the connection is opened
        return None
    host = parts.hostname
    if parts.scheme != "http" or not host or host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host


def _identity(value: Any, name: str = "") -> Iterator[str]:
    """Yield the settings that distinguish one account from another: secrets and the database."""
    if isinstance(value, SecretStr):
        yield f"{name}={value.get_secret_value()}"
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            if field != "proxy":
                yield from _identity(getattr(value, field), field)
    elif isinstance(value, Mapping):
        for field, inner in value.items():
            yield from _identity(inner, str(field))
    elif name == "database":
        yield f"{name}={value}"
