"""Clauses about a source that moves while it is read: pages that come again, records that move and vanish."""

from collections import Counter, defaultdict
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from connectors.kit.errors import ReplyError
from connectors.kit.stream import Stream
from connectors.kit.testing.harness import Spoil, Way, keys, pages
from connectors.kit.testing.http_server import StubRequest, StubResponse
from connectors.kit.testing.stub_system import Stand


class ConcurrentChangeTests(Stand):
    """No record that is there throughout is lost, and no page is asked for without end."""

    def test_a_page_that_comes_twice_loses_nothing(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            self.paged(bench, read)
            expected = self.keys(self.stream(read))
            with bench.spoilt(self._again(read, times=1)):
                try:
                    got = keys(bench.read(read))
                except ReplyError:  # nothing is lost where it is told
                    return
            lost = sorted(set(expected) - set(got))
            assert not lost, f"{read}: a page came twice, and records are lost: {lost[:5]}"

    def test_paging_that_makes_no_progress_is_an_error(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            self.paged(bench, read)
            with bench.spoilt(self._again(read, times=bench.server.most)):
                error = bench.stopped(read, "the first page came again and again")
            assert isinstance(error, ReplyError), f"{read}: paging without progress is {error!r}, no ReplyError"

    def test_paging_that_goes_round_is_an_error(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            self.undisturbed(bench, read)
            asked_of = Counter(
                _address(request) for request, response in bench.server.log if self._is_page(read, request, response)
            )
            if max(asked_of.values()) < 3:
                pytest.skip(f"{read} has less than three pages in this stand-in")
            with bench.spoilt(self._round(read)):
                error = bench.stopped(read, "two pages led to each other")
            assert isinstance(error, ReplyError), f"{read}: paging that goes round is {error!r}, no ReplyError"

    def test_a_record_that_vanishes_while_paging_hides_no_other(self, read: Way) -> None:
        self._moves(read, self.vanish, lambda first, rest: first[0], "a record that had been read vanished")

    def test_a_record_that_moves_while_paging_is_not_lost(self, read: Way) -> None:
        self._moves(read, self.touch, lambda first, rest: rest[-1], "a record was edited before it was read")
        self.setup_method()
        self._moves(read, self.touch, lambda first, rest: first[0], "a record was edited after it was read")

    def _moves(
        self,
        way: Way,
        move: Callable[[Stream, str], bool],
        choose: Callable[[list[str], list[str]], str],
        what: str,
    ) -> None:
        """Read a page, let a record move, and read on: those that are there throughout must all have come."""
        stream = self.stream(way)
        with self.bench(http=True) as bench:
            self.paged(bench, way)
            with bench.opened() as connector:
                reading = pages(connector, way)
                first = [key for key in keys([next(reading)]) if key]
                rest = [key for key in self.keys(stream) if key not in first]
                if not rest:
                    pytest.skip(f"{way} has one page in this stand-in")
                chosen = choose(first, rest)
                if not move(stream, chosen):
                    pytest.skip(f"{self.connector.__name__}: sample pages cannot move; give `records`, or override")
                got = {*first, *keys(list(reading))}
        lost = sorted({*self.keys(stream)} - got)
        assert not lost, f"{way}: {what}, and others are lost: {lost[:5]}"

    def _again(self, way: Way, times: int) -> Spoil:
        """Answer the first page again, so many times, to whoever asks for another."""
        stream, first_pages, remaining = self.stream(way), dict[str, StubResponse](), times
        asked_first = ""

        def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
            nonlocal remaining, asked_first
            if not self.is_page(stream, request, response):
                return response
            asked_first = asked_first or _spelt(request)
            first = first_pages.setdefault("first", response)
            if remaining and _spelt(request) != asked_first:
                remaining -= 1
                return first
            return response

        return spoil

    def _round(self, way: Way) -> Spoil:
        """Answer the first two pages of each address in turn, whatever is asked for."""
        first = defaultdict[str, list[StubResponse]](list)

        def spoil(request: StubRequest, response: StubResponse) -> StubResponse:
            if not self._is_page(way, request, response):
                return response
            earlier = first[_address(request)]
            earlier.append(response if len(earlier) < 2 else earlier[-2])
            return earlier[-1]

        return spoil

    def _is_page(self, way: Way, request: StubRequest, response: StubResponse) -> bool:
        return self.is_page(self.stream(way), request, response)


def _address(request: StubRequest) -> str:
    return f"{request.method} {urlsplit(request.url).path}"


def _spelt(request: StubRequest) -> str:
    return f"{request.method} {request.url} {request.headers.get('Range')} {request.body!r}"
