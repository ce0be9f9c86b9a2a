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
from engine.extract.stored_rows import read_rows
from engine.extract.stored_stream import StoredStream
from engine.storage.manifest import COMPACTION
from tests.engine.extract.toy import ACCOUNTS, NOON, PAGE_BY_PAGE, Counting, ExtractEnv, Telling, Toy, _is_in, raises_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


@pytest.fixture
def make_env(tmp_path, monkeypatch) -> Build:
    def build(kind: type[Toy] = Counting, **changes: Any) -> ExtractEnv:
        return ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))

    return build


def restored(env: ExtractEnv, edited: int = 4) -> None:
    """Read 30 records, edit some and read those, then go back to what was there before; a day later nobody knows."""
    env.world.fill(30)
    env.read()
    backup = deepcopy(env.world.records)
    env.world.now += DAY
    for number in range(1, edited + 1):
        env.world.put(number, "edited after the backup")
    env.world.now += HOUR
    assert env.read().landed == edited
    env.world.records = backup
    env.world.now += DAY


def test_a_full_reading_finds_what_it_went_back_to(make_env):
    env = make_env()
    restored(env)
    result = env.read(full=True)
    assert (result.status, result.changed) == ("done", 4)
    assert result.notes == []
    assert env.names() == env.truth()
    env.world.now += DAY
    again = env.read(full=True)
    assert (again.changed, again.notes, env.names()) == (0, [], env.truth())


def test_edits_after_that_count_again(make_env):
    env = make_env()
    restored(env)
    env.read(full=True)
    env.world.put(2, "edited again")
    env.world.now += DAY
    env.read()
    assert env.names() == env.truth()


def test_windows_are_each_looked_at(make_env):
    env = make_env(window=timedelta(hours=6))
    restored(env)
    env.read(full=True)
    assert env.names() == env.truth()


def test_a_deletion_that_was_undone_is_undone(make_env):
    env = make_env(Telling, deletes="feed")
    env.world.fill(30)
    env.read()
    backup = deepcopy(env.world.records)
    env.world.now += DAY
    env.world.deletions = [{"id": 7, "at": (env.world.now - HOUR).isoformat()}]
    del env.world.records[7]
    env.read()
    assert "7" not in env.names()
    env.world.records, env.world.deletions = backup, []
    env.world.now += DAY
    env.read(full=True)
    assert env.names() == env.truth()


def break_off(env: ExtractEnv, at: int) -> None:
    """Read all, up to a page; an hour passes."""
    env.world.on_page = raises_at(at, BusyError("later"))
    assert env.read(full=True).status == "failed"
    env.world.on_page = lambda number: None
    env.world.now += HOUR


@pytest.mark.parametrize("at", [2, 3])
def test_a_full_reading_that_is_gone_on_with_by_the_next_run_does_so_too(make_env, at):
    env = make_env()
    env.limits = PAGE_BY_PAGE
    restored(env, edited=25)
    break_off(env, at)
    result = env.read()
    assert (result.status, env.names()) == ("done", env.truth())
    env.world.now += HOUR
    assert env.read().notes == []


def test_an_edit_in_the_midst_of_it_is_the_newest(make_env):
    """The first window fails until the second one has shown a newer version of a record it had landed itself."""
    env = make_env(window=timedelta(days=2))
    env.limits = PAGE_BY_PAGE
    env.world.fill(30)
    env.read()
    env.world.now += DAY
    env.world.put(1, "one", at=NOON - HOUR)  # under an old stamp: only a full reading finds it
    broken = [ReplyError("not now")]

    def breaks(number: int) -> None:
        if number == 2 and broken:
            raise broken[0]

    env.world.on_page = breaks
    assert env.read(full=True).status == "failed"
    env.world.put(1, "edited in between")
    env.world.now += DAY
    env.world.on_page = lambda number: None
    env.read()
    assert env.names() == env.truth()


def test_a_second_look_at_derived_fields_heals_too(make_env):
    env = make_env(uncursored_fields=("score",))
    restored(env)
    env.world.now += timedelta(days=40)
    env.read()
    assert env.names() == env.truth()


@pytest.mark.parametrize("more", [{}, {"uncursored_fields": ("score",)}])
def test_an_answer_of_all_that_is_behind_by_minutes_does_no_harm(make_env, more):
    class Behind(Counting):
        def read(self, stream, slice_, checkpoint=None):
            rows = self.world.within(slice_)
            sent = rows if slice_.start else [old.get(row["id"], row) for row in rows]
            yield Page(stream, [json.dumps(row).encode() for row in sent], self.world.now, None, len(rows))

    old: dict[int, dict[str, Any]] = {}
    env = make_env(Behind, **more)
    env.world.fill(30)
    env.read()
    env.world.now += timedelta(days=40)
    old[7] = dict(env.world.records[7])
    env.world.put(7, "edited")
    env.world.now += timedelta(minutes=2)
    for full in (False, not more):
        assert env.read(full=full).notes == []
        assert env.names() == env.truth()
        env.world.now += timedelta(minutes=2)


