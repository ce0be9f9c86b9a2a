"""What could leave a record unread, or kill one that is alive, and no run would say so."""

import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.kit.base import Check
from connectors.kit.errors import AccessError, BusyError, ReplyError
from connectors.kit.raw_rows import Page
from connectors.kit.stream import Slice
from engine.build.reconciliation import Flow
from engine.extract.compaction import compact_all
from engine.extract.limits import Limits
from engine.extract.stored_stream import StoredStream
from engine.storage.stores.slice_counts import SliceCount
from tests.engine.extract.toy import (
    ACCOUNTS,
    NOON,
    PAGE_BY_PAGE,
    Counting,
    ExtractEnv,
    Sweeping,
    Telling,
    Toy,
    _is_in,
    raises_at,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


class Killed(BaseException):
    """Stand for a process that dies here."""


@pytest.fixture
def make_env(tmp_path, monkeypatch) -> Build:
    def build(kind: type[Toy] = Counting, **changes: Any) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))

    return build


class TestASecondPass:
    def test_keeps_alive_what_it_alone_was_sent(self, make_env):
        env = make_env(Toy, cursor=None, deletes="sweep", lookback=timedelta(0), lag=timedelta(0))
        env.world.fill(35)
        env.read()
        env.world.now += DAY
        env.world.hidden = {17}
        env.world.on_page = lambda number: env.world.hidden.clear() if number == 5 else None
        result = env.read()
        assert (result.status, result.deleted, env.names()) == ("done", 0, env.truth())

    @pytest.mark.parametrize("error", [ReplyError("broken off"), Killed()])
    def test_that_breaks_off_proves_nothing(self, make_env, monkeypatch, error):
        env = make_env(Toy)
        if isinstance(error, Killed):
            env.limits = PAGE_BY_PAGE
        env.world.fill(100)
        env.world.hidden = {*range(81, 91)}
        env.world.on_page = raises_at(16, error)  # of the second pass: the first has eleven pages
        with suppress(Killed):
            env.read()
        env.world.on_page = lambda number: None
        env.world.now += DAY
        env.project = env.opened()
        assert env.read().status == "short"
        env.world.hidden = set()
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())


