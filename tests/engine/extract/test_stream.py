"""Reading a stream: nothing twice, nothing skipped, and what a balance says of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.errors import BusyError, ReplyError
from connectors.kit.stream import Slice
from engine.extract.compaction import compact_all
from engine.extract.stored_stream import StoredStream
from engine.storage.backend import backend
from engine.storage.sync_state import Interval, uncursored_refresh_of
from tests.engine.extract.toy import ACCOUNTS, NOON, ExtractEnv, Sweeping, Telling, Toy, raises_at
from transforms.conform.conform import newest
from transforms.identity.source_merges import redirects

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


class Killed(BaseException):
    """Stand for a process that dies here."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    def build(*args: object, **options: object) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, *args, **options)

    return build


@pytest.fixture
def page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)


def places(house: ExtractEnv) -> list[int]:
    return [place["last"] if place else 0 for _, place in house.world.asked]


class TestResuming:
    @pytest.mark.parametrize("error", [BusyError("down"), Killed()])
    def test_a_crash_at_page_91_of_100_reads_no_landed_page_again(self, house, page_by_page, error):
        here = house()
        here.world.fill(995)
        here.world.on_page = raises_at(91, error)
        if isinstance(error, Killed):
            with pytest.raises(Killed):
                here.read()
        else:
            assert here.read().status == "failed"
        assert here.landed() == 900
        here.world.on_page = lambda number: None
        here.project = here.opened()
        assert here.read().landed == 95
        assert places(here)[:10] == [900, 910, 920, 930, 940, 950, 960, 970, 980, 990]
        assert here.held() == here.truth()

    def test_what_has_gathered_lands_where_a_reading_breaks_off(self, house):
        here = house()
        here.world.fill(95)
        here.world.on_page = raises_at(8, ReplyError("nonsense"))
        assert here.read().error == "nonsense"
        assert here.landed() == 70

    def test_a_slice_that_was_read_but_not_proven_is_proven_without_reading(self, house, monkeypatch):
        here = house()
        here.world.fill(25)
        with monkeypatch.context() as patch:
            patch.setattr("engine.extract.slice.balance", lambda *_: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                here.read()
        here.project, here.world.now = here.opened(), NOON + DAY
        result = here.read()
        assert (result.status, result.landed) == ("done", 0)
        assert {slice_.start for slice_, _ in here.world.asked} == {NOON - MINUTE - ACCOUNTS.lookback}
        assert here.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON + DAY - MINUTE)]

    def test_a_reading_that_ends_without_saying_so_is_no_end(self, house, monkeypatch):
        here = house()
        here.world.fill(25)
        whole = here.kind.read

        def cut_short(self, stream, slice_, checkpoint=None):
            yield from list(whole(self, stream, slice_, checkpoint))[:-1]

        monkeypatch.setattr(here.kind, "read", cut_short)
        assert "ended without saying" in here.read().error
        assert here.project.ledger.sync.intervals("crm", "accounts") == []


class TestWindows:
    def windowed(self, house: Build) -> ExtractEnv:
        here = house(stream=replace(ACCOUNTS, window=DAY))
        here.project.connections["crm"].start = "2026-02-20"
        here.world.put(0, at=NOON - timedelta(days=20))
        for day in range(9):
            here.world.put(day + 1, at=NOON - timedelta(days=day, hours=1))
        return here

    def test_windows_behind_a_broken_one_are_kept(self, house):
        here = self.windowed(house)
        here.world.on_page = raises_at(4, ReplyError("a bad day"))
        first = here.read()
        assert (first.status, first.error, first.read) == ("failed", "a bad day", 8)
        start = NOON.replace(day=20, month=2, hour=0)
        assert here.project.ledger.sync.intervals("crm", "accounts") == [
            Interval(start, start + 3 * DAY),
            Interval(start + 4 * DAY, NOON - MINUTE),
        ]
        here.world.on_page = lambda number: None
        assert here.read().read == 1
        assert [slice_ for slice_, _ in here.world.asked][0] == Slice(
            start + 3 * DAY - ACCOUNTS.lookback, start + 4 * DAY - ACCOUNTS.lookback
        )
        assert here.project.ledger.sync.intervals("crm", "accounts") == [Interval(start, NOON - MINUTE)]
        assert len(here.held()) == 9  # the tenth lies before the start

    def test_what_came_late_before_a_broken_one_is_looked_back_for(self, house):
        here = self.windowed(house)
        here.read()
        here.world.put(20, at=NOON - 3 * MINUTE)  # under a stamp that has been read
        here.world.now += 3 * DAY
        here.world.on_page = raises_at(1, ReplyError("a bad day"))
        assert here.read().status == "failed"
        here.world.on_page = lambda number: None
        assert here.read().status == "done"
        assert "20" in here.held()

    def test_a_source_that_is_down_is_not_asked_for_every_window(self, house):
        here = self.windowed(house)
        here.world.on_page = raises_at(4, BusyError("down"))
        assert here.read().status == "failed"
        assert len(here.world.asked) == 4