def test_an_answer_that_is_behind_does_no_harm_in_a_common_night(make_env):
    class Behind(Counting):
        def read(self, stream, slice_, checkpoint=None):
            rows = [old.get(row["id"], row) for row in self.world.within(slice_)]
            yield Page(stream, [json.dumps(row).encode() for row in rows], self.world.now, None)

    old: dict[int, dict[str, Any]] = {}
    env = make_env(Behind)
    env.world.fill(30)
    env.read()
    old[30] = dict(env.world.records[30])
    env.world.put(30, "edited", at=NOON - timedelta(minutes=1, seconds=30))
    env.world.now += HOUR
    shown = old.pop(30)
    env.read()
    assert env.names() == env.truth()
    old[30] = shown
    env.world.now += timedelta(minutes=1)
    assert env.read().notes == []
    assert env.names() == env.truth()


def test_an_edit_lands_while_a_slice_stays_open_and_is_kept(make_env):
    """The first page of a reading of all shows a record as it is held; for three nights the second one is refused."""
    env = make_env()
    env.limits = PAGE_BY_PAGE
    env.world.fill(30)
    env.read()

    def breaks(number: int) -> None:
        slice_, checkpoint = env.world.requests[-1]
        if checkpoint and slice_.start is None:
            raise ReplyError("not now")

    env.world.on_page = breaks
    env.world.now += DAY
    env.read(full=True)
    for _ in range(3):
        env.world.put(1, f"edited on {env.world.now:%d}")
        env.world.now += DAY
        assert env.read().status == "failed"
    env.world.on_page = lambda number: None
    env.world.now += DAY
    result = env.read()
    assert (result.status, result.notes, env.names()) == ("done", [], env.truth())


def test_windows_that_were_held_already_are_set_back_all_of_them(make_env):
    env = make_env(window=3 * HOUR)
    env.limits = PAGE_BY_PAGE
    env.project.connections["crm"].start = "2026-03-01"
    for number in range(1, 41):
        env.world.put(number, at=NOON - timedelta(minutes=15 * number))
    env.world.size = 5
    env.read()
    backup = deepcopy(env.world.records)
    env.world.now += DAY
    for number in (2, 13, 14, 25, 26):
        env.world.put(number, "edited after the backup")
    env.world.now += HOUR
    assert env.read().landed == 5
    env.world.records = backup
    env.world.now += DAY
    broken = [ReplyError("not now")]

    def breaks(number: int) -> None:
        if broken and env.world.requests[-1][1]:
            raise broken[0]

    env.world.on_page = breaks
    env.read(full=True)
    broken.clear()
    env.world.now += DAY
    result = env.read()
    assert (result.status, result.notes) == ("done", [])
    assert env.names() == env.truth()


@pytest.mark.parametrize("path", ["newest", "settled", "at"])
def test_a_field_may_be_called_as_it_likes(make_env, path):
    env = make_env(fields={"account_id": "id", "name": "name", "score": path})
    restored(env)
    assert env.read(full=True).changed == 4
    assert env.names() == env.truth()


def test_a_key_that_comes_in_two_windows_is_no_sign_of_a_restore(make_env):
    class Twice(Toy):
        def read(self, stream, slice_, checkpoint=None):
            row = self.world.records[1]
            two = [row, row | {"name": "old", "at": (NOON - 10 * HOUR).isoformat()}]
            rows = [one for one in two if _is_in(one["at"], slice_)]
            yield Page(stream, [json.dumps(one).encode() for one in rows], self.world.now, None)

    env = make_env(Twice, window=6 * HOUR)
    env.project.connections["crm"].start = "2026-03-01"
    env.world.put(1, "new", at=NOON - 3 * HOUR)
    env.read()
    for _ in range(2):
        env.world.now += DAY
        result = env.read(full=True)
        assert (result.status, result.notes, env.names()) == ("done", [], {"1": "new"})


def test_a_build_in_between_takes_nothing_that_an_open_slice_counts(make_env):
    env = make_env()
    env.limits = PAGE_BY_PAGE
    restored(env)
    env.world.on_page = raises_at(2, BusyError("later"))
    env.read(full=True)
    env.world.on_page = lambda number: None
    asset = "raw/crm/accounts"
    (refresh,) = env.project.ledger.sync.open_slices("crm", "accounts/full_refresh")
    since = env.project.ledger.files.landed_since(asset, refresh.mark)
    assert since

    def rewrite_all() -> None:
        stored = StoredStream(env.project, asset, env.stream)
        rows = read_rows(env.project.lake, stored.engine, stored.before, env.stream)
        file = env.project.lake.write(asset, rows, con=stored.engine)
        env.project.ledger.files.replace(stored.before, file, COMPACTION)

    rewrite_all()
    env.project.lake.prune(1)
    assert env.project.ledger.files.landed_since(asset, refresh.mark) == since
    env.project.lake.proven(since)
    env.world.now += HOUR
    assert (env.read().status, env.names()) == ("done", env.truth())
    env.world.now += HOUR
    rewrite_all()
    env.project.lake.prune(1)
    assert env.project.ledger.files.landed_since(asset, refresh.mark) == []


