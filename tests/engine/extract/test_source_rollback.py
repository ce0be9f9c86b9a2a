"""A source that was restored from a backup: what it lost is lost here too, once its records are read anew."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.kit.base import TargetRecord
from connectors.kit.errors import BusyError, ReplyError
from connectors.kit.raw_rows import Page
from connectors.kit.stream import Stream
from engine.extract.compaction import compact_all
from engine.extract.stored_stream import StoredStream
from tests.engine.extract.toy import ACCOUNTS, NOON, Counting, ExtractEnv, Telling, Toy, _is_in, raises_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


@pytest.fixture
def house(tmp_path, monkeypatch) -> Build:
    def made(kind: type[Toy] = Counting, **changes: Any) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))

    return made


def went_back(count: int) -> str:
    return f"the source went back to earlier versions of {count} records, and so they did here"


def restored(here: ExtractEnv, edited: int = 4) -> None:
    """Read 30 records, edit some and read those, then go back to what was there before; a day later nobody knows."""
    here.world.fill(30)
    here.read()
    backup = deepcopy(here.world.records)
    here.world.now += DAY
    for number in range(1, edited + 1):
        here.world.put(number, "edited after the backup")
    here.world.now += HOUR
    assert here.read().landed == edited
    here.world.records = backup
    here.world.now += DAY


def test_a_full_reading_finds_what_it_went_back_to(house):
    here = house()
    restored(here)
    result = here.read(full=True)
    assert (result.status, result.changed) == ("done", 4)
    assert result.notes == [went_back(4)]
    assert here.held() == here.truth()
    here.world.now += DAY
    again = here.read(full=True)
    assert (again.landed, again.notes, here.held()) == (0, [], here.truth())


def test_edits_after_that_count_again(house):
    here = house()
    restored(here)
    here.read(full=True)
    here.world.put(2, "edited again")
    here.world.now += DAY
    here.read()
    assert here.held() == here.truth()


def test_windows_are_each_looked_at(house):
    here = house(window=timedelta(hours=6))
    restored(here)
    here.read(full=True)
    assert here.held() == here.truth()


def test_a_deletion_that_was_undone_is_undone(house):
    here = house(Telling, deletes="feed")
    here.world.fill(30)
    here.read()
    backup = deepcopy(here.world.records)
    here.world.now += DAY
    here.world.gone = [{"id": 7, "at": (here.world.now - HOUR).isoformat()}]
    del here.world.records[7]
    here.read()
    assert "7" not in here.held()
    here.world.records, here.world.gone = backup, []
    here.world.now += DAY
    here.read(full=True)
    assert here.held() == here.truth()


def break_off(here: ExtractEnv, at: int) -> None:
    """Read all, up to a page; an hour passes."""
    here.world.on_page = raises_at(at, BusyError("later"))
    assert here.read(full=True).status == "failed"
    here.world.on_page = lambda number: None
    here.world.now += HOUR


@pytest.mark.parametrize("at", [2, 3])
def test_a_full_reading_that_is_gone_on_with_by_the_next_run_does_so_too(house, monkeypatch, at):
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
    here = house()
    restored(here, edited=25)
    break_off(here, at)
    result = here.read()
    assert (result.status, here.held()) == ("done", here.truth())
    here.world.now += HOUR
    assert here.read().notes == []


def test_an_edit_in_the_midst_of_it_is_the_newest(house, monkeypatch):
    """The first window fails until the second one has shown a newer version of a record it had landed itself."""
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
    here = house(window=timedelta(days=2))
    here.world.fill(30)
    here.read()
    here.world.now += DAY
    here.world.put(1, "one", at=NOON - HOUR)  # under an old stamp: only a full reading finds it
    broken = [ReplyError("not now")]

    def breaks(number: int) -> None:
        if number == 2 and broken:
            raise broken[0]

    here.world.on_page = breaks
    assert here.read(full=True).status == "failed"
    here.world.put(1, "edited in between")
    here.world.now += DAY
    here.world.on_page = lambda number: None
    here.read()
    assert here.held() == here.truth()


def test_a_second_look_at_derived_fields_heals_too(house):
    here = house(uncursored_fields=("score",))
    restored(here)
    here.world.now += timedelta(days=40)
    here.read()
    assert here.held() == here.truth()


@pytest.mark.parametrize("more", [{}, {"uncursored_fields": ("score",)}])
def test_an_answer_of_all_that_is_behind_by_minutes_does_no_harm(house, more):
    class Behind(Counting):
        def read(self, stream, slice_, checkpoint=None):
            rows = self.world.within(slice_)
            sent = rows if slice_.start else [old.get(row["id"], row) for row in rows]
            yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

    old: dict[int, dict[str, Any]] = {}
    here = house(Behind, **more)
    here.world.fill(30)
    here.read()
    here.world.now += timedelta(days=40)
    old[7] = dict(here.world.records[7])
    here.world.put(7, "edited")
    here.world.now += timedelta(minutes=2)
    for full in (False, not more):
        assert here.read(full=full).notes == []
        assert here.held() == here.truth()
        here.world.now += timedelta(minutes=2)


def test_an_answer_that_is_behind_does_no_harm_in_a_common_night(house):
    class Behind(Counting):
        def read(self, stream, slice_, checkpoint=None):
            rows = [old.get(row["id"], row) for row in self.world.within(slice_)]
            yield Page(stream, [json.dumps(row).encode() for row in rows], self.world.now, None)

    old: dict[int, dict[str, Any]] = {}
    here = house(Behind)
    here.world.fill(30)
    here.read()
    old[30] = dict(here.world.records[30])
    here.world.put(30, "edited", at=NOON - timedelta(minutes=1, seconds=30))
    here.world.now += HOUR
    shown = old.pop(30)
    here.read()
    assert here.held() == here.truth()
    old[30] = shown
    here.world.now += timedelta(minutes=1)
    assert here.read().notes == []
    assert here.held() == here.truth()


def test_an_edit_lands_while_a_slice_stays_open_and_is_kept(house, monkeypatch):
    """The first page of a reading of all shows a record as it is held; for three nights the second one is refused."""
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
    here = house()
    here.world.fill(30)
    here.read()

    def breaks(number: int) -> None:
        slice_, checkpoint = here.world.asked[-1]
        if checkpoint and slice_.start is None:
            raise ReplyError("not now")

    here.world.on_page = breaks
    here.world.now += DAY
    here.read(full=True)
    for _ in range(3):
        here.world.put(1, f"edited on {here.world.now:%d}")
        here.world.now += DAY
        assert here.read().status == "failed"
    here.world.on_page = lambda number: None
    here.world.now += DAY
    result = here.read()
    assert (result.status, result.notes, here.held()) == ("done", [], here.truth())


def test_windows_that_were_held_already_are_set_back_all_of_them(house, monkeypatch):
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
    here = house(window=3 * HOUR)
    here.project.connections["crm"].start = "2026-03-01"
    for number in range(1, 41):
        here.world.put(number, at=NOON - timedelta(minutes=15 * number))
    here.world.size = 5
    here.read()
    backup = deepcopy(here.world.records)
    here.world.now += DAY
    for number in (2, 13, 14, 25, 26):
        here.world.put(number, "edited after the backup")
    here.world.now += HOUR
    assert here.read().landed == 5
    here.world.records = backup
    here.world.now += DAY
    broken = [ReplyError("not now")]

    def breaks(number: int) -> None:
        if broken and here.world.asked[-1][1]:
            raise broken[0]

    here.world.on_page = breaks
    here.read(full=True)
    broken.clear()
    here.world.now += DAY
    result = here.read()
    assert (result.status, result.notes) == ("done", [went_back(5)])
    assert here.held() == here.truth()


@pytest.mark.parametrize("path", ["newest", "settled", "at"])
def test_a_field_may_be_called_as_it_likes(house, path):
    here = house(fields={"account_id": "id", "name": "name", "score": path})
    restored(here)
    assert here.read(full=True).notes == [went_back(4)]
    assert here.held() == here.truth()


def test_a_key_that_comes_in_two_windows_is_no_sign_of_a_restore(house):
    class Twice(Toy):
        def read(self, stream, slice_, checkpoint=None):
            row = self.world.records[1]
            two = [row, row | {"name": "old", "at": (NOON - 10 * HOUR).isoformat()}]
            rows = [one for one in two if _is_in(one["at"], slice_)]
            yield Page(stream, [json.dumps(one).encode() for one in rows], self.world.now, None)

    here = house(Twice, window=6 * HOUR)
    here.project.connections["crm"].start = "2026-03-01"
    here.world.put(1, "new", at=NOON - 3 * HOUR)
    here.read()
    for _ in range(2):
        here.world.now += DAY
        result = here.read(full=True)
        assert (result.status, result.notes, here.held()) == ("done", [], {"1": "new"})


def test_a_build_in_between_takes_nothing_that_an_open_slice_counts(house, monkeypatch):
    monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
    here = house()
    restored(here)
    here.world.on_page = raises_at(2, BusyError("later"))
    here.read(full=True)
    here.world.on_page = lambda number: None
    asset = "raw/crm/accounts"
    (anew,) = here.project.ledger.sync.open_slices("crm", "accounts/full_refresh")
    since = here.project.ledger.files.landed_since(asset, anew.mark)
    assert since

    def rewrite_all() -> None:  # as where a clock was set right
        held = StoredStream(here.project, asset, here.stream)
        here.project.lake.compact(held.engine, asset, held.before, lambda rows: rows)

    rewrite_all()
    here.project.lake.prune(1)
    assert here.project.ledger.files.landed_since(asset, anew.mark) == since
    here.project.lake.proven(since)
    here.world.now += HOUR
    assert (here.read().status, here.held()) == ("done", here.truth())
    here.world.now += HOUR
    rewrite_all()
    here.project.lake.prune(1)
    assert here.project.ledger.files.landed_since(asset, anew.mark) == []


def test_a_file_that_was_replaced_is_not_replaced_again(house):
    here = house()
    restored(here)
    held = StoredStream(here.project, "raw/crm/accounts", here.stream)
    compact_all(held)
    with pytest.raises(BusyError, match="raw/crm/accounts: a file to be compacted was replaced meanwhile"):
        compact_all(held)
    assert len(here.project.ledger.files.for_asset("raw/crm/accounts")) == 1


class Fetching(Counting):
    """Read by key, too."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        return {key: TargetRecord(key, {}) for key in record_ids if int(key) in self.world.records}