class TestBalance:
    def test_what_is_edited_while_it_is_read_has_moved_and_comes_next_time(self, house):
        here = house()
        here.world.fill(35)
        here.world.on_page = lambda number: here.world.put(34, "edited") if number == 2 else None
        result = here.read()
        (window, total) = here.project.ledger.slice_counts.for_stream("crm", "accounts")
        assert (result.status, result.read, result.total) == ("done", 34, 35)
        assert (window.source_count, window.read, window.moved, window.missing) == (35, 34, 1, 0)
        assert (total.source_count, total.source_new, total.source_held) == (35, 10, 9)
        here.world.now += DAY
        here.world.on_page = lambda number: None
        assert here.read().new == 1
        assert here.held() == here.truth()

    def test_what_the_source_counts_and_never_sends_stays_a_gap_that_is_read_again(self, house):
        here = house()
        here.world.fill(35)
        here.world.hidden = {17}
        result = here.read()
        assert (result.status, result.missing) == ("short", 1)
        assert "1 of 35 records between the beginning and" in result.error
        assert here.project.ledger.sync.intervals("crm", "accounts") == []
        here.world.hidden = set()
        assert (here.read().status, here.landed()) == ("done", 35)
        assert here.held() == here.truth()

    def test_what_was_left_out_once_is_asked_for_at_once(self, house):
        here = house()
        here.world.fill(35)
        here.world.hidden = {17}
        here.world.on_page = lambda number: here.world.hidden.clear() if number == 5 else None
        result = here.read()
        assert (result.status, result.missing, result.new) == ("done", 0, 35)
        assert here.landed() == 35

    def test_repeated_rows_do_not_stand_for_missing_ones(self, house, monkeypatch):
        here = house(Toy)
        here.world.fill(35)
        whole = here.kind.read

        def drifted(self, stream, slice_, checkpoint=None):
            for page in whole(self, stream, slice_, checkpoint):
                yield replace(page, rows=[page.rows[0], *page.rows[:-1]])

        monkeypatch.setattr(here.kind, "read", drifted)
        result = here.read()
        assert (result.status, result.missing) == ("short", 4)

    def test_a_source_that_tells_no_count_is_believed(self, house):
        here = house(Toy)
        here.world.counts = False
        here.world.fill(35)
        assert here.read().total is None
        assert [
            (one.source_count, one.read) for one in here.project.ledger.slice_counts.for_stream("crm", "accounts")
        ] == [(None, 35)]

    def test_rows_that_the_lake_held_count_as_read(self, house):
        here = house()
        here.world.fill(35)
        here.read()
        here.world.now += 5 * MINUTE
        here.world.put(36)
        here.world.now += 5 * MINUTE
        result = here.read()
        assert (result.status, result.landed, result.total) == ("done", 1, 11)


class TestLookback:
    def test_a_quiet_run_lands_nothing(self, house):
        here = house()
        here.world.fill(35)
        here.read()
        here.world.now += 2 * MINUTE
        result = here.read()
        assert (result.read, result.landed, result.late) == (10, 0, 0)

    def test_a_late_row_is_read_and_told(self, house):
        here = house()
        here.world.fill(35)
        here.read()
        here.world.put(99, at=NOON - 5 * MINUTE)
        here.world.now += DAY
        result = here.read()
        assert (result.new, result.late, result.landed) == (1, 1, 1)
        assert here.held() == here.truth()

    def test_a_value_that_went_and_came_back_without_a_stamp_is_seen_both_times(self, house):
        here = house()
        here.world.fill(35)
        for name in ("A", "B", "A"):
            here.world.records[35]["name"] = name
            here.world.now += MINUTE
            here.read()
            assert here.held()["35"] == name

    def test_nothing_is_read_beyond_the_runs_beginning(self, house):
        here = house()
        here.world.fill(5)
        here.world.put(6, at=NOON + DAY)
        here.world.put(7, at=NOON)
        assert here.read().read == 5
        assert here.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON - MINUTE)]


