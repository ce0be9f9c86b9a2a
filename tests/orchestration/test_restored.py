"""A source that was restored from a backup: what it lost is lost here too, once its records are read anew."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from connectors.kit.base import Held
from connectors.kit.errors import BusyError, ReplyError
from connectors.kit.page import Page
from connectors.kit.stream import Stream
from tests.orchestration.toy import ACCOUNTS, NOON, Counting, House, Telling, Toy

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Build = Callable[..., House]


@pytest.fixture
def house(tmp_path, monkeypatch) -> Build:
    def made(kind: type[Toy] = Counting, **changes: Any) -> House:
        return House(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))

    return made


def restored(here: House, edited: int = 4) -> None:
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
    assert result.notes == ["the source went back to earlier versions of 4 records, and so they did here"]
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


@pytest.mark.parametrize("at", [2, 3])
def test_a_full_reading_that_is_gone_on_with_by_the_next_run_does_so_too(house, monkeypatch, at):
    monkeypatch.setattr("orchestration.landing.ROWS", 1)
    here = house()
    restored(here, edited=25)
    errors = {at: BusyError("later")}

    def breaks(number: int) -> None:
        if number in errors:
            raise errors.pop(number)

    here.world.on_page = breaks
    assert here.read(full=True).status == "failed"
    here.world.now += HOUR
    result = here.read()
    assert (result.status, here.held()) == ("done", here.truth())
    here.world.now += HOUR
    assert here.read().notes == []


def test_an_edit_in_the_midst_of_it_is_the_newest(house, monkeypatch):
    """The first window fails until the second one has shown a newer version of a record it had landed itself."""
    monkeypatch.setattr("orchestration.landing.ROWS", 1)
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
    here = house(derived=("score",))
    restored(here)
    here.world.now += timedelta(days=40)
    here.read()
    assert here.held() == here.truth()


@pytest.mark.parametrize("more", [{}, {"derived": ("score",)}])
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


class Fetching(Counting):
    """Read by key, too."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]:
        return {key: Held(key, {}) for key in record_ids if int(key) in self.world.records}


class TestWhatWasMadeAfterTheBackup:
    """Records that a whole reading does not show, of which no list, flag or feed will ever tell."""

    def fill(self, here: House) -> None:
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
        monkeypatch.setattr("orchestration.landing.ROWS", 1)
        here = house(Fetching, deletes="flag")
        self.fill(here)
        asked: list[str] = []
        fetch = Fetching.fetch
        here.kind.fetch = lambda self, stream, keys, fields: asked.extend(keys) or fetch(self, stream, keys, fields)
        errors = {at: BusyError("later")}

        def breaks(number: int) -> None:
            if number in errors:
                raise errors.pop(number)

        here.world.on_page = breaks
        assert here.read(full=True).status == "failed"
        here.world.now += HOUR
        assert (here.read().status, here.held(), asked) == ("done", here.truth(), ["31"])


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
