"""Clauses about what pages hold: nothing is dropped, whatever a record is, and nothing is changed at the source."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from connectors.kit.http.client import Http
from connectors.kit.raw_rows import raw_schema
from connectors.kit.stream import Stream
from connectors.kit.testing.clock import TIME
from connectors.kit.testing.harness import Spoil, Way, is_http, keys, pages, rows, stream_of
from connectors.kit.testing.http_server import StubRequest, StubResponse
from connectors.kit.testing.samples import keys_of, listed
from connectors.kit.testing.stub_system import Stand, levelled

NO_RECORDS = (b"5", b'"text"', b"null", b"[]", b"{}")


class RecordHandlingTests(Stand):
    """What the source sends lands, and the source stays as it was."""

    def test_pages_have_the_common_columns_and_the_clock_of_the_source(self, read: Way) -> None:
        with self.bench() as bench:
            pages = bench.read(read)
        for page in pages:
            assert page.stream.name == read.stream, f"{read}: a page of {page.stream.name!r}"
            same = page.records.schema.equals(raw_schema(page.stream))
            assert same, f"{read}: the records of a page have not the columns of raw_schema"
            off = abs((page.extracted_at - TIME.date()).total_seconds()) if is_http(self.connector) else 0
            assert off < 3600, f"{read}: a page is stamped {off:.0f} s off the source's clock"
        cursor = self.stream(read).cursor
        stamps = [at for page in pages for at in page.records.column("_cursor").to_pylist()]
        assert not cursor or any(stamps), f"{read}: no record has a readable cursor at {cursor!r}"

    def test_tombstones_are_marked_as_such(self, deletes: Way) -> None:
        with self.bench() as bench:
            self.undisturbed(bench, deletes)
            pages = bench.read(deletes)
        marks = [mark for page in pages for mark in page.records.column("_deleted").to_pylist()]
        assert all(marks), f"{deletes}: {marks.count(False)} deleted records are no tombstones"

    def test_broken_records_land_without_a_key(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, read)
            for broken in NO_RECORDS:
                broken_keys: list[str] = []
                with bench.spoilt(self._rewritten(read, _broken(self.stream(read), broken, broken_keys))):
                    got = keys(bench.read(read))
                what = f"{read}: with {broken.decode()} in place of a record"
                expected = self.keys(self.stream(read))
                self.is_all([key for key in got if key], [key for key in expected if key not in broken_keys], what)
                assert got.count(None) == len(broken_keys), f"{what}: it did not land, so nobody can name it"

    def test_an_honest_empty_answer_is_an_end_without_records(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, read)
            stream = self.stream(read)
            last = [response for request, response in bench.server.log if self.is_page(stream, request, response)][-1]
            empty = _edited(last, lambda body: listed(body, stream).clear())
            with bench.spoilt(lambda request, response: empty if self.is_page(stream, request, response) else response):
                pages = bench.read(read)
        assert rows(pages) == [], f"{read}: records from an empty answer"
        assert pages, f"{read}: no page from an empty answer, so that nobody knows that the slice ended"
        assert pages[-1].checkpoint is None, f"{read}: no end after an empty answer, but {pages[-1].checkpoint}"

    def test_equal_timestamps_are_all_read_once(self, read: Way) -> None:
        stream = self.stream(read)
        if not stream.cursor:
            pytest.skip(f"{read} has no cursor")
        with self.bench(http=True) as bench:
            if not self.level(stream):
                bench.spoil = self._rewritten(read, lambda body: levelled(listed(body, stream), stream))
            self.is_all(keys(bench.read(read)), self.keys(stream), f"{read}: with one timestamp for all")

    def test_reading_changes_nothing_at_the_source(self, way: Way) -> None:
        with self.bench(http=True) as bench, bench.opened() as connector:
            writing = _watched(vars(connector)["http"])
            connector.check()
            connector.discover()
            if way.kind == "keys":
                list(connector.keys(stream_of(connector, way)))  # type: ignore[attr-defined]
            else:
                list(pages(connector, way))
            changing = {request.method for request, _ in bench.server.log} - {"GET", "POST", "HEAD"}
        assert not changing, f"{way}: reading sends {', '.join(sorted(changing))}"
        assert not writing, f"{way}: reading asks with writes=True: {', '.join(writing)}"

    def _rewritten(self, way: Way, edit: Callable[[Any], Any]) -> Spoil:
        """Edit the pages of a stream and leave all other answers as they are."""
        stream = self.stream(way)

        def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
            return _edited(response, edit) if self.is_page(stream, request, response) else response

        return spoil


def _edited(response: StubResponse, edit: Callable[[Any], Any]) -> StubResponse:
    body = msgspec.json.decode(response.raw)
    edit(body)
    return StubResponse(body, response.status, response.headers)


def _broken(stream: Stream, broken: bytes, broken_keys: list[str]) -> Callable[[Any], None]:
    """Put something in place of each page's first record; one that stands alone stays."""

    def edit(body: Any) -> None:
        pages = listed(body, stream)
        if len(pages) > 1:
            broken_keys.extend(keys_of(pages[:1], stream))
            pages[0] = msgspec.json.decode(broken)

    return edit


def _watched(http: Http) -> list[str]:
    """Note every request that says of itself that it changes something."""
    writing: list[str] = []

    def watch(name: str) -> None:
        send = getattr(http, name)

        def watched(path: str, **options: Any) -> Any:
            if options.get("writes"):
                writing.append(f"{name} {path}")
            return send(path, **options)

        setattr(http, name, watched)

    for name in ("post", "put", "patch", "delete"):
        watch(name)
    return writing
