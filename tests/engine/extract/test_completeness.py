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
from engine.extract.stored_stream import StoredStream
from engine.storage.slice_counts import SliceCount
from tests.engine.extract.toy import ACCOUNTS, NOON, Counting, ExtractEnv, Sweeping, Telling, Toy, _is_in, raises_at

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


class Killed(BaseException):
    """Stand for a process that dies here."""


@pytest.fixture
def house(tmp_path, monkeypatch) -> Build:
    def build(kind: type[Toy] = Counting, **changes: Any) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))

    return build


class TestASecondPass:
    def test_keeps_alive_what_it_alone_was_sent(self, house):
        here = house(Toy, cursor=None, deletes="sweep", lookback=timedelta(0), lag=timedelta(0))
        here.world.fill(35)
        here.read()
        here.world.now += DAY
        here.world.hidden = {17}
        here.world.on_page = lambda number: here.world.hidden.clear() if number == 5 else None
        result = here.read()
        assert (result.status, result.deleted, here.held()) == ("done", 0, here.truth())

    @pytest.mark.parametrize("error", [ReplyError("broken off"), Killed()])
    def test_that_breaks_off_proves_nothing(self, house, monkeypatch, error):
        if isinstance(error, Killed):
            monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
        here = house(Toy)
        here.world.fill(100)
        here.world.hidden = {*range(81, 91)}
        here.world.on_page = raises_at(16, error)  # of the second pass: the first has eleven pages
        with suppress(Killed):
            here.read()
        here.world.on_page = lambda number: None
        here.world.now += DAY
        here.project = here.opened()
        assert here.read().status == "short"
        here.world.hidden = set()
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())


