"""The bench on which a connector is tried: the stand-in's server, a fault, and a fresh connector for every try."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from unittest.mock import patch

from connectors.kit.base import Change, Connector, Outcome
from connectors.kit.errors import ConnectorError
from connectors.kit.http.client import Http
from connectors.kit.http.request import Call
from connectors.kit.http.response import Reply
from connectors.kit.http.transport import Deadline
from connectors.kit.http_connector import HttpConnector
from connectors.kit.raw_rows import Page
from connectors.kit.settings import load
from connectors.kit.stream import Checkpoint, Slice, Stream
from connectors.kit.testing.clock import TIME
from connectors.kit.testing.fault_injection import MAX_BODY, Fault
from connectors.kit.testing.http_server import Server, StubRequest, StubResponse
from connectors.kit.testing.write_cases import Trial

NAME = "contract"
PAGES = 500
_OPEN, _EXCHANGE = Http.__init__, Http._exchange
SINCE = Slice(datetime(2001, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC))
Spoil = Callable[[StubRequest, StubResponse], StubResponse]


@dataclass(frozen=True)
class Way:
    """One way of asking for a stream: whole, since a time, its keys, its deletions."""

    stream: str
    kind: Literal["whole", "since", "keys", "deletes"] = "whole"

    def __str__(self) -> str:
        return self.stream if self.kind == "whole" else f"{self.stream} {self.kind}"


class Bench:
    """Open connectors upon a stand-in, in its own time, and let something go wrong."""

    def __init__(self, kind: type[Connector], settings: dict[str, Any], secrets: set[str], server: Server) -> None:
        self.kind, self.settings, self.secrets, self.server = kind, settings, secrets, server
        self.spoil: Spoil = _honest

    @contextmanager
    def spoilt(self, spoil: Fault | Spoil) -> Iterator[None]:
        """Let something go wrong for as long as a block runs."""
        self.spoil = spoil.response_to if isinstance(spoil, Fault) else spoil
        try:
            yield
        finally:
            self.spoil = _honest

    @contextmanager
    def opened(self, **settings: Any) -> Iterator[Connector]:
        """Open a fresh connector, as a new process would, and see that it asks neither for ever nor in vain."""
        self.server.forget()
        in_time = patch("connectors.kit.http.transport.monotonic", TIME.look)
        with in_time, patch.object(Http, "__init__", _timed), patch.object(Http, "_exchange", self._noted()):
            connector = self.kind(NAME, load(self.kind, NAME, self.settings | settings))
            try:
                yield connector
            finally:
                connector.close()
                self._look_at_the_server()

    def write(self, trial: Trial, changes: Sequence[Change]) -> list[Outcome]:
        """Write changes through a fresh connector."""
        with self.opened() as connector:
            streams = {stream.name: stream for stream in (*connector.targets, *connector.streams)}
            outcomes: list[Outcome] = connector.write(streams[trial.written.stream], changes)  # type: ignore[attr-defined]
            return outcomes

    def _noted(self) -> Callable[[Http, Call, Deadline], Reply]:
        """Let the server know which requests the connector calls writes."""

        def noted(http: Http, call: Call, deadline: Deadline) -> Reply:
            before, self.server.is_written = self.server.is_written, call.writes
            try:
                return _EXCHANGE(http, call, deadline)
            finally:  # a token may have been fetched on the way
                self.server.is_written = before

        return noted

    def _look_at_the_server(self) -> None:
        if self.server.problem:
            raise self.server.problem
        assert not self.server.is_tired, f"asked more than {self.server.most} times: there is no end to it"

    def taken(self, way: Way, checkpoint: Checkpoint | None = None) -> list[Any]:
        """Read all that one way gives: unparsed records, or keys."""
        with self.opened() as connector:
            if way.kind == "keys":
                return [key for chunk in connector.keys(stream_of(connector, way)) for key in chunk]  # type: ignore[attr-defined]
            return rows(pages(connector, way, checkpoint))

    def read(self, way: Way, checkpoint: Checkpoint | None = None) -> list[Page]:
        """Read the pages that one way gives."""
        with self.opened() as connector:
            return list(pages(connector, way, checkpoint))

    def landed(self, way: Way) -> list[Page]:
        """Read the pages that one way gives before something breaks it off."""
        landed: list[Page] = []
        with self.opened() as connector, suppress(ConnectorError):
            landed.extend(pages(connector, way))
        return landed

    def stopped(self, way: Way, what: str) -> ConnectorError:
        """Read, and give the error that stopped it; fails where it ended as if all were well."""
        return self.raised(lambda: self.taken(way), f"{way}: {what}")

    def raised(self, do: Callable[[], Any], what: str) -> ConnectorError:
        """Do something that must raise a ConnectorError which shows no secret."""
        try:
            done = do()
        except ConnectorError as error:
            self.keeps_quiet(f"{error!r} {error}", what)
            return error
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{what}: raised {error!r}, which is no ConnectorError") from error
        result = f"{len(done)} records" if isinstance(done, list) else repr(done)
        raise AssertionError(f"{what}: ended as if all were well, with {result}")

    def keeps_quiet(self, text: str, what: str) -> None:
        """See that a text shows no secret."""
        assert not any(secret in text for secret in self.secrets), f"{what}: shows a secret"


def pages(connector: Connector, way: Way, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
    """Yield the pages that one way gives; fails where they do not end."""
    for number, page in enumerate(_pages_of(connector, way, checkpoint)):
        assert number < PAGES, f"{way}: yields more than {PAGES} pages: there is no end to it"
        yield page


def _pages_of(connector: Connector, way: Way, checkpoint: Checkpoint | None) -> Iterator[Page]:
    stream = stream_of(connector, way)
    if way.kind == "deletes":
        return connector.deletes(stream, Slice())  # type: ignore[attr-defined, no-any-return]
    return connector.read(stream, slice_of(way), checkpoint)


def slice_of(way: Way) -> Slice:
    return SINCE if way.kind == "since" else Slice()


def rows(pages: Iterator[Page] | list[Page]) -> list[bytes]:
    """List the unparsed records of pages."""
    return [bytes(row) for page in pages for row in page.rows]


def keys(pages: list[Page]) -> list[str | None]:
    """List the keys of pages' records."""
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def stream_of(connector: Connector, way: Way) -> Stream:
    return next(stream for stream in connector.streams if stream.name == way.stream)


def is_http(kind: type[Connector]) -> bool:
    return issubclass(kind, HttpConnector)


def _honest(request: StubRequest, response: StubResponse) -> StubResponse:
    return response


def _timed(http: Http, *args: Any, **options: Any) -> None:
    """Open every session of the kit in the stand-in's time, and with limits that a test can reach."""
    forced = {"sleep": TIME.wait, "clock": TIME.look, "attempts": 4, "timeout": 300, "max_body": MAX_BODY}
    _OPEN(http, *args, **options | forced)
