"""The base of every connector that speaks HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime

from requests.auth import AuthBase

from connectors.kit.base import Connector, ConnectorSettings
from connectors.kit.budget import Limit
from connectors.kit.errors import ReplyError
from connectors.kit.http import Http
from connectors.kit.page import Page
from connectors.kit.stream import Checkpoint, Stream


class HttpSettings(ConnectorSettings):
    """Hold what every HTTP connection may set."""

    base_url: str


class HttpConnector(Connector):
    """Own one session; tell the source's clock by its Date header."""

    settings: HttpSettings

    def __init__(self, name: str, settings: ConnectorSettings, http: Http | None = None) -> None:
        super().__init__(name, settings)
        self.http = http or Http(name, self.settings.base_url, auth=self.auth(), limits=self.limits())

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
    ) -> Page:
        """Make a page of unparsed records, stamped with the source's clock."""
        return Page(stream, records, self.now(), checkpoint, total, deleted)

    def close(self) -> None:
        self.http.close()