class TestWhatWasHeldAlready:
    def test_counts_once_where_its_landing_failed(self, house, monkeypatch):
        here = house(Toy)
        here.world.fill(30)
        here.read()
        for number in range(31, 41):
            here.world.put(number, at=NOON - HOUR)
        here.world.hidden = {*range(31, 41)}
        here.world.now += DAY
        land, failing = here.project.ledger.sync.land, iter([BusyError("locked")])

        def busy(*given: Any, **options: Any) -> None:
            for error in failing:
                raise error
            land(*given, **options)

        monkeypatch.setattr(here.project.ledger.sync, "land", busy)
        here.read(full=True)
        assert here.read().status == "short"
        here.world.hidden = set()
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    def test_counts_once_with_its_newer_version(self, house):
        class Drifting(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                sent = [*old, *(row for row in rows if row["id"] != 20)] if old else rows
                yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

        old: list[dict[str, Any]] = []
        here = house(Drifting)
        here.world.fill(5)
        here.world.put(5, at=NOON - 3 * MINUTE)
        here.read()
        old.append(dict(here.world.records[5]))
        here.world.now += HOUR
        for number in (5, 18, 19, 20):
            here.world.put(number, "edited while it is read")
        here.world.now += HOUR
        assert here.read().status == "short"
        old.clear()
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    def test_does_not_let_rows_without_a_key_count_twice(self, house):
        class Keyless(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                shown = [row | {"id": None if row["id"] > 10 else row["id"]} for row in rows]
                yield Page(stream, [json.dumps(row).encode() for row in shown], self.world.now, None, len(rows))

        here = house(Keyless, lookback=DAY)
        here.world.fill(5)
        here.read()
        here.world.now += HOUR
        for number in range(8, 14):
            here.world.put(number)
        here.world.now += HOUR
        assert here.read().status == "done"
        *_, last = here.project.ledger.slice_counts.for_stream("crm", "accounts")
        assert (last.source_count, last.read) == (11, 11)

    @pytest.mark.parametrize("lookback", [timedelta(0), DAY])
    def test_does_not_let_such_rows_stand_for_what_a_second_reading_lacks_too(self, house, lookback):
        class Keyless(Toy):
            def read(self, stream, slice_, checkpoint=None):
                rows = self.world.within(slice_)
                shown = [row for row in rows if row["id"] not in self.world.hidden]
                sent = [row | {"id": None if row["id"] > 10 else row["id"]} for row in shown]
                yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

        here = house(Keyless, lookback=lookback)
        here.world.fill(12)
        here.world.hidden = {3, 4}
        assert (here.read().status, here.read().missing) == ("short", 2)
        here.world.hidden = set()
        here.world.now += DAY
        assert here.read().status == "done"
        here.world.put(12)
        here.world.put(2)
        here.world.hidden = {2}
        here.world.now += HOUR
        assert here.read().status == "short"

    def test_is_known_after_a_crash_without_reading_it_again(self, house, monkeypatch):
        monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
        here = house(Toy, lookback=DAY)
        here.world.fill(100)
        here.read()
        here.world.now += HOUR
        here.world.put(1, "edited")
        here.world.now += HOUR
        here.world.on_page = raises_at(8, Killed())
        with suppress(Killed):
            here.read()
        here.world.on_page = lambda number: None
        here.project = here.opened()
        assert (here.read().status, here.held()) == ("done", here.truth())
        (resumed, _), *_ = here.world.asked
        assert [place["last"] for slice_, place in here.world.asked if slice_ == resumed] == [70, 80, 90, 100]
        assert here.project.ledger.files.pending("seen/crm/accounts") == []


class TestDeletions:
    def test_that_show_late_are_looked_back_for(self, house):
        here = house(Telling, deletes="feed")
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        row = here.world.records.pop(7)
        here.read()
        here.world.gone = [row | {"at": (here.world.now - 3 * MINUTE).isoformat()}]
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    @pytest.mark.parametrize("kind", [Sweeping, Telling])
    def test_are_not_counted_where_many_were_merged_that_night(self, house, kind):
        fields = ACCOUNTS.fields | {"merged_ids": "merged"}
        here = house(kind, deletes="sweep" if kind is Sweeping else "feed", merged_ids="merged", fields=fields)
        here.world.fill(50)
        here.read()
        here.world.now += HOUR
        here.world.put(8, merged=";".join(map(str, range(20, 40))))
        gone = [here.world.records.pop(number) for number in range(20, 40)]
        here.world.gone = [row | {"at": here.world.now.isoformat()} for row in gone]
        here.world.now += DAY
        assert here.read().status == "done"

    def test_are_landed_in_the_memory_of_a_batch(self, house, monkeypatch):
        class Many(Telling):
            def deletes(self, stream, slice_):
                for first in range(0, 40_000, 1_000):
                    rows = [json.dumps({"id": f"x{first + n}", "pad": "p" * 900}).encode() for n in range(1_000)]
                    yield Page(stream, rows, self.world.now, None, deleted=True)

        monkeypatch.setattr("engine.extract.lake_writer.BYTES", 1 << 20)
        here = house(Many, deletes="list")
        here.world.fill(5)
        tracemalloc.start()
        try:
            assert here.read().status == "done"
            assert tracemalloc.get_traced_memory()[1] < 20 << 20
        finally:
            tracemalloc.stop()
        assert here.landed() == 40_005


class TestABeginning:
    def test_that_is_moved_back_is_no_outage(self, house):
        here = house(Counting)
        here.project.connections["crm"].start = "2026-02-01"
        here.world.fill(50)
        here.read()
        here.project.connections["crm"].start = "2020-01-01"
        here.world.now += DAY
        here.world.put(2, "edited")
        here.world.now += HOUR
        assert (here.read().status, here.held()) == ("done", here.truth())
        here.project.connections["crm"].start = None
        here.world.now += DAY
        assert here.read().status == "done"

    def test_that_is_moved_back_makes_no_derived_field_new(self, house):
        here = house(Counting, uncursored_fields=("score",))
        here.project.connections["crm"].start = "2026-02-01"
        here.world.fill(50)
        read_at = here.read().derived_read_at
        here.project.connections["crm"].start = "2020-01-01"
        here.world.now += DAY
        assert here.read().derived_read_at == read_at == NOON - ACCOUNTS.lag

    @pytest.mark.parametrize("counts", [True, False])
    def test_whose_first_window_is_empty_by_now_is_none(self, house, counts):
        here = house(Sweeping if counts else Toy, deletes="none", window=7 * DAY)
        here.world.counts = counts
        here.project.connections["crm"].start = "2026-01-01"
        here.world.put(1, at=NOON - 57 * DAY)
        for number in range(2, 30):
            here.world.put(number, at=NOON - 50 * DAY + number * DAY)
        here.read()
        here.world.now += DAY
        here.world.put(1, "edited")
        here.world.now += DAY
        assert (here.read(full=True).status, here.held()) == ("done", here.truth())

    def test_that_is_empty_to_the_end_is_one(self, house):
        here = house(Toy, window=7 * DAY, deletes="none")
        here.world.counts = False
        here.project.connections["crm"].start = "2026-01-01"
        here.world.fill(30)
        here.read()
        here.world.absent, here.world.now = True, here.world.now + DAY
        result = here.read(full=True)
        assert (result.status, "answered no record at all" in (result.error or "")) == ("blocked", True)
        here.world.absent, here.world.now = False, here.world.now + DAY
        here.world.put(1, "edited")
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())


def test_slices_are_bounded_by_whole_seconds_after_a_clock_was_set_right(house, monkeypatch):
    here = house(Toy, lookback=timedelta(0))
    ours = [NOON + timedelta(microseconds=123_456)]
    monkeypatch.setattr("engine.extract.source_rollback.ours", lambda: ours[0])
    here.world.now = NOON + HOUR
    here.world.fill(5)
    here.read()
    ours[0], here.world.now = NOON + 2 * HOUR + timedelta(microseconds=654_321), NOON + 2 * HOUR
    result = here.read()
    assert result.notes
    assert result.since.microsecond == 0


class Numbered(Toy):
    """Hand pages out by their number, as many systems do."""

    def read(self, stream, slice_, checkpoint=None):
        number = (checkpoint or {}).get("page", 0)
        while True:
            self.world.asked.append((slice_, checkpoint))
            self.world.on_page(len(self.world.asked))
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
    def test_hide_a_record_that_is_not_dead_for_that(self, house, counts):
        here = house(Numbered, cursor=None, deletes="sweep", lookback=timedelta(0), offset_paged=True)
        here.world.fill(35)
        here.world.counts = counts
        here.read()
        here.world.now += DAY
        here.world.on_page = lambda number: here.world.records.pop(1, None) if number == 2 else None
        result = here.read()
        assert (result.status, result.deleted, len(here.held())) == ("short", 0, 35)  # the first page had shown it
        here.world.on_page = lambda number: None
        here.world.now += DAY
        result = here.read()
        assert (result.status, result.deleted, here.held()) == ("done", 1, here.truth())

    def test_hide_a_record_that_is_not_left_out_for_that(self, house):
        here = house(Numbered, offset_paged=True)
        here.world.fill(35)
        here.world.on_page = lambda number: here.world.records.pop(1, None) if number == 2 else None
        assert here.read().status == "short"
        assert here.held().items() >= here.truth().items()
        here.world.on_page = lambda number: None
        here.world.now += DAY
        assert here.read().status == "done"

    @pytest.mark.parametrize("counts", [True, False])
    def test_are_read_once_more_and_are_short_where_that_shows_others(self, house, counts):
        """One record leaves while the first page is read and hides another; one that comes makes up for the count."""

        class Unbounded(Numbered):
            def read(self, stream, slice_, checkpoint=None):
                return super().read(stream, Slice(slice_.start), checkpoint)

            def counted(self, stream, slice_):
                return Slice(slice_.start)

        here = house(Unbounded, offset_paged=True, lag=timedelta(0))
        here.world.fill(35)
        here.world.counts = counts

        def moves(number: int) -> None:
            if number == 2:
                here.world.now += MINUTE
                here.world.records.pop(1)
                here.world.put(36)

        here.world.on_page = moves
        result = here.read()
        assert (result.status, here.held().keys() >= here.truth().keys() - {"36"}) == ("short", True)
        here.world.on_page = lambda number: None
        here.world.now += DAY
        assert here.read().status == "done"
        assert here.held().items() >= here.truth().items()

    def test_of_a_whole_reading_agree_on_who_is_gone_whoever_comes(self, house):
        here = house(Numbered, cursor=None, deletes="sweep", lookback=timedelta(0), offset_paged=True)
        here.world.fill(35)
        here.read()
        here.world.on_page = lambda number: here.world.put(1000 + len(here.world.records))
        for victim in ("3", "4"):
            here.world.now += DAY
            del here.world.records[int(victim)]
            result = here.read()
            assert (result.status, victim in here.held()) == ("done", False)

    def test_that_never_agree_stay_unread(self, house):
        here = house(Numbered, offset_paged=True)
        here.world.fill(35)
        here.world.counts = False
        here.world.on_page = lambda number: here.world.put(100 + number, at=NOON - HOUR)
        result = here.read()
        assert (
            result.status,
            "its pages moved while they were read, and a second reading showed other records" in str(result.error),
        ) == ("short", True)
        here.world.on_page = lambda number: None
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    def test_are_read_once_where_one_page_is_all(self, house):
        here = house(Numbered, offset_paged=True)
        here.world.fill(9)
        here.world.counts = False
        assert (here.read().pages, here.held()) == (1, here.truth())

    def test_are_begun_anew_where_they_may_have_moved(self, house, monkeypatch):
        monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
        here = house(Numbered, offset_paged=True)
        here.world.fill(60)
        here.world.counts = False
        here.world.on_page = raises_at(5, Killed())
        with suppress(Killed):
            here.read()
        here.world.on_page = lambda number: None
        for number in range(1, 9):
            del here.world.records[number]
        here.project = here.opened()
        assert here.read().status == "done"
        assert here.held().items() >= here.truth().items()


def test_what_a_page_notes_is_told_once(house):
    class Noting(Toy):
        def read(self, stream, slice_, checkpoint=None):
            for page in super().read(stream, slice_, checkpoint):
                yield replace(page, notes=("keys come twice",))

    here = house(Noting)
    here.world.fill(30)
    assert here.read().notes == ["keys come twice"]


def test_a_count_that_is_not_told_again_is_still_that_count(house):
    class Once(Toy):
        def read(self, stream, slice_, checkpoint=None):
            rows = self.world.within(slice_)
            total = len(rows) if not self.world.asked else None
            self.world.asked.append((slice_, checkpoint))
            shown = [json.dumps(row).encode() for row in rows if row["id"] not in self.world.hidden]
            yield Page(stream, shown, self.world.now, None, total)

    here = house(Once)
    here.world.fill(30)
    here.world.hidden = {7}
    assert (here.read().status, here.read().missing) == ("short", 1)


class ByStamp(Toy):
    """Be asked by whatever cursor the stream names."""

    def read(self, stream, slice_, checkpoint=None):
        rows = [row for row in self.world.records.values() if _is_in(row[stream.cursor], slice_)]
        yield Page(stream, [json.dumps(row).encode() for row in rows], self.world.now, None, None)


class TestSettingsThatChange:
    def changed(self, here: ExtractEnv, **changes: Any) -> None:
        here.kind.streams = (replace(here.kind.streams[0], **changes),)
        here.project = here.opened()

    @pytest.mark.parametrize("changes", [{"cursor": "at"}, {"cursor": "created", "object": "v2/accounts"}])
    def test_another_cursor_or_path_reads_everything_anew(self, house, changes):
        here = house(ByStamp, cursor="created")
        for number in range(1, 6):
            here.world.put(number, created=(NOON - 10 * DAY).isoformat())
        here.world.now += HOUR
        here.read()
        here.world.put(2, "edited, which no new stamp of creation tells")
        here.world.now += DAY
        here.read()
        self.changed(here, **changes)
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    def test_another_key_is_refused(self, house):
        here = house()
        for number in range(1, 6):
            here.world.put(number, code=f"c{number}")
        here.world.now += HOUR
        here.read()
        self.changed(here, primary_key="code")
        result = here.read()
        assert result.status == "failed"
        assert "the primary key was 'id' and is 'code' now" in (result.error or "")
        self.changed(here, primary_key="id")
        assert here.read().status == "done"

    def test_another_account_is_refused(self, house, monkeypatch):
        here = house()
        here.world.fill(5)
        here.read()
        monkeypatch.setattr(here.kind, "check", lambda self: Check("another", self.now()))
        with pytest.raises(AccessError, match="crm was account toy when it was first used, now it opens another"):
            here.read()
        here.project.ledger.pins.unpin("account:crm")
        assert here.read().status == "done"


class TestKeysThatComeBack:
    def test_a_list_that_goes_on_naming_a_key_kills_it_once(self, house):
        class Listing(Counting):
            def deletes(self, stream, slice_):
                rows = [json.dumps({"id": number}).encode() for number in self.world.gone]
                yield Page(replace(stream, cursor=None), rows, self.world.now, None, deleted=True)

        here = house(Listing, deletes="list")
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        here.world.records.pop(7)
        here.world.gone = [7]
        here.world.now += HOUR
        assert (here.read().deleted, "7" in here.held()) == (1, False)
        here.world.now += DAY
        here.world.put(7, "made anew")
        here.world.now += HOUR
        for _ in range(3):
            here.read()
            assert here.held() == here.truth()
            compact_all(StoredStream(here.project, "raw/crm/accounts", here.kind.streams[0]))
            here.world.now += DAY

    @pytest.mark.parametrize("counts", [True, False])
    def test_a_key_that_is_listed_again_under_its_old_stamp_is_read_again(self, house, counts):
        class Sweep(Toy):
            def keys(self, stream):
                yield [str(number) for number in self.world.records]

        here = house(Sweeping if counts else Sweep, deletes="sweep")
        here.world.counts = counts
        here.world.fill(50)
        here.read()
        here.world.now += DAY
        saved = {number: here.world.records.pop(number) for number in (3, 4, 5)}
        assert here.read().deleted == 3
        here.world.records.update(saved)
        here.world.now += DAY
        result = here.read()
        assert (result.status, "3 records are listed that are not here" in (result.error or "")) == ("short", True)
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())


