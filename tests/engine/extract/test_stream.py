"""Reading a stream: nothing twice, nothing skipped, and what a balance says of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.errors import BusyError, ReplyError
from connectors.kit.stream import Slice
from engine.extract.compaction import compact_all
from engine.extract.stored_rows import stored_rows
from engine.extract.stored_stream import StoredStream
from engine.storage.backend import backend
from engine.storage.stores.sync_state import Interval, uncursored_refresh_of
from tests.engine.extract.toy import ACCOUNTS, NOON, PAGE_BY_PAGE, ExtractEnv, Sweeping, Telling, Toy, raises_at
from transforms.conform.conform import newest
from transforms.identity.source_merges import redirects

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


class Killed(BaseException):
    """Stand for a process that dies here."""


@pytest.fixture
def make_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    def build(*args: object, **options: object) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, *args, **options)

    return build


def checkpoints(env: ExtractEnv) -> list[int]:
    return [checkpoint["last"] if checkpoint else 0 for _, checkpoint in env.world.requests]


class TestResuming:
    @pytest.mark.parametrize("error", [BusyError("down"), Killed()])
    def test_a_crash_at_page_91_of_100_reads_no_landed_page_again(self, make_env, error):
        env = make_env()
        env.limits = PAGE_BY_PAGE
        env.world.fill(995)
        env.world.on_page = raises_at(91, error)
        if isinstance(error, Killed):
            with pytest.raises(Killed):
                env.read()
        else:
            assert env.read().status == "failed"
        assert env.landed() == 900
        env.world.on_page = lambda number: None
        env.project = env.opened()
        assert env.read().landed == 95
        assert checkpoints(env)[:10] == [900, 910, 920, 930, 940, 950, 960, 970, 980, 990]
        assert env.names() == env.truth()

    def test_what_has_gathered_lands_where_a_reading_breaks_off(self, make_env):
        env = make_env()
        env.world.fill(95)
        env.world.on_page = raises_at(8, ReplyError("nonsense"))
        assert env.read().error == "nonsense"
        assert env.landed() == 70

    def test_a_slice_that_was_read_but_not_proven_is_proven_without_reading(self, make_env, monkeypatch):
        env = make_env()
        env.world.fill(25)
        with monkeypatch.context() as patch:
            patch.setattr("engine.extract.slice.compare_counts", lambda *_: (_ for _ in ()).throw(Killed()))
            with pytest.raises(Killed):
                env.read()
        env.project, env.world.now = env.opened(), NOON + DAY
        result = env.read()
        assert (result.status, result.landed) == ("done", 0)
        assert {slice_.start for slice_, _ in env.world.requests} == {NOON - MINUTE - ACCOUNTS.lookback}
        assert env.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON + DAY - MINUTE)]

    def test_a_reading_that_ends_without_saying_so_is_no_end(self, make_env, monkeypatch):
        env = make_env()
        env.world.fill(25)
        whole = env.kind.read

        def cut_short(self, stream, slice_, checkpoint=None):
            yield from list(whole(self, stream, slice_, checkpoint))[:-1]

        monkeypatch.setattr(env.kind, "read", cut_short)
        assert "the connector ended its pages without one that ends the slice" in env.read().error
        assert env.project.ledger.sync.intervals("crm", "accounts") == []


class TestWindows:
    def windowed(self, make_env: Build) -> ExtractEnv:
        env = make_env(stream=replace(ACCOUNTS, window=DAY))
        env.project.connections["crm"].start = "2026-02-20"
        env.world.put(0, at=NOON - timedelta(days=20))
        for day in range(9):
            env.world.put(day + 1, at=NOON - timedelta(days=day, hours=1))
        return env

    def test_windows_behind_a_broken_one_are_kept(self, make_env):
        env = self.windowed(make_env)
        env.world.on_page = raises_at(4, ReplyError("a bad day"))
        first = env.read()
        assert (first.status, first.error, first.read) == ("failed", "a bad day", 8)
        start = NOON.replace(day=20, month=2, hour=0)
        assert env.project.ledger.sync.intervals("crm", "accounts") == [
            Interval(start, start + 3 * DAY),
            Interval(start + 4 * DAY, NOON - MINUTE),
        ]
        env.world.on_page = lambda number: None
        assert env.read().read == 1
        assert [slice_ for slice_, _ in env.world.requests][0] == Slice(
            start + 3 * DAY - ACCOUNTS.lookback, start + 4 * DAY - ACCOUNTS.lookback
        )
        assert env.project.ledger.sync.intervals("crm", "accounts") == [Interval(start, NOON - MINUTE)]
        assert len(env.names()) == 9  # the tenth lies before the start

    def test_what_came_late_before_a_broken_one_is_looked_back_for(self, make_env):
        env = self.windowed(make_env)
        env.read()
        env.world.put(20, at=NOON - 3 * MINUTE)  # under a stamp that has been read
        env.world.now += 3 * DAY
        env.world.on_page = raises_at(1, ReplyError("a bad day"))
        assert env.read().status == "failed"
        env.world.on_page = lambda number: None
        assert env.read().status == "done"
        assert "20" in env.names()

    def test_a_source_that_is_down_is_not_asked_for_every_window(self, make_env):
        env = self.windowed(make_env)
        env.world.on_page = raises_at(4, BusyError("down"))
        assert env.read().status == "failed"
        assert len(env.world.requests) == 4


class TestBalance:
    def test_what_is_edited_while_it_is_read_has_moved_and_comes_next_time(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.world.on_page = lambda number: env.world.put(34, "edited") if number == 2 else None
        result = env.read()
        (window, total) = env.project.ledger.slice_counts.for_stream("crm", "accounts")
        assert (result.status, result.read, result.total) == ("done", 34, 35)
        assert (window.source_count, window.read, window.moved, window.missing) == (35, 34, 1, 0)
        assert (total.source_count, total.source_new, total.source_held) == (35, 10, 9)
        env.world.now += DAY
        env.world.on_page = lambda number: None
        assert env.read().new == 1
        assert env.names() == env.truth()

    def test_what_the_source_counts_and_never_sends_stays_a_gap_that_is_read_again(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.world.hidden = {17}
        result = env.read()
        assert (result.status, result.missing) == ("short", 1)
        assert "1 of 35 records between the beginning and" in result.error
        assert env.project.ledger.sync.intervals("crm", "accounts") == []
        env.world.hidden = set()
        assert (env.read().status, env.landed()) == ("done", 35)
        assert env.names() == env.truth()

    def test_what_was_left_out_once_is_asked_for_at_once(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.world.hidden = {17}
        env.world.on_page = lambda number: env.world.hidden.clear() if number == 5 else None
        result = env.read()
        assert (result.status, result.missing, result.new) == ("done", 0, 35)
        assert env.landed() == 35

    def test_repeated_rows_do_not_stand_for_missing_ones(self, make_env, monkeypatch):
        env = make_env(Toy)
        env.world.fill(35)
        whole = env.kind.read

        def drifted(self, stream, slice_, checkpoint=None):
            for page in whole(self, stream, slice_, checkpoint):
                yield replace(page, rows=[page.rows[0], *page.rows[:-1]])

        monkeypatch.setattr(env.kind, "read", drifted)
        result = env.read()
        assert (result.status, result.missing) == ("short", 4)

    def test_a_source_that_tells_no_count_is_believed(self, make_env):
        env = make_env(Toy)
        env.world.counts = False
        env.world.fill(35)
        assert env.read().total is None
        assert [
            (one.source_count, one.read) for one in env.project.ledger.slice_counts.for_stream("crm", "accounts")
        ] == [(None, 35)]

    def test_rows_that_the_lake_held_count_as_read(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.read()
        env.world.now += 5 * MINUTE
        env.world.put(36)
        env.world.now += 5 * MINUTE
        result = env.read()
        assert (result.status, result.landed, result.total) == ("done", 1, 11)


class TestLookback:
    def test_a_quiet_run_lands_nothing(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.read()
        env.world.now += 2 * MINUTE
        result = env.read()
        assert (result.read, result.landed, result.late) == (10, 0, 0)

    def test_a_late_row_is_read_and_told(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.read()
        env.world.put(99, at=NOON - 5 * MINUTE)
        env.world.now += DAY
        result = env.read()
        assert (result.new, result.late, result.landed) == (1, 1, 1)
        assert env.names() == env.truth()

    def test_a_value_that_went_and_came_back_without_a_stamp_is_seen_both_times(self, make_env):
        env = make_env()
        env.world.fill(35)
        for name in ("A", "B", "A"):
            env.world.records[35]["name"] = name
            env.world.now += MINUTE
            env.read()
            assert env.names()["35"] == name

    def test_nothing_is_read_beyond_the_runs_beginning(self, make_env):
        env = make_env()
        env.world.fill(5)
        env.world.put(6, at=NOON + DAY)
        env.world.put(7, at=NOON)
        assert env.read().read == 5
        assert env.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON - MINUTE)]


class TestDeletes:
    FLAGGED = replace(ACCOUNTS, deletes="flag", deleted_values={"gone": ("true",)})
    SWEPT = replace(ACCOUNTS, deletes="sweep")
    TOLD = replace(ACCOUNTS, deletes="feed")

    def test_flags_within_reason_delete(self, make_env):
        env = make_env(stream=self.FLAGGED)
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        for number in range(1, 6):
            env.world.put(number, gone=True)
        env.world.now += DAY
        result = env.read()
        assert (result.status, result.deleted) == ("done", 5)
        assert len(env.names()) == 45

    def test_too_many_flags_delete_nothing_until_somebody_says_so(self, make_env):
        env = make_env(stream=self.FLAGGED)
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        for number in range(1, 7):
            env.world.put(number, gone=True)
        env.world.put(50, "still read")
        env.world.now += DAY
        result = env.read()
        assert result.status == "blocked"
        assert "6 of 50 records are gone at the source, more than max_delete_pct 10" in result.error
        assert env.names()["50"] == "still read"
        assert len(env.names()) == 50
        env.world.now += DAY
        assert env.read().status == "blocked"
        env.world.put(6, gone=False)
        env.world.now += DAY
        assert (env.read().status, len(env.names())) == ("done", 45)

    def test_a_sweep_finds_what_is_gone(self, make_env):
        env = make_env(Sweeping, stream=self.SWEPT)
        env.world.fill(50)
        env.read()
        del env.world.records[7]
        env.world.now += DAY
        assert (env.read().deleted, "7" in env.names()) == (1, False)

    def test_a_sweep_that_finds_too_much_deletes_nothing(self, make_env):
        env = make_env(Sweeping, stream=self.SWEPT)
        env.world.fill(50)
        env.read()
        for number in range(1, 20):
            del env.world.records[number]
        env.world.now += DAY
        result = env.read()
        assert (result.status, len(env.names())) == ("blocked", 50)
        env.project.connections["crm"].max_delete_pct = 50
        assert (env.read().deleted, len(env.names())) == (19, 31)

    def test_a_feed_tells_what_is_gone(self, make_env):
        env = make_env(Telling, stream=self.TOLD)
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        env.world.deletions = [env.world.records.pop(7) | {"at": (env.world.now - MINUTE).isoformat()}]
        env.world.now += DAY
        assert (env.read().deleted, "7" in env.names()) == (1, False)

    def test_a_record_that_was_absorbed_is_not_gone(self, make_env, monkeypatch):
        env = make_env(
            Sweeping, stream=replace(self.SWEPT, merged_ids="merged", fields=ACCOUNTS.fields | {"merged_ids": "merged"})
        )
        env.world.fill(50)
        env.read()
        env.world.put(8, merged=";".join(map(str, range(20, 40))))
        for number in range(20, 40):
            del env.world.records[number]
        env.world.now += DAY
        env.read()
        env.world.now += DAY
        assert (env.read().status, env.read().deleted) == ("done", 0)

    @pytest.mark.parametrize("kind", [Sweeping, Telling])
    def test_a_record_takes_along_what_it_had_absorbed(self, make_env, kind):
        fields = ACCOUNTS.fields | {"merged_ids": "merged"}
        env = make_env(
            kind, stream=replace(self.SWEPT if kind is Sweeping else self.TOLD, merged_ids="merged", fields=fields)
        )
        env.world.fill(50)
        env.read()
        env.world.put(8, merged="20")
        del env.world.records[20]
        env.world.now += DAY
        env.read()
        del env.world.records[8]
        env.world.deletions = [{"id": 8, "at": (env.world.now + MINUTE).isoformat()}]
        env.world.now += DAY
        assert env.read().deleted == 1
        con = backend.connect(threads=1)
        for _ in range(2):
            raw = stored_rows(env.project, con, "crm", env.kind.streams[0])
            (gone,) = redirects(newest(raw), "merged", connection="crm", stream="accounts").to_pyarrow().to_pylist()
            assert (gone["record_id"], gone["redirected_to"]) == ("20", "8")
            compact_all(StoredStream(env.project, "raw/crm/accounts", env.kind.streams[0]))
        env.world.now += DAY
        assert (env.read().status, env.read().deleted) == ("done", 0)


class TestOutages:
    def test_an_empty_answer_to_a_full_reading_is_no_reading(self, make_env):
        env = make_env(Toy)
        env.world.counts = False
        env.world.fill(50)
        env.read()
        env.world.absent, env.world.now = True, NOON + DAY
        result = env.read(full=True)
        assert result.status == "blocked"
        assert "answered no record at all" in result.error
        assert env.project.ledger.sync.intervals("crm", "accounts") == []
        env.world.absent = False
        env.world.put(1, "edited meanwhile")
        env.world.now += DAY
        assert env.read().status == "done"
        assert env.names() == env.truth()

    def test_an_empty_window_is_doubted_where_the_source_counts_nothing_at_all(self, make_env):
        env = make_env()
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        env.world.put(1, "edited before the outage")
        env.world.absent = True
        env.world.now += 20 * MINUTE
        result = env.read()
        assert (result.status, len(env.names())) == ("blocked", 50)
        assert env.project.ledger.sync.intervals("crm", "accounts") == [Interval(None, NOON - MINUTE)]
        env.world.absent = False
        assert env.read().status == "done"
        assert env.names() == env.truth()

    def test_a_first_reading_may_be_empty_but_is_not_believed_for_ever(self, make_env):
        env = make_env(Toy)
        env.world.counts = False
        env.world.fill(50)
        env.world.absent = True
        assert env.read().status == "done"
        env.world.absent, env.world.now = False, NOON + DAY
        assert env.read().new == 50

    def test_where_deletions_are_flags_the_newest_record_must_show(self, make_env):
        env = make_env(Toy, stream=TestDeletes.FLAGGED)
        env.world.counts = False
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        env.read()
        env.world.now += DAY
        assert (env.read().status, env.world.requests[-1][0].start) == ("done", NOON - 2 * MINUTE)
        env.world.put(1, "edited before the outage")
        env.world.now += 20 * MINUTE
        env.world.absent = True
        assert env.read().status == "blocked"
        env.world.absent = False
        assert env.read().status == "done"
        assert env.names() == env.truth()


class TestFull:
    def test_reads_all_again_into_a_new_generation(self, make_env):
        env = make_env()
        env.world.fill(50)
        env.read()
        env.world.records[9]["name"] = "changed without a stamp"
        env.world.now += MINUTE
        result = env.read(full=True)
        assert (result.read, result.landed, result.changed) == (50 + 9, 50, 1)  # nine come again with the catch-up
        assert env.names() == env.truth()


class TestDerived:
    DERIVED = replace(ACCOUNTS, uncursored_fields=("score",))

    def test_fields_that_move_no_cursor_are_read_anew_when_it_is_time(self, make_env):
        env = make_env(stream=self.DERIVED)
        env.world.fill(50)
        first = env.read()
        assert first.derived_read_at is None or first.derived_read_at == NOON - MINUTE
        env.world.records[9]["name"] = "moved no stamp"
        env.world.now += 6 * DAY
        assert (env.read().landed, env.names()["9"]) == (0, "name 9")
        env.world.now += DAY
        result = env.read()
        assert (result.landed, env.names()["9"]) == (1, "moved no stamp")
        assert result.derived_read_at == env.world.now - MINUTE
        assert (
            env.project.ledger.sync.intervals("crm", uncursored_refresh_of("accounts"))[-1].end
            == env.world.now - MINUTE
        )

    def test_a_refresh_that_broke_off_goes_on_where_it_was(self, make_env):
        env = make_env(stream=self.DERIVED)
        env.limits = PAGE_BY_PAGE
        env.world.fill(45)
        env.read()
        env.world.now += 8 * DAY
        env.world.on_page = raises_at(5, ReplyError("broken"))  # the slice of the lookback takes two pages
        assert env.read().status == "failed"
        env.world.on_page = lambda number: None
        assert env.read().status == "done"
        assert checkpoints(env)[-3:] == [20, 30, 40]
        assert env.world.requests[-3][0].start is None

    def test_without_such_fields_nothing_is_read_anew(self, make_env):
        env = make_env()
        env.world.fill(50)
        env.read()
        env.world.now += 30 * DAY
        env.read()
        assert {slice_.start for slice_, _ in env.world.requests} == {NOON - MINUTE - ACCOUNTS.lookback}