class TestDeletes:
    FLAGGED = replace(ACCOUNTS, deletes="flag", deleted_values={"gone": ("true",)})
    SWEPT = replace(ACCOUNTS, deletes="sweep")
    TOLD = replace(ACCOUNTS, deletes="feed")

    def test_flags_within_reason_delete(self, house):
        here = house(stream=self.FLAGGED)
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        for number in range(1, 6):
            here.world.put(number, gone=True)
        here.world.now += DAY
        result = here.read()
        assert (result.status, result.deleted) == ("done", 5)
        assert len(here.held()) == 45

    def test_too_many_flags_delete_nothing_until_somebody_says_so(self, house):
        here = house(stream=self.FLAGGED)
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        for number in range(1, 7):
            here.world.put(number, gone=True)
        here.world.put(50, "still read")
        here.world.now += DAY
        result = here.read()
        assert result.status == "blocked"
        assert "6 of 50 records are gone at the source, more than max_delete_pct 10" in result.error
        assert here.held()["50"] == "still read"
        assert len(here.held()) == 50
        here.world.now += DAY
        assert here.read().status == "blocked"
        here.world.put(6, gone=False)
        here.world.now += DAY
        assert (here.read().status, len(here.held())) == ("done", 45)

    def test_a_sweep_finds_what_is_gone(self, house):
        here = house(Sweeping, stream=self.SWEPT)
        here.world.fill(50)
        here.read()
        del here.world.records[7]
        here.world.now += DAY
        assert (here.read().deleted, "7" in here.held()) == (1, False)

    def test_a_sweep_that_finds_too_much_deletes_nothing(self, house):
        here = house(Sweeping, stream=self.SWEPT)
        here.world.fill(50)
        here.read()
        for number in range(1, 20):
            del here.world.records[number]
        here.world.now += DAY
        result = here.read()
        assert (result.status, len(here.held())) == ("blocked", 50)
        here.project.connections["crm"].max_delete_pct = 50
        assert (here.read().deleted, len(here.held())) == (19, 31)

    def test_a_feed_tells_what_is_gone(self, house):
        here = house(Telling, stream=self.TOLD)
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        here.world.gone = [here.world.records.pop(7) | {"at": (here.world.now - MINUTE).isoformat()}]
        here.world.now += DAY
        assert (here.read().deleted, "7" in here.held()) == (1, False)

    def test_a_record_that_was_absorbed_is_not_gone(self, house, monkeypatch):
        here = house(
            Sweeping, stream=replace(self.SWEPT, merged_ids="merged", fields=ACCOUNTS.fields | {"merged_ids": "merged"})
        )
        here.world.fill(50)
        here.read()
        here.world.put(8, merged=";".join(map(str, range(20, 40))))
        for number in range(20, 40):
            del here.world.records[number]
        here.world.now += DAY
        here.read()
        here.world.now += DAY
        assert (here.read().status, here.read().deleted) == ("done", 0)

    @pytest.mark.parametrize("kind", [Sweeping, Telling])
    def test_a_record_takes_along_what_it_had_absorbed(self, house, kind):
        fields = ACCOUNTS.fields | {"merged_ids": "merged"}
        here = house(
            kind, stream=replace(self.SWEPT if kind is Sweeping else self.TOLD, merged_ids="merged", fields=fields)
        )
        here.world.fill(50)
        here.read()
        here.world.put(8, merged="20")
        del here.world.records[20]
        here.world.now += DAY
        here.read()
        del here.world.records[8]
        here.world.gone = [{"id": 8, "at": (here.world.now + MINUTE).isoformat()}]
        here.world.now += DAY
        assert here.read().deleted == 1
        con = backend.connect(threads=1)
        for _ in range(2):
            raw = here.project.lake.read(con, "raw/crm/accounts")
            (gone,) = redirects(newest(raw), "merged", connection="crm", stream="accounts").to_pyarrow().to_pylist()
            assert (gone["record_id"], gone["redirected_to"]) == ("20", "8")
            compact_all(StoredStream(here.project, "raw/crm/accounts", here.kind.streams[0]))
        here.world.now += DAY
        assert (here.read().status, here.read().deleted) == ("done", 0)


