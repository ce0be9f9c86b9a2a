"""What has been read of a stream: intervals, gaps, and the place inside an open slice."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from connectors.kit.stream import Slice
from engine.storage import ledger_tables as t
from engine.storage.ledger import Ledger
from engine.storage.manifest import Written
from engine.storage.stores.generations import Generations
from engine.storage.stores.sync_state import Interval, OpenSlice, Progress, deletes_of, union

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: int | None) -> datetime | None:
    return None if minutes is None else NOON + timedelta(minutes=minutes)


def span(start: int | None, end: int | None) -> Interval:
    return Interval(at(start), at(end))


def file(name: str, rows: int = 3) -> Written:
    return Written("raw/crm/deals", f"raw/crm/deals/{name}.parquet", rows, 100, "0" * 64)


@pytest.mark.parametrize(
    ("spans", "joined"),
    [
        ([], []),
        ([(0, 5), (5, 9)], [(0, 9)]),
        ([(5, 9), (0, 6)], [(0, 9)]),
        ([(0, 5), (6, 9)], [(0, 5), (6, 9)]),
        ([(0, 9), (2, 3)], [(0, 9)]),
        ([(None, 5), (3, 8)], [(None, 8)]),
        ([(0, None), (3, 8)], [(0, None)]),
        ([(0, 5), (None, None)], [(None, None)]),
        ([(0, 5), (0, 5)], [(0, 5)]),
    ],
)
def test_intervals_that_touch_are_joined(
    spans: list[tuple[int | None, int | None]], joined: list[tuple[int | None, int | None]]
):
    assert union([span(*bounds) for bounds in spans]) == [span(*bounds) for bounds in joined]


SPANS = st.lists(
    st.tuples(st.none() | st.integers(0, 20), st.none() | st.integers(0, 20)).filter(
        lambda bounds: bounds[0] is None or bounds[1] is None or bounds[0] < bounds[1]
    ),
    max_size=6,
)


def minutes(spans: list[Interval]) -> set[int]:
    """List the minutes from -1 to 21 that some intervals cover."""
    return {
        minute
        for minute in range(-1, 22)
        for interval in spans
        if (interval.start is None or interval.start <= NOON + timedelta(minutes=minute))
        and (interval.end is None or NOON + timedelta(minutes=minute) < interval.end)
    }


@given(SPANS)
def test_a_union_covers_the_same_instants_and_its_intervals_do_not_touch(spans: list[tuple[int | None, int | None]]):
    intervals = [span(*bounds) for bounds in spans]
    joined = union(intervals)
    assert minutes(joined) == minutes(intervals)
    assert union(joined) == joined
    assert union(intervals[::-1]) == joined
    for earlier, later in zip(joined, joined[1:], strict=False):
        assert earlier.end is not None
        assert later.start is not None
        assert earlier.end < later.start


def test_a_new_stream_has_no_state(ledger: Ledger):
    assert ledger.sync.intervals("crm", "deals") == []
    assert ledger.sync.open_slices("crm", "deals") == []


def test_a_page_lands_with_its_checkpoint(ledger: Ledger):
    slice_ = Slice(None, at(5))
    ledger.sync.land("crm", "deals", [file("a")], Progress(slice_, {"after": "17", "depth": [1, 2]}), "run-1")
    assert ledger.files.for_asset("raw/crm/deals") == [file("a")]
    assert ledger.sync.open_slices("crm", "deals") == [OpenSlice(slice_, {"after": "17", "depth": [1, 2]}, "run-1")]
    assert ledger.sync.intervals("crm", "deals") == []


def test_the_last_page_closes_the_slice(ledger: Ledger):
    ledger.sync.land("crm", "deals", [file("a")], Progress(Slice(None, at(5)), {"after": "17"}), "run-1")
    ledger.sync.land("crm", "deals", [file("b")], Progress(Slice(None, at(5)), None), "run-1")
    assert ledger.sync.open_slices("crm", "deals") == []
    assert ledger.sync.intervals("crm", "deals") == [span(None, 5)]


def test_windows_join_and_a_gap_stays_visible(ledger: Ledger):
    for window in ((0, 5), (8, 9), (5, 6)):
        ledger.sync.land("crm", "deals", [], Progress(Slice(at(window[0]), at(window[1])), None), "run")
    assert ledger.sync.intervals("crm", "deals") == [span(0, 6), span(8, 9)]


def test_streams_and_connections_are_kept_apart(ledger: Ledger):
    ledger.sync.land("crm", "deals", [], Progress(Slice(at(0), at(5)), None), "run")
    ledger.sync.land("erp", "deals", [], Progress(Slice(at(0), at(7)), {"page": 1}), "run")
    assert ledger.sync.intervals("crm", "deals") == [span(0, 5)]
    assert ledger.sync.intervals("crm", "tickets") == []
    assert ledger.sync.intervals("erp", "deals") == []


def test_landing_the_same_file_again_changes_nothing(ledger: Ledger):
    for _ in range(2):
        ledger.sync.land("crm", "deals", [file("a")], Progress(Slice(at(0), at(5)), None), "run")
    assert ledger.files.for_asset("raw/crm/deals") == [file("a")]
    assert ledger.files.rows_since(0) == {"raw/crm/deals": 3}
    assert ledger.sync.intervals("crm", "deals") == [span(0, 5)]


def test_files_and_state_land_both_or_neither(ledger: Ledger):
    broken = {"after": object()}  # JSON cannot hold it
    with pytest.raises(Exception, match="unsupported"):
        ledger.sync.land("crm", "deals", [file("a")], Progress(Slice(at(0), at(5)), broken), "run")
    assert ledger.files.for_asset("raw/crm/deals") == []
    assert ledger.sync.open_slices("crm", "deals") == []


def test_a_reading_without_a_cursor_covers_no_window(ledger: Ledger):
    ledger.sync.land("crm", "deals", [], Progress(Slice(), None), "run")
    assert ledger.sync.intervals("crm", "deals") == [Interval(None, None)]
    ledger.sync.land("crm", "deals", [], Progress(Slice(None, at(5)), None), "run")
    assert ledger.sync.intervals("crm", "deals") == [span(None, 5)]


def test_a_reset_drops_the_state_of_one_stream_and_keeps_its_files(ledger: Ledger):
    for stream in ("deals", deletes_of("deals"), "tickets"):
        ledger.sync.land("crm", stream, [], Progress(Slice(at(0), at(5)), None), "run")
    ledger.sync.land("crm", "deals", [file("a")], Progress(Slice(at(5), at(9)), {"page": 2}), "run")
    ledger.sync.reset("crm", "deals")
    assert ledger.generations.of("crm", "deals") == Generations()
    assert ledger.sync.intervals("crm", "deals") == ledger.sync.intervals("crm", deletes_of("deals")) == []
    assert ledger.sync.open_slices("crm", "deals") == []
    assert ledger.sync.intervals("crm", "tickets") == [span(0, 5)]
    assert ledger.files.for_asset("raw/crm/deals") == [file("a")]


def test_a_full_refresh_of_a_connection_opens_a_generation_of_each_stream_with_a_state(ledger: Ledger):
    for stream in ("deals", deletes_of("deals"), "tickets"):
        ledger.sync.land("crm", stream, [], Progress(Slice(at(0), at(5)), None), "run")
    ledger.sync.land("erp", "deals", [], Progress(Slice(at(0), at(5)), None), "run")
    assert ledger.sync.begin_full_refresh("crm", None, "state reset") == ["deals", "tickets"]
    assert ledger.sync.begin_full_refresh("crm", None, "state reset") == []
    assert [ledger.generations.of("crm", stream).newest for stream in ("deals", "tickets", "owners")] == [1, 1, 0]
    assert ledger.sync.intervals("crm", "deals") == []
    assert ledger.sync.intervals("erp", "deals") == [span(0, 5)]


def test_a_generation_is_complete_with_the_files_that_it_carries_over(ledger: Ledger):
    assert ledger.sync.begin_full_refresh("crm", "deals", "extract --full") == []
    assert ledger.generations.of("crm", "deals") == Generations(0, 1)
    ledger.sync.begin_full_refresh("crm", "deals", "another key", has_new_key=True)
    ledger.sync.begin_full_refresh("crm", "deals", "extract --full")
    opened = ledger.generations.of("crm", "deals")
    assert (opened, opened.counting, opened.comparable) == (Generations(0, 3, has_new_key=True), (0, 0), (3, 3))
    ledger.generations.complete("crm", "deals", 2, [])  # another one was opened since
    assert ledger.generations.of("crm", "deals") == opened
    ledger.generations.complete("crm", "deals", 3, [file("carried")])
    complete = ledger.generations.of("crm", "deals")
    assert (complete, complete.counting, complete.comparable) == (Generations(3, 3), (3, 3), (3, 3))
    assert ledger.files.for_asset("raw/crm/deals") == [file("carried")]


def test_intervals_are_listed_in_order(sqlite: Ledger):
    rows = [{"connection": "crm", "stream": "deals", "start": at(a), "end": at(b)} for a, b in ((7, 9), (0, 2), (1, 3))]
    with sqlite.transaction() as opened:
        opened.execute(insert(t.intervals), rows)
    assert sqlite.sync.intervals("crm", "deals") == [span(0, 3), span(7, 9)]
