"""How a contract stands in for a system: by sample pages, by records, or by a function of its own."""

from base64 import b64decode
from binascii import Error
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property, wraps
from typing import Any, ClassVar

import msgspec
import pytest
from pydantic import BaseModel, SecretStr

from connectors.kit.base import Connector
from connectors.kit.errors import ConnectorError, choices
from connectors.kit.json_path import at
from connectors.kit.settings import load
from connectors.kit.stream import Stream
from connectors.kit.testing.harness import Bench, Way, is_http
from connectors.kit.testing.http_server import Server, StubRequest, StubResponse
from connectors.kit.testing.samples import Sample, fitting, keys_of, listed
from connectors.kit.testing.write_cases import Written, trials

WRONG = "wr0ng-s3cret"
ASKED = {  # an argument of a clause, and in which ways it asks for a stream
    "way": ("whole", "since", "keys", "deletes"),
    "read": ("whole", "since"),
    "sweep": ("keys",),
    "deletes": ("deletes",),
}


class Stand:
    """Say what is tried and how the system behind it answers; a subclass sets and overrides what it must."""

    connector: ClassVar[type[Connector]]
    settings: ClassVar[Mapping[str, Any]] = {}
    samples: ClassVar[Sequence[Sample]] = ()
    records: ClassVar[Mapping[str, Sequence[Mapping[str, Any]]]] = {}
    written: ClassVar[Sequence[Written] | None] = None
    is_page_exact: ClassVar[bool] = True
    waived: ClassVar[Mapping[str, str]] = {}
    rows_by_stream: dict[str, list[dict[str, Any]]]

    def __init_subclass__(cls) -> None:
        """Mark the clauses that a system cannot keep, and why: one that is kept after all fails then."""
        super().__init_subclass__()
        for clause, reason in cls.__dict__.get("waived", {}).items():
            if not hasattr(cls, clause):
                raise TypeError(f"{cls.__name__}.waived: no clause {clause!r}; {choices(clause, clauses(cls))}")
            setattr(cls, clause, pytest.mark.xfail(reason=reason, strict=True)(_copy(getattr(cls, clause))))

    def setup_method(self) -> None:
        """Set the stand-in up anew, before every clause."""
        self.rows_by_stream = {name: [deepcopy(dict(row)) for row in rows] for name, rows in self.records.items()}

    def answers(self, request: StubRequest) -> StubResponse:
        """Answer a request as the system would: by the sample that fits, unless a subclass knows better."""
        sample = fitting(self.samples, request)
        if sample and sample.told_by:
            return sample.told_by(request)
        return sample.response if sample else StubResponse({"error": f"no sample answers {request}"}, 404)

    def lets_in(self, request: StubRequest) -> bool:
        """Tell whether a request proves who sends it: a secret of the settings must be in it."""
        return not self.secrets or any(secret in text for text in _parts(request) for secret in self.secrets)

    def is_page(self, stream: Stream, request: StubRequest, response: StubResponse) -> bool:
        """Tell whether an answer is a page of a stream's records."""
        if sample := fitting(self.samples, request):
            return sample.stream == stream.name and not sample.deleted
        keys = keys_of(listed(_json(response), stream), stream)
        return bool(keys) and set(keys) <= set(self.keys(stream))

    def keys(self, stream: Stream) -> list[str]:
        """List the keys of all records that the system holds: what a whole read must give, each once."""
        if stream.name in self.rows_by_stream:
            return keys_of(self.rows_by_stream[stream.name], stream)
        mine = [sample for sample in self.samples if sample.stream == stream.name and not sample.deleted]
        return [key for sample in mine for key in keys_of(listed(_json(sample.response), stream), stream)]

    def vanish(self, stream: Stream, key: str) -> bool:
        """Delete a record at the source, between two pages; False where this stand-in cannot."""
        remaining_rows = [row for row in self.rows_by_stream.get(stream.name, ()) if keys_of([row], stream) != [key]]
        return self._replaced(stream, remaining_rows)

    def touch(self, stream: Stream, key: str) -> bool:
        """Edit a record at the source, between two pages: it moves to the front; False where this stand-in cannot."""
        rows = self.rows_by_stream.get(stream.name, [])
        return self._replaced(stream, sorted(rows, key=lambda row: keys_of([row], stream) != [key]))

    def level(self, stream: Stream) -> bool:
        """Give all records one cursor value; False where this stand-in cannot, and the answers are rewritten."""
        rows = self.rows_by_stream.get(stream.name, [])
        return bool(rows) and levelled(rows, stream)

    def is_all(self, got: Sequence[str | None], expected: Sequence[str], what: str) -> None:
        """See that all known records came, each once."""
        due, came = Counter[str | None](expected), Counter(got)
        lost, again = due - came, came - due
        assert not lost, f"{what}: {lost.total()} records are lost: {[*lost][:5]}"
        assert not again, f"{what}: {again.total()} records come more often than they should: {[*again][:5]}"

    @cached_property
    def secrets(self) -> set[str]:
        """Find the secrets among the settings."""
        return set(_secrets(load(self.connector, "contract", self._complete("http://127.0.0.1:1"))))

    @contextmanager
    def bench(self, *, http: bool = False) -> Iterator[Bench]:
        """Set up the bench for one clause; a clause about HTTP is skipped where none is spoken."""
        if http and not is_http(self.connector):
            pytest.skip(f"{self.connector.__name__} speaks no HTTP")
        secrets = self.secrets
        with Server(lambda request: bench.spoil(request, self._honest(request))) as server:
            bench = Bench(self.connector, self._complete(server.url), secrets, server)
            yield bench

    def stream(self, way: Way) -> Stream:
        return next(stream for stream in self._streams() if stream.name == way.stream)

    def undisturbed(self, bench: Bench, way: Way) -> list[Any]:
        """Read with nothing wrong; fails where that is an error already, and says what the samples lack."""
        try:
            taken = bench.taken(way)
        except ConnectorError as error:
            unanswered = [str(request) for request, response in bench.server.log if response.status == 404]
            raise AssertionError(f"{way}: undisturbed, it raised {error!r}; unanswered: {unanswered}") from error
        assert taken or way.kind == "deletes", f"{way}: undisturbed, it gave nothing: the samples prove nothing"
        return taken

    def paged(self, bench: Bench, way: Way) -> list[Any]:
        """Read with nothing wrong; a clause about what happens between pages needs two."""
        taken = self.undisturbed(bench, way)
        pages = [request for request, response in bench.server.log if self.is_page(self.stream(way), request, response)]
        if is_http(self.connector) and len(pages) < 2:
            pytest.skip(f"{way} has one page in this stand-in")
        return taken

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Try each clause on every stream, in every way that the connector offers."""
        for argument, kinds in ASKED.items():
            if argument in metafunc.fixturenames:
                ways = [way for way in self._ways() if way.kind in kinds]
                metafunc.parametrize(argument, ways, ids=str)
        if "trial" in metafunc.fixturenames:
            metafunc.parametrize("trial", trials(self.written or ()), ids=str)

    def _ways(self) -> Iterator[Way]:
        for stream in self._streams():
            yield Way(stream.name)
            if stream.cursor:
                yield Way(stream.name, "since")
            if stream.deletes in ("list", "feed"):
                yield Way(stream.name, "deletes")
            if stream.deletes == "sweep" and hasattr(self.connector, "keys"):
                yield Way(stream.name, "keys")

    def _streams(self) -> tuple[Stream, ...]:
        return self.connector.declared_streams(self.settings)

    def _complete(self, url: str) -> dict[str, Any]:
        return {**self.settings, "base_url": url} if is_http(self.connector) else dict(self.settings)

    def _honest(self, request: StubRequest) -> StubResponse:
        return self.answers(request) if self.lets_in(request) else StubResponse({"error": "who are you?"}, 401)

    def _replaced(self, stream: Stream, rows: list[dict[str, Any]]) -> bool:
        if stream.name not in self.rows_by_stream:
            return False
        self.rows_by_stream[stream.name] = rows
        return True


def clauses(kind: type[Stand]) -> list[str]:
    """Name the clauses of a contract."""
    return [name for name in dir(kind) if name.startswith("test_")]


def levelled(rows: list[Any], stream: Stream) -> bool:
    """Give all records the first one's cursor value."""
    parts = (stream.cursor or "").split(".")
    stamp = at(rows[0], stream.cursor or "")
    for row in rows:
        inner = at(row, ".".join(parts[:-1])) if parts[1:] else row
        if isinstance(inner, dict):
            inner[parts[-1]] = stamp
    return True


def _copy(clause: Callable[..., None]) -> Callable[..., None]:
    """Wrap a clause, so that a mark on it does not mark it for every contract."""

    @wraps(clause)
    def copied(*args: Any, **options: Any) -> None:
        clause(*args, **options)

    return copied


def _json(response: StubResponse) -> Any:
    try:
        return msgspec.json.decode(response.raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _secrets(inner)


def _parts(request: StubRequest) -> Iterator[str]:
    """Give the texts in which a request may hold a secret: as it came, and with Basic unpacked."""
    yield from (request.url, request.body.decode("utf-8", "replace"), *request.headers.values())
    kind, _, packed = request.headers.get("Authorization", "").partition(" ")
    if kind == "Basic":
        try:
            yield b64decode(packed).decode("utf-8", "replace")
        except Error:
            return
