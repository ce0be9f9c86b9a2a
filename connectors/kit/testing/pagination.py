"""Clauses about pages: everything is read once, and a reader that crashed goes on where it was."""

import json
from collections import Counter
from typing import Any

import pytest

from connectors.kit.stream import Checkpoint
from connectors.kit.testing.fault_injection import BROKEN, places
from connectors.kit.testing.harness import Way, keys, rows, slice_of, stream_of
from connectors.kit.testing.stub_system import Stand

SMALL = 4096
DOWN = next(fault for fault in BROKEN if fault.name == "503")


class PaginationTests(Stand):
    """Everything is read once, from any page on."""

    def test_reads_everything_once(self, read: Way) -> None:
        with self.bench() as bench:
            self.undisturbed(bench, read)
            pages, expected = bench.read(read), self.keys(self.stream(read))
        self.is_all([key for key in keys(pages) if key is not None], expected, f"{read}")
        total = pages[0].total
        assert total in (None, len(expected)), f"{read}: the source counts {total} records, there are {len(expected)}"

    def test_pages_say_where_to_go_on_and_the_last_one_that_it_is_the_last(self, read: Way) -> None:
        with self.bench() as bench:
            checkpoints = [page.checkpoint for page in bench.read(read)]
        assert checkpoints, f"{read}: no page at all; an empty stream is one empty page"
        assert checkpoints[-1] is None, f"{read}: the last page does not say that it is the last, but {checkpoints[-1]}"
        for number, checkpoint in enumerate(checkpoints[:-1]):
            assert checkpoint, f"{read}: page {number} ends the slice, but {len(checkpoints) - number - 1} more follow"
            assert _survives(checkpoint), f"{read}: the checkpoint {checkpoint!r} does not survive JSON"
            assert len(json.dumps(checkpoint)) <= SMALL, f"{read}: a checkpoint of more than {SMALL} bytes"

    def test_goes_on_after_any_page(self, read: Way) -> None:
        with self.bench() as bench:
            whole = bench.read(read)
            for number in places(len(whole) - 1, 8):
                checkpoint = json.loads(json.dumps(whole[number].checkpoint, default=str))
                due = rows(whole[number + 1 :])
                self._fits(bench.taken(read, checkpoint), due, f"{read}: gone on after page {number}")

    def test_a_crash_at_any_request_loses_nothing_and_no_landed_page_is_read_again(self, read: Way) -> None:
        with self.bench(http=True) as bench:
            whole = self.undisturbed(bench, read)
            for number in places(bench.server.count, 8):
                with bench.spoilt(DOWN.since(number)):
                    landed = bench.landed(read)
                if landed and landed[-1].checkpoint is None:
                    continue
                rest = bench.taken(read, landed[-1].checkpoint if landed else None)
                self._fits(rest, whole[len(rows(landed)) :], f"{read}: crashed at request {number} and gone on")

    def test_a_sweep_lists_every_key_once(self, sweep: Way) -> None:
        with self.bench() as bench:
            self.is_all(self.undisturbed(bench, sweep), self.keys(self.stream(sweep)), f"{sweep}")

    def test_counts_what_it_reads(self, read: Way) -> None:
        if not hasattr(self.connector, "count"):
            pytest.skip(f"{self.connector.__name__} does not count")
        with self.bench() as bench, bench.opened() as connector:
            total = connector.count(stream_of(connector, read), slice_of(read))  # type: ignore[attr-defined]
        if total is None:
            pytest.skip(f"{self.connector.__name__} does not count {read}")
        expected = len(self.keys(self.stream(read)))
        assert total == expected, f"{read}: counts {total} records, there are {expected}"

    def _fits(self, rest: list[Any], due: list[Any], what: str) -> None:
        lost = Counter(due) - Counter(rest)
        assert not lost, f"{what}: {lost.total()} records are lost"
        again = Counter(rest) - Counter(due)
        assert not (self.is_page_exact and again), f"{what}: {again.total()} records are read again"


def _survives(checkpoint: Checkpoint) -> bool:
    try:
        return bool(json.loads(json.dumps(checkpoint)) == checkpoint)
    except (TypeError, ValueError):
        return False