class TestWhatWasHeldAlready:
    def test_counts_once_where_its_landing_failed(self, make_env, monkeypatch):
        env = make_env(Toy)
        env.world.fill(30)
        env.read()
        for number in range(31, 41):
            env.world.put(number, at=NOON - HOUR)
        env.world.hidden = {*range(31, 41)}
        env.world.now += DAY
        land, failing = env.project.ledger.sync.land, iter([BusyError("locked")])

        def busy(*given: Any, **options: Any) -> None:
            for error in failing:
                raise error
            land(*given, **options)

        monkeypatch.setattr(env.project.ledger.sync, "land", busy)
        env.read(full=True)
        assert env.read().status == "short"
        env.world.hidden = set()
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_counts_once_with_its_newer_version(self, make_env):
        class Drifting(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                sent = [*old, *(row for row in rows if row["id"] != 20)] if old else rows
                yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

        old: list[dict[str, Any]] = []
        env = make_env(Drifting)
        env.world.fill(5)
        env.world.put(5, at=NOON - 3 * MINUTE)
        env.read()
        old.append(dict(env.world.records[5]))
        env.world.now += HOUR
        for number in (5, 18, 19, 20):
            env.world.put(number, "edited while it is read")
        env.world.now += HOUR
        assert env.read().status == "short"
        old.clear()
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_does_not_let_rows_without_a_key_count_twice(self, make_env):
        class Keyless(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                shown = [row | {"id": None if row["id"] > 10 else row["id"]} for row in rows]
                yield Page(stream, [json.dumps(row).encode() for row in shown], self.world.now, None, len(rows))

        env = make_env(Keyless, lookback=DAY)
        env.world.fill(5)
        env.read()
        env.world.now += HOUR
        for number in range(8, 14):
            env.world.put(number)
        env.world.now += HOUR
        assert env.read().status == "done"
        *_, last = env.project.ledger.slice_counts.for_stream("crm", "accounts")
        assert (last.source_count, last.read) == (11, 11)

    @pytest.mark.parametrize("lookback", [timedelta(0), DAY])
    def test_does_not_let_such_rows_stand_for_what_a_second_reading_lacks_too(self, make_env, lookback):
        class Keyless(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                shown = [row for row in rows if row["id"] not in self.world.hidden]
                sent = [row | {"id": None if row["id"] > 10 else row["id"]} for row in shown]
                yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

        env = make_env(Keyless, lookback=lookback)
        env.world.fill(12)
        env.world.hidden = {3, 4}
        assert (env.read().status, env.read().missing) == ("short", 2)
        env.world.hidden = set()
        env.world.now += DAY
        assert env.read().status == "done"
        env.world.put(12)
        env.world.put(2)
        env.world.hidden = {2}
        env.world.now += HOUR
        assert env.read().status == "short"

    def test_is_known_after_a_crash_without_reading_it_again(self, make_env):
        env = make_env(Toy, lookback=DAY)
        env.limits = PAGE_BY_PAGE
        env.world.fill(100)
        env.read()
        env.world.now += HOUR
        env.world.put(1, "edited")
        env.world.now += HOUR
        env.world.on_page = raises_at(8, Killed())
        with suppress(Killed):
            env.read()
        env.world.on_page = lambda number: None
        env.project = env.opened()
        assert (env.read().status, env.names()) == ("done", env.truth())
        (resumed, _), *_ = env.world.requests
        assert [place["last"] for slice_, place in env.world.requests if slice_ == resumed] == [70, 80, 90, 100]
        assert env.project.ledger.files.pending("seen/crm/accounts") == []


class TestDeletions:
    def test_that_show_late_are_looked_back_for(self, make_env):
        env = make_env(Telling, deletes="feed")
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        row = env.world.records.pop(7)
        env.read()
        env.world.deletions = [row | {"at": (env.world.now - 3 * MINUTE).isoformat()}]
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    @pytest.mark.parametrize("kind", [Sweeping, Telling])
    def test_are_not_counted_where_many_were_merged_that_night(self, make_env, kind):
        fields = ACCOUNTS.fields | {"merged_ids": "merged"}
        env = make_env(kind, deletes="sweep" if kind is Sweeping else "feed", merged_ids="merged", fields=fields)
        env.world.fill(50)
        env.read()
        env.world.now += HOUR
        env.world.put(8, merged=";".join(map(str, range(20, 40))))
        gone = [env.world.records.pop(number) for number in range(20, 40)]
        env.world.deletions = [row | {"at": env.world.now.isoformat()} for row in gone]
        env.world.now += DAY
        assert env.read().status == "done"

    def test_are_landed_in_the_memory_of_a_batch(self, make_env, monkeypatch):
        class Many(Telling):
            def deletes(self, stream, slice_):
                for first in range(0, 40_000, 1_000):
                    rows = [json.dumps({"id": f"x{first + n}", "pad": "p" * 900}).encode() for n in range(1_000)]
                    yield Page(stream, rows, self.world.now, None, deleted=True)

        env = make_env(Many, deletes="list")
        env.limits = Limits(bytes=1 << 20)
        env.world.fill(5)
        tracemalloc.start()
        try:
            assert env.read().status == "done"
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
        assert env.landed() == 40_005


class TestABeginning:
    def test_that_is_moved_back_is_no_outage(self, make_env):
        env = make_env(Counting)
        env.project.connections["crm"].start = "2026-02-01"
        env.world.fill(50)
        env.read()
        env.project.connections["crm"].start = "2020-01-01"
        env.world.now += DAY
        env.world.put(2, "edited")
        env.world.now += HOUR
        assert (env.read().status, env.names()) == ("done", env.truth())
        env.project.connections["crm"].start = None
        env.world.now += DAY
        assert env.read().status == "done"

    def test_that_is_moved_back_makes_no_derived_field_new(self, make_env):
        env = make_env(Counting, uncursored_fields=("score",))
        env.project.connections["crm"].start = "2026-02-01"
        env.world.fill(50)
        read_at = env.read().derived_read_at
        env.project.connections["crm"].start = "2020-01-01"
        env.world.now += DAY
        assert env.read().derived_read_at == read_at == NOON - ACCOUNTS.lag

    @pytest.mark.parametrize("counts", [True, False])
    def test_whose_first_window_is_empty_by_now_is_none(self, make_env, counts):
        env = make_env(Sweeping if counts else Toy, deletes="none", window=7 * DAY)
        env.world.counts = counts
        env.project.connections["crm"].start = "2026-01-01"
        env.world.put(1, at=NOON - 57 * DAY)
        for number in range(2, 30):
            env.world.put(number, at=NOON - 50 * DAY + number * DAY)
        env.read()
        env.world.now += DAY
        env.world.put(1, "edited")
        env.world.now += DAY
        assert (env.read(full=True).status, env.names()) == ("done", env.truth())

    def test_that_is_empty_to_the_end_is_one(self, make_env):
        env = make_env(Toy, window=7 * DAY, deletes="none")
        env.world.counts = False
        env.project.connections["crm"].start = "2026-01-01"
        env.world.fill(30)
        env.read()
        env.world.absent, env.world.now = True, env.world.now + DAY
        result = env.read(full=True)
        assert (result.status, "answered no record at all" in (result.error or "")) == ("blocked", True)
        env.world.absent, env.world.now = False, env.world.now + DAY
        env.world.put(1, "edited")
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())


def test_slices_are_bounded_by_whole_seconds_after_a_clock_was_set_right(make_env, monkeypatch):
    env = make_env(Toy, lookback=DAY)
    ours = [NOON + timedelta(microseconds=123_456)]
    monkeypatch.setattr("engine.extract.rollback.ours", lambda: ours[0])
    env.world.now = NOON + HOUR
    env.world.fill(5, at=NOON - DAY)
    env.read()
    ours[0], env.world.now = NOON + 2 * HOUR + timedelta(microseconds=654_321), NOON + 2 * HOUR
    result = env.read()
    assert result.notes == ["the source's clock has gone back by 1:00:00.530865; so much was read again"]
    assert result.since.microsecond == 0


class Numbered(Toy):
    """Hand pages out by their number, as many systems do."""

    def read(self, stream, slice_, checkpoint=None):
        number = (checkpoint or {}).get("page", 0)
        while True:
            self.world.requests.append((slice_, checkpoint))
            self.world.on_page(len(self.world.requests))
            found = self.world.within(slice_)
            rows = found[number * 10 : number * 10 + 10]
            number += 1
            place = {"page": number} if len(rows) == 10 else None
            total = len(found) if self.world.counts else None
            yield Page(stream, [json.dumps(row).encode() for row in rows], self.world.now, place, total)
            if place is None:
                return


class TestPagesByNumber:
    @pytest.mark.parametrize("counts", [True, False])
    def test_hide_a_record_that_is_not_dead_for_that(self, make_env, counts):
        env = make_env(Numbered, cursor=None, deletes="sweep", lookback=timedelta(0), offset_paged=True)
        env.world.fill(35)
        env.world.counts = counts
        env.read()
        env.world.now += DAY
        env.world.on_page = lambda number: env.world.records.pop(1, None) if number == 2 else None
        result = env.read()
        assert (result.status, result.deleted, len(env.names())) == ("short", 0, 35)  # the first page had shown it
        env.world.on_page = lambda number: None
        env.world.now += DAY
        result = env.read()
        assert (result.status, result.deleted, env.names()) == ("done", 1, env.truth())

    def test_hide_a_record_that_is_not_left_out_for_that(self, make_env):
        env = make_env(Numbered, offset_paged=True)
        env.world.fill(35)
        env.world.on_page = lambda number: env.world.records.pop(1, None) if number == 2 else None
        assert env.read().status == "short"
        assert env.names().items() >= env.truth().items()
        env.world.on_page = lambda number: None
        env.world.now += DAY
        assert env.read().status == "done"

    @pytest.mark.parametrize("counts", [True, False])
    def test_are_read_once_more_and_are_short_where_that_shows_others(self, make_env, counts):
        """One record leaves while the first page is read and hides another; one that comes makes up for the count."""

        class Unbounded(Numbered):
            def read(self, stream, slice_, checkpoint=None):
                return super().read(stream, Slice(slice_.start), checkpoint)

            def counted_slice(self, stream, slice_):
                return Slice(slice_.start)

        env = make_env(Unbounded, offset_paged=True, lag=timedelta(0))
        env.world.fill(35)
        env.world.counts = counts

        def moves(number: int) -> None:
            if number == 2:
                env.world.now += MINUTE
                env.world.records.pop(1)
                env.world.put(36)

        env.world.on_page = moves
        result = env.read()
        assert (result.status, env.names().keys() >= env.truth().keys() - {"36"}) == ("short", True)
        env.world.on_page = lambda number: None
        env.world.now += DAY
        assert env.read().status == "done"
        assert env.names().items() >= env.truth().items()

    def test_of_a_whole_reading_agree_on_who_is_gone_whoever_comes(self, make_env):
        env = make_env(Numbered, cursor=None, deletes="sweep", lookback=timedelta(0), offset_paged=True)
        env.world.fill(35)
        env.read()
        env.world.on_page = lambda number: env.world.put(1000 + len(env.world.records))
        for victim in ("3", "4"):
            env.world.now += DAY
            del env.world.records[int(victim)]
            result = env.read()
            assert (result.status, victim in env.names()) == ("done", False)

    def test_that_never_agree_stay_unread(self, make_env):
        env = make_env(Numbered, offset_paged=True)
        env.world.fill(35)
        env.world.counts = False
        env.world.on_page = lambda number: env.world.put(100 + number, at=NOON - HOUR)
        result = env.read()
        assert (
            result.status,
            "its pages moved while they were read, and a second reading showed other records" in str(result.error),
        ) == ("short", True)
        env.world.on_page = lambda number: None
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_are_read_once_where_one_page_is_all(self, make_env):
        env = make_env(Numbered, offset_paged=True)
        env.world.fill(9)
        env.world.counts = False
        assert (env.read().pages, env.names()) == (1, env.truth())

    def test_are_begun_anew_where_they_may_have_moved(self, make_env, monkeypatch):
        env = make_env(Numbered, offset_paged=True)
        env.limits = PAGE_BY_PAGE
        env.world.fill(60)
        env.world.counts = False
        env.world.on_page = raises_at(5, Killed())
        with suppress(Killed):
            env.read()
        env.world.on_page = lambda number: None
        for number in range(1, 9):
            del env.world.records[number]
        env.project = env.opened()
        assert env.read().status == "done"
        assert env.names().items() >= env.truth().items()


def test_what_a_page_notes_is_told_once(make_env):
    class Noting(Toy):
        def read(self, stream, slice_, checkpoint=None):
            for page in super().read(stream, slice_, checkpoint):
                yield replace(page, notes=("keys come twice",))

    env = make_env(Noting)
    env.world.fill(30)
    assert env.read().notes == ["keys come twice"]


def test_a_count_that_is_not_told_again_is_still_that_count(make_env):
    class Once(Toy):
        def read(self, stream, slice_, checkpoint=None):
            rows = self.world.within(slice_)
            total = len(rows) if not self.world.requests else None
            self.world.requests.append((slice_, checkpoint))
            shown = [json.dumps(row).encode() for row in rows if row["id"] not in self.world.hidden]
            yield Page(stream, shown, self.world.now, None, total)

    env = make_env(Once)
    env.world.fill(30)
    env.world.hidden = {7}
    assert (env.read().status, env.read().missing) == ("short", 1)


class ByStamp(Toy):
    """Be asked by whatever cursor the stream names."""

    def read(self, stream, slice_, checkpoint=None):
        rows = [row for row in self.world.records.values() if _is_in(row[stream.cursor], slice_)]
        yield Page(stream, [json.dumps(row).encode() for row in rows], self.world.now, None, None)


class TestSettingsThatChange:
    def changed(self, env: ExtractEnv, **changes: Any) -> None:
        env.kind.streams = (replace(env.kind.streams[0], **changes),)
        env.project = env.opened()

    @pytest.mark.parametrize("changes", [{"cursor": "at"}, {"cursor": "created", "object": "v2/accounts"}])
    def test_another_cursor_or_path_reads_everything_anew(self, make_env, changes):
        env = make_env(ByStamp, cursor="created")
        for number in range(1, 6):
            env.world.put(number, created=(NOON - 10 * DAY).isoformat())
        env.world.now += HOUR
        env.read()
        env.world.put(2, "edited, which no new stamp of creation tells")
        env.world.now += DAY
        env.read()
        self.changed(env, **changes)
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_another_key_takes_the_place_of_the_old_one(self, make_env):
        env = make_env()
        for number in range(1, 6):
            env.world.put(number, code=f"c{number}")
        env.world.now += HOUR
        env.read()
        for key, expected in (("code", "c"), ("id", "")):
            self.changed(env, primary_key=key)
            assert env.read().status == "done"
            assert env.names() == {f"{expected}{number}": name for number, name in env.truth().items()}
            env.world.now += DAY

    def test_another_account_is_refused(self, make_env, monkeypatch):
        env = make_env()
        env.world.fill(5)
        env.read()
        monkeypatch.setattr(env.kind, "check", lambda self: Check("another", self.now()))
        with pytest.raises(AccessError, match="crm was account toy when it was first used, now it opens another"):
            env.read()
        env.project.ledger.pins.unpin("account:crm")
        assert env.read().status == "done"


class TestKeysThatComeBack:
    def test_a_list_that_goes_on_naming_a_key_kills_it_once(self, make_env):
        class Listing(Counting):
            def deletes(self, stream, slice_):
                rows = [json.dumps({"id": number}).encode() for number in self.world.deletions]
                yield Page(replace(stream, cursor=None), rows, self.world.now, None, deleted=True)

        env = make_env(Listing, deletes="list")
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        env.world.records.pop(7)
        env.world.deletions = [7]
        env.world.now += HOUR
        assert (env.read().deleted, "7" in env.names()) == (1, False)
        env.world.now += DAY
        env.world.put(7, "made anew")
        env.world.now += HOUR
        for _ in range(3):
            env.read()
            assert env.names() == env.truth()
            compact_all(StoredStream(env.project, "raw/crm/accounts", env.kind.streams[0]))
            env.world.now += DAY

    @pytest.mark.parametrize("counts", [True, False])
    def test_a_key_that_is_listed_again_under_its_old_stamp_is_read_again(self, make_env, counts):
        class Sweep(Toy):
            def keys(self, stream):
                yield [str(number) for number in self.world.records]

        env = make_env(Sweeping if counts else Sweep, deletes="sweep")
        env.world.counts = counts
        env.world.fill(50)
        env.read()
        env.world.now += DAY
        saved = {number: env.world.records.pop(number) for number in (3, 4, 5)}
        assert env.read().deleted == 3
        env.world.records.update(saved)
        env.world.now += DAY
        result = env.read()
        assert (result.status, "3 records are listed that are not stored" in (result.error or "")) == ("short", True)
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())


class TestTheWhole:
    """What was read of a stream in all, beside what its source counts or lists."""

    def late(self, env: ExtractEnv) -> None:
        """Read 35 records; then two come under stamps far before what is looked back for, and one of old is edited."""
        env.world.fill(35)
        env.read()
        env.world.now += DAY
        for number in (40, 41):
            env.world.put(number, at=NOON - HOUR)
        env.world.put(5, "edited just now")

    def test_an_edit_does_not_excuse_a_missing_record(self, make_env):
        env = make_env()
        self.late(env)
        assert env.read().status == "done"
        total = env.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert (total.source_count, total.source_new, total.source_held) == (37, 1, 1)
        assert whole(env, total)["gap"] == "2 of 37 records that the source counts are missing"

    def test_a_new_record_is_not_missing(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.world.put(36)
        env.world.put(5, "edited just now")
        env.read()
        total = env.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert (total.source_count, total.source_new - total.source_held) == (36, 2)
        row = whole(env, total)
        assert (row["source_new"], row["missing"], row["surplus"], row["is_closed"]) == (2, 0, 0, True)

    def test_a_new_record_does_not_excuse_one_too_many(self, make_env):
        env = make_env(deletes="flag")
        env.world.fill(35)
        env.read()
        env.world.now += DAY
        del env.world.records[7]
        env.world.put(36)
        env.read()
        row = whole(env, env.project.ledger.slice_counts.for_stream("crm", "accounts")[-1])
        assert row["gap"] == "1 stored records are no longer counted by the source"

    def test_a_source_that_never_rests_is_given_the_benefit_of_the_doubt(self, make_env):
        class Busy(Counting):
            def count(self, stream, slice_):
                self.world.put(max(self.world.records) + 1)
                return super().count(stream, slice_)

        env = make_env(Busy)
        env.world.fill(35)
        env.read()
        total = env.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert total.source_held is None
        assert whole(env, total)["is_closed"]

    def test_what_is_listed_and_was_not_read_is_read_by_the_next_run(self, make_env):
        env = make_env(Sweeping, deletes="sweep")
        self.late(env)
        env.world.put(42)
        result = env.read()
        assert (result.status, "2 records are listed that are not stored" in str(result.error)) == ("short", True)
        env.world.now += DAY
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_what_is_listed_and_cannot_be_read_is_not_asked_for_every_night(self, make_env):
        class More(Sweeping):
            def keys(self, stream):
                yield [*next(super().keys(stream)), "out of sight"]

        env = make_env(More, deletes="sweep", lookback=timedelta(0))
        env.world.fill(35)
        read = []
        for _ in range(4):
            result = env.read()
            assert (result.status, "1 records are listed that are not stored" in str(result.error)) == ("short", True)
            env.world.now += DAY
            read.append(result.read)
        assert read == [35, 35, 0, 0]
        assert env.project.ledger.sync.open_slices("crm", "accounts/full_refresh") == []
        env.kind.keys = Sweeping.keys
        assert env.read().status == "done"

    def test_a_key_before_the_first_stamp_is_not_one_that_was_not_read(self, make_env):
        env = make_env(Sweeping, deletes="sweep")
        env.project.connections["crm"].start = "2026-02-20"
        env.world.fill(35)
        env.world.put(99, at=NOON - 90 * DAY)
        for _ in range(2):
            assert env.read().status == "done"
            env.world.now += DAY
        del env.world.records[5]
        assert (env.read().status, "5" in env.names()) == ("done", False)

    def test_what_comes_late_within_the_lookback_while_keys_are_listed_is_left_to_the_next_run(self, make_env):
        class Late(Sweeping):
            def keys(self, stream):
                self.world.put(1000 + len(self.world.records), at=self.world.now - 3 * MINUTE)
                return super().keys(stream)

        env = make_env(Late, deletes="sweep")
        env.world.fill(35)
        for _ in range(3):
            assert env.read().status == "done"
            env.world.now += 5 * MINUTE
        assert env.names().keys() >= env.truth().keys() - {max(env.truth(), key=int)}


def whole(env: ExtractEnv, total: SliceCount) -> dict[str, Any]:
    """Give the row of `reconciliation` for a stream as a whole."""
    flow = Flow("crm", env.stream, [total])
    flow.note("landed", len(env.names()))
    return next(iter(flow.rows()))