def test_a_file_that_was_replaced_is_not_replaced_again(make_env):
    env = make_env()
    restored(env)
    held = StoredStream(env.project, "raw/crm/accounts", env.stream)
    compact_all(held)
    with pytest.raises(BusyError, match="raw/crm/accounts: a file to be compacted was replaced meanwhile"):
        compact_all(held)
    assert len(env.project.ledger.files.for_asset("raw/crm/accounts")) == 1


class Fetching(Counting):
    """Read by key, too."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        return {key: TargetRecord(key, {}) for key in record_ids if int(key) in self.world.records}


class TestWhatWasMadeAfterTheBackup:
    """Records that a whole reading does not show, of which no list, flag or feed will ever tell."""

    def fill(self, env: ExtractEnv) -> None:
        env.world.fill(30)
        env.read()
        env.world.now += DAY
        env.world.put(31, "lost")
        env.world.now += HOUR
        env.read()
        del env.world.records[31]
        env.world.now += DAY

    def test_is_gone_after_a_full_reading(self, make_env):
        env = make_env(Fetching, deletes="flag")
        self.fill(env)
        env.read()
        assert "31" in env.names()
        result = env.read(full=True)
        assert (result.status, result.deleted, env.names()) == ("done", 1, env.truth())
        env.world.now += DAY
        assert env.read().deleted == 0

    def test_stays_where_the_source_answers_for_nobody_by_key(self, make_env):
        class Blind(Counting):
            def fetch(
                self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]
            ) -> dict[str, TargetRecord]:
                return {}

        env = make_env(Blind, deletes="flag")
        self.fill(env)
        result = env.read(full=True)
        assert (result.status, result.deleted, len(result.notes)) == ("done", 0, 1)

    def test_is_named_where_the_source_cannot_be_asked_by_key(self, make_env):
        env = make_env(deletes="flag")
        self.fill(env)
        result = env.read(full=True)
        assert result.status == "done"
        assert result.notes == [
            "1 records are stored that the full refresh did not show, and this connector cannot be asked whether they are "
            "gone; they stay: 31"
        ]
        assert "31" in env.names()

    def test_stays_while_more_would_go_than_is_believable(self, make_env):
        env = make_env(Fetching, deletes="flag")
        self.fill(env)
        for number in range(20, 31):
            del env.world.records[number]
        assert env.read(full=True).status == "blocked"
        assert {"20", "31"} <= {*env.names()}
        env.project.connections["crm"].max_delete_pct = 100
        env.world.now += DAY
        assert env.read().status == "done"
        assert env.names() == env.truth()

    def test_what_is_edited_while_all_is_read_stays(self, make_env):
        env = make_env(Fetching, deletes="flag")
        env.world.fill(35)
        env.read()
        env.world.now += DAY

        def edits(number: int) -> None:
            if number == 2:
                env.world.now += HOUR
                env.world.put(15, "edited")

        env.world.on_page = edits
        result = env.read(full=True)
        assert (result.status, result.deleted, {*env.names()}) == ("done", 0, {*env.truth()})

    @pytest.mark.parametrize("at", [1, 2, 3, 4])
    def test_whom_a_reading_showed_that_broke_off_counts_as_shown(self, make_env, at):
        """Records deleted for good after they were shown are still held then; they go with the next full reading."""
        env = make_env(Fetching, deletes="flag")
        env.limits = PAGE_BY_PAGE
        self.fill(env)
        asked: list[str] = []
        fetch = Fetching.fetch
        env.kind.fetch = lambda self, stream, keys, fields: asked.extend(keys) or fetch(self, stream, keys, fields)
        break_off(env, at)
        assert (env.read().status, env.names()) == ("done", env.truth())
        assert (asked[0], len(asked)) == ("31", 6)  # and five that are there


def test_a_mass_deletion_that_was_blocked_and_undone_blocks_no_more(make_env):
    env = make_env(deletes="flag", deleted_values={"gone": ("true",)})
    env.world.fill(30)
    env.read()
    backup = deepcopy(env.world.records)
    env.world.now += DAY
    for number in range(1, 21):
        env.world.put(number, gone=True)
    env.world.now += HOUR
    assert env.read().status == "blocked"
    env.world.records = backup
    env.world.now += DAY
    assert env.read(full=True).status == "done"
    assert env.names() == env.truth()
