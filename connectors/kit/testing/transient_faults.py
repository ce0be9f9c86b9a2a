"""Clauses about faults that pass: what is read is what would have been read without them."""

from collections.abc import Sequence
from typing import Any

from connectors.kit.errors import AccessError, ConnectorError
from connectors.kit.testing.fault_injection import BROKEN, BUSY, EXPIRED, WAIT, Fault, places
from connectors.kit.testing.harness import Bench, Way
from connectors.kit.testing.stub_system import Stand


class TransientFaultTests(Stand):
    """A fault that passes loses nothing, repeats nothing, and waits as long as it is asked to."""

    def test_a_busy_source_is_asked_again_and_never_too_early(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            whole = self.undisturbed(bench, way)
            for fault in _mixed(BUSY, bench.server.count):
                with bench.spoilt(fault):
                    _same(bench, way, whole, f"{way}: {fault.name}")
                assert not _early(bench), f"{way}: {fault.name}: {_early(bench)} requests before the time asked for"

    def test_a_passing_fault_changes_nothing_of_what_is_read(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            whole = self.undisturbed(bench, way)
            for fault in _mixed(BROKEN, bench.server.count):
                with bench.spoilt(fault):
                    _same(bench, way, whole, f"{way}: {fault.name}")

    def test_an_expired_token_is_fetched_anew_or_told_but_never_an_end(self, way: Way) -> None:
        with self.bench(http=True) as bench:
            whole = self.undisturbed(bench, way)
            for number in places(bench.server.count):
                what = f"{way}: token expired at request {number}"
                with bench.spoilt(EXPIRED.at(number)):
                    try:
                        assert bench.taken(way) == whole, f"{what}: an early end"
                    except AccessError as error:
                        bench.keeps_quiet(str(error), what)
                    except ConnectorError as error:
                        raise AssertionError(f"{what}: no AccessError, but {error!r}") from error
                with bench.spoilt(EXPIRED.since(number)):
                    error_ = bench.stopped(way, f"token refused from request {number} on")
                assert isinstance(error_, AccessError), f"{what}, for good: no AccessError, but {error_!r}"


def _mixed(faults: Sequence[Fault], requests: int) -> list[Fault]:
    """Let each fault strike every second request, and one after the other strike at each place once."""
    once = [faults[index % len(faults)].at(number) for index, number in enumerate(places(requests))]
    return [*(fault.every(2) for fault in faults), *once]


def _same(bench: Bench, way: Way, whole: list[Any], what: str) -> None:
    """Read, and see that nothing is different from what was read without a fault."""
    try:
        taken = bench.taken(way)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what}: raised {error!r}, though it passes") from error
    assert taken == whole, f"{what}: {len(taken)} records, {len(whole)} without it"


def _early(bench: Bench) -> int:
    """Count requests that came before the time that an answer asked to wait for."""
    count, not_before = 0, 0.0
    for request, response in bench.server.log:
        count += request.at < not_before
        if "Retry-After" in response.headers:
            not_before = request.at + WAIT
    return count
