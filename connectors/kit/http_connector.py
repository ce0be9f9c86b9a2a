"""The base of every connector that speaks HTTP."""

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
    """Hold what every HTTP connection may set; `concurrency` is how many requests may be under way at once.

    Secrets and records go over https only, but for this machine itself; `allow_http` lets them go
    unencrypted.
    """

    base_url: str
    allow_http: bool = False
    concurrency: int | None = Field(None, ge=1)

    def addresses(self) -> Mapping[str, str]:
        """Map the settings that hold addresses to these."""
        return {"base_url": self.base_url}

    @model_validator(mode="after")
    def _encrypted(self) -> Self:
        for setting, url in self.addresses().items():
            if not self.allow_http and (host := plain_host(url)):
                raise ValueError(
                    f"{setting} is an http:// address: secrets and records would go to {host} unencrypted; "
                    "write https://, or insist on it with allow_http: true"
                )
        return self


class HttpConnector(Connector):
    """Own one session; tell the source's clock by its Date header.

    `rate_headers` name the headers by which the vendor tells what is left of a limit.
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
        """Say how this connection proves who it is."""
        return None

    def limits(self) -> Sequence[Limit]:
        """Say how often this account may be asked."""
        return ()

    def now(self) -> datetime:
        """Tell the source's clock as of its last answer; asks once when there was none."""
        if not self.http.answered:  # `check` asks for the clock too, so that one answer without it must do
            self.check()
        if self.http.date is None:
            raise ReplyError(f"{self.name}: the source sends no Date header, so its clock is not known")
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
        """Make a page of unparsed records, stamped with the source's clock; `repairs` count what was replaced in them."""
        return Page(stream, records, self.now(), checkpoint, total, deleted, repairs=repairs or Repairs())

    def share(self, folder: Path) -> None:
        """Keep the account's budget in a folder; connections with the same secrets are one account."""
        account_key = (type(self).__name__, self.settings.base_url.rstrip("/"), *sorted(_identity(self.settings)))
        self.http.share(folder, sha256("\0".join(account_key).encode()).hexdigest()[:32])

    def close(self) -> None:
        self.http.close()


def plain_host(url: str) -> str | None:
    """Return the host that an address reaches without encryption; None where it is this machine."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:  # refused where the connection is opened
        return None
    host = parts.hostname
    if parts.scheme != "http" or not host or host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host


def _identity(value: Any, name: str = "") -> Iterator[str]:
    """Give what tells one account from another: secrets, and the database."""
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