class TestWhatWasMadeAfterTheBackup:
    """Records that a whole reading does not show, of which no list, flag or feed will ever tell."""

    def fill(self, here: ExtractEnv) -> None:
        here.world.fill(30)
        here.read()
        here.world.now += DAY
        here.world.put(31, "lost")
        here.world.now += HOUR
        here.read()
        del here.world.records[31]
        here.world.now += DAY

    def test_is_gone_after_a_full_reading(self, house):
        here = house(Fetching, deletes="flag")
        self.fill(here)
        here.read()
        assert "31" in here.held()
        result = here.read(full=True)
        assert (result.status, result.deleted, here.held()) == ("done", 1, here.truth())
        here.world.now += DAY
        assert here.read().deleted == 0

    def test_stays_where_the_source_answers_for_nobody_by_key(self, house):
        class Blind(Counting):
            def fetch(
                self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]
            ) -> dict[str, TargetRecord]:
                return {}

        here = house(Blind, deletes="flag")
        self.fill(here)
        result = here.read(full=True)
        assert (result.status, result.deleted, len(result.notes)) == ("done", 0, 1)

    def test_is_named_where_the_source_cannot_be_asked_by_key(self, house):
        here = house(deletes="flag")
        self.fill(here)
        result = here.read(full=True)
        assert result.status == "done"
        assert result.notes[0].startswith("1 records are held that a reading of all did not show")
        assert "31" in here.held()

    def test_stays_while_more_would_go_than_is_believable(self, house):
        here = house(Fetching, deletes="flag")
        self.fill(here)
        for number in range(20, 31):
            del here.world.records[number]
        assert here.read(full=True).status == "blocked"
        assert {"20", "31"} <= {*here.held()}
        here.project.connections["crm"].max_delete_pct = 100
        here.world.now += DAY
        assert here.read().status == "done"
        assert here.held() == here.truth()

    def test_what_is_edited_while_all_is_read_stays(self, house):
        here = house(Fetching, deletes="flag")
        here.world.fill(35)
        here.read()
        here.world.now += DAY

        def edits(number: int) -> None:
            if number == 2:
                here.world.now += HOUR
                here.world.put(15, "edited")

        here.world.on_page = edits
        result = here.read(full=True)
        assert (result.status, result.deleted, {*here.held()}) == ("done", 0, {*here.truth()})

    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_whom_a_reading_showed_that_broke_off_counts_as_shown(self, house, monkeypatch, at):
        """Records deleted for good after they were shown are still held then; they go with the next full reading."""
        monkeypatch.setattr("engine.extract.lake_writer.ROWS", 1)
        here = house(Fetching, deletes="flag")
        self.fill(here)
        asked: list[str] = []
        fetch = Fetching.fetch
        here.kind.fetch = lambda self, stream, keys, fields: asked.extend(keys) or fetch(self, stream, keys, fields)
        break_off(here, at)
        assert (here.read().status, here.held()) == ("done", here.truth())
        assert (asked[0], len(asked)) == ("31", 6)  # and five that are there


def test_a_mass_deletion_that_was_blocked_and_undone_blocks_no_more(house):
    here = house(deletes="flag", deleted_values={"gone": ("true",)})
    here.world.fill(30)
    here.read()
    backup = deepcopy(here.world.records)
    here.world.now += DAY
    for number in range(1, 21):
        here.world.put(number, gone=True)
    here.world.now += HOUR
    assert here.read().status == "blocked"
    here.world.records = backup
    here.world.now += DAY
    assert here.read(full=True).status == "done"
    assert here.held() == here.truth()