class TestOutages:
    def test_an_empty_answer_to_a_full_reading_is_no_reading(self, house):
        here = house(Toy)
        here.world.counts = False
        here.world.fill(50)
        here.read()
        here.world.absent, here.world.now = True, NOON + DAY
        result = here.read(full=True)
        assert result.status == "blocked"
        assert "answered no record at all" in result.error
        assert here.project.ledger.sync.intervals("crm", "accounts") == []
        here.world.absent = False
        here.world.put(1, "edited meanwhile")
        here.world.now += DAY
        assert here.read().status == "done"
        assert here.held() == here.truth()

    def test_an_empty_window_is_doubted_where_the_source_counts_nothing_at_all(self, house):
        here = house()
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        here.world.put(1, "edited before the outage")
        here.world.absent = True
        here.world.now += 20 * MINUTE
        result = here.read()
        assert (result.status, len(here.held())) == ("blocked", 50)
        assert here.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON - MINUTE)]
        here.world.absent = False
        assert here.read().status == "done"
        assert here.held() == here.truth()

    def test_a_first_reading_may_be_empty_but_is_not_believed_for_ever(self, house):
        here = house(Toy)
        here.world.counts = False
        here.world.fill(50)
        here.world.absent = True
        assert here.read().status == "done"
        here.world.absent, here.world.now = False, NOON + DAY
        assert here.read().new == 50

    def test_where_deletions_are_flags_the_newest_record_must_show(self, house):
        here = house(Toy, stream=TestDeletes.FLAGGED)
        here.world.counts = False
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        here.read()
        here.world.now += DAY
        assert (here.read().status, here.world.asked[-1][0].start) == ("done", NOON - 2 * MINUTE)
        here.world.put(1, "edited before the outage")
        here.world.now += 20 * MINUTE
        here.world.absent = True
        assert here.read().status == "blocked"
        here.world.absent = False
        assert here.read().status == "done"
        assert here.held() == here.truth()


class TestFull:
    def test_reads_all_again_and_lands_only_what_differs(self, house):
        here = house()
        here.world.fill(50)
        here.read()
        here.world.records[9]["name"] = "changed without a stamp"
        here.world.now += MINUTE
        result = here.read(full=True)
        assert (result.read, result.landed, result.changed) == (50, 1, 1)
        assert here.held() == here.truth()


class TestDerived:
    DERIVED = replace(ACCOUNTS, uncursored_fields=("score",))

    def test_fields_that_move_no_cursor_are_read_anew_when_it_is_time(self, house):
        here = house(stream=self.DERIVED)
        here.world.fill(50)
        first = here.read()
        assert first.derived_read_at is None or first.derived_read_at == NOON - MINUTE
        here.world.records[9]["name"] = "moved no stamp"
        here.world.now += 6 * DAY
        assert (here.read().landed, here.held()["9"]) == (0, "name 9")
        here.world.now += DAY
        result = here.read()
        assert (result.landed, here.held()["9"]) == (1, "moved no stamp")
        assert result.derived_read_at == here.world.now - MINUTE
        assert (
            here.project.ledger.sync.intervals("crm", uncursored_refresh_of("accounts"))[-1].end
            == here.world.now - MINUTE
        )

    def test_a_refresh_that_broke_off_goes_on_where_it_was(self, house, page_by_page):
        here = house(stream=self.DERIVED)
        here.world.fill(45)
        here.read()
        here.world.now += 8 * DAY
        here.world.on_page = raises_at(5, ReplyError("broken"))  # the slice of the lookback takes two pages
        assert here.read().status == "failed"
        here.world.on_page = lambda number: None
        assert here.read().status == "done"
        assert places(here)[-3:] == [20, 30, 40]
        assert here.world.asked[-3][0].start is None

    def test_without_such_fields_nothing_is_read_anew(self, house):
        here = house()
        here.world.fill(50)
        here.read()
        here.world.now += 30 * DAY
        here.read()
        assert {slice_.start for slice_, _ in here.world.asked} == {NOON - MINUTE - ACCOUNTS.lookback}