class TestTheWhole:
    """What was read of a stream in all, beside what its source counts or lists."""

    def late(self, here: ExtractEnv) -> None:
        """Read 35 records; then two come under stamps far before what is looked back for, and one of old is edited."""
        here.world.fill(35)
        here.read()
        here.world.now += DAY
        for number in (40, 41):
            here.world.put(number, at=NOON - HOUR)
        here.world.put(5, "edited just now")

    def test_an_edit_does_not_excuse_a_missing_record(self, house):
        here = house()
        self.late(here)
        assert here.read().status == "done"
        total = here.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert (total.source_count, total.source_new, total.source_held) == (37, 1, 1)
        assert whole(here, total)["gap"] == "2 of 37 records that the source counts are missing"

    def test_a_new_record_is_not_missing(self, house):
        here = house()
        here.world.fill(35)
        here.world.put(36)
        here.world.put(5, "edited just now")
        here.read()
        total = here.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert (total.source_count, total.source_new - total.source_held) == (36, 2)
        row = whole(here, total)
        assert (row["source_new"], row["missing"], row["surplus"], row["is_closed"]) == (2, 0, 0, True)

    def test_a_new_record_does_not_excuse_one_too_many(self, house):
        here = house(deletes="flag")
        here.world.fill(35)
        here.read()
        here.world.now += DAY
        del here.world.records[7]
        here.world.put(36)
        here.read()
        row = whole(here, here.project.ledger.slice_counts.for_stream("crm", "accounts")[-1])
        assert row["gap"] == "1 stored records are no longer counted by the source"

    def test_a_source_that_never_rests_is_given_the_benefit_of_the_doubt(self, house):
        class Busy(Counting):
            def count(self, stream, slice_):
                self.world.put(max(self.world.records) + 1)
                return super().count(stream, slice_)

        here = house(Busy)
        here.world.fill(35)
        here.read()
        total = here.project.ledger.slice_counts.for_stream("crm", "accounts")[-1]
        assert total.source_held is None
        assert whole(here, total)["is_closed"]

    def test_what_is_listed_and_was_not_read_is_read_by_the_next_run(self, house):
        here = house(Sweeping, deletes="sweep")
        self.late(here)
        here.world.put(42)
        result = here.read()
        assert (result.status, "2 records are listed that are not here" in str(result.error)) == ("short", True)
        here.world.now += DAY
        assert (here.read().status, here.held()) == ("done", here.truth())

    def test_what_is_listed_and_cannot_be_read_is_not_asked_for_every_night(self, house):
        class More(Sweeping):
            def keys(self, stream):
                yield [*next(super().keys(stream)), "out of sight"]

        here = house(More, deletes="sweep", lookback=timedelta(0))
        here.world.fill(35)
        read = []
        for _ in range(4):
            result = here.read()
            assert (result.status, "1 records are listed that are not here" in str(result.error)) == ("short", True)
            here.world.now += DAY
            read.append(result.read)
        assert read == [35, 35, 0, 0]
        assert here.project.ledger.sync.open_slices("crm", "accounts/full_refresh") == []
        here.kind.keys = Sweeping.keys
        assert here.read().status == "done"

    def test_a_key_before_the_first_stamp_is_not_one_that_was_not_read(self, house):
        here = house(Sweeping, deletes="sweep")
        here.project.connections["crm"].start = "2026-02-20"
        here.world.fill(35)
        here.world.put(99, at=NOON - 90 * DAY)
        for _ in range(2):
            assert here.read().status == "done"
            here.world.now += DAY
        del here.world.records[5]
        assert (here.read().status, "5" in here.held()) == ("done", False)

    def test_what_comes_late_within_the_lookback_while_keys_are_listed_is_left_to_the_next_run(self, house):
        class Late(Sweeping):
            def keys(self, stream):
                self.world.put(1000 + len(self.world.records), at=self.world.now - 3 * MINUTE)
                return super().keys(stream)

        here = house(Late, deletes="sweep")
        here.world.fill(35)
        for _ in range(3):
            assert here.read().status == "done"
            here.world.now += 5 * MINUTE
        assert here.held().keys() >= here.truth().keys() - {max(here.truth(), key=int)}


def whole(here: ExtractEnv, total: SliceCount) -> dict[str, Any]:
    """Give the row of `reconciliation` for a stream as a whole."""
    flow = Flow("crm", here.stream, [total])
    flow.note("landed", len(here.held()))
    return next(iter(flow.rows()))
