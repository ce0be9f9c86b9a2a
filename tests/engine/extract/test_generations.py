"""Generations of raw rows: what counts while a full refresh is open, and what has to be known before it is complete."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from connectors.files.connector import Files
from connectors.kit.base import TargetRecord
from connectors.kit.errors import ReplyError
from connectors.kit.raw_rows import Page
from connectors.kit.stream import Stream
from engine.config.connection import ConnectionConfig
from engine.config.project import Project
from engine.extract.compaction import compact_all
from engine.extract.run import extract
from engine.extract.stored_rows import NUMBERS, stored_rows
from engine.extract.stored_stream import StoredStream
from engine.storage.backend import backend
from engine.storage.stores.generations import Generations
from tests.engine.extract.toy import ACCOUNTS, NOON, PAGE_BY_PAGE, Counting, ExtractEnv, Telling, Toy, raises_at
from transforms.conform.conform import latest

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Build = Callable[..., ExtractEnv]


class Killed(BaseException):
    """Stand for a process that dies here."""


class ByKey(Counting):
    """Answer for single records, with their cursor."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]:
        rows = {key: self.world.records.get(int(key)) for key in record_ids}
        return {key: TargetRecord(key, {field: row.get(field) for field in fields}) for key, row in rows.items() if row}


@pytest.fixture
def make_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    def build(kind: type[Toy] = Counting, **changes: Any) -> ExtractEnv:
        env = ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))
        env.limits = PAGE_BY_PAGE
        return env

    return build


def generations(env: ExtractEnv) -> Generations:
    return env.project.ledger.generations.of("crm", "accounts")


def stored(env: ExtractEnv) -> list[dict[str, Any]]:
    """Give all rows of the lake's files, in the order of the files."""
    files = env.project.ledger.files.for_asset("raw/crm/accounts")
    return [row for path in env.project.lake.proven(files) for row in pq.read_table(path).to_pylist()]


class TestRows:
    def test_carry_their_generation_and_the_order_of_their_landing(self, make_env):
        env = make_env()
        env.world.fill(25)
        env.read()
        env.world.put(3, "edited")
        env.world.now += HOUR
        env.read()
        rows = stored(env)
        assert {row["_generation"] for row in rows} == {0}
        assert [row["_sequence"] for row in rows] == sorted({row["_sequence"] for row in rows})

    def test_keep_both_through_a_compaction(self, make_env):
        env = make_env()
        env.world.fill(25)
        env.read(full=True)
        env.world.put(3, "edited")
        env.world.now += HOUR
        env.read()
        numbers = {(row["_key"], row["name"]): [row[name] for name in NUMBERS.names] for row in stored(env)}
        compact_all(StoredStream(env.project, "raw/crm/accounts", env.stream))
        rows = stored(env)
        assert len(rows) == 25
        assert all(numbers[row["_key"], row["name"]] == [row[name] for name in NUMBERS.names] for row in rows)

    def test_of_a_file_without_either_are_of_generation_0_in_the_order_of_the_files(self, make_env):
        env = make_env(cursor=None, deletes="none", lookback=timedelta(0), lag=timedelta(0))
        env.world.put(1, "first")
        env.read()
        env.world.put(1, "second")  # at the same instant of the source's clock
        env.read()
        files = env.project.ledger.files.for_asset("raw/crm/accounts")
        for file in files:
            table = pq.read_table(env.project.lake.full(file.path))
            old = env.project.lake.write(file.asset, table.drop_columns(NUMBERS.names))
            env.project.ledger.files.replace([file], old, "version 0.1")
        assert env.names() == {"1": "second"}
        env.read()
        assert len(stored(env)) == 2
        compact_all(StoredStream(env.project, "raw/crm/accounts", env.kind.streams[0]))
        assert env.names() == {"1": "second"}
        env.world.put(1, "third")
        env.read()
        assert env.names() == {"1": "third"}

    def test_of_tombstones_have_key_and_time_and_no_payload(self, make_env):
        env = make_env(Telling, deletes="feed")
        env.world.fill(25)
        env.read()
        env.world.deletions = [env.world.records.pop(7) | {"at": (NOON + MINUTE).isoformat(), "mail": "a person"}]
        env.world.now += DAY
        assert env.read().deleted == 1
        (row,) = (row for row in stored(env) if row["_deleted"])
        assert (row["_key"], row["_cursor"], row["_payload"], row["name"]) == ("7", NOON + MINUTE, "{}", None)


class TestWhatOpensOne:
    def test_a_night_does_not(self, make_env):
        env = make_env(cursor=None, deletes="sweep", lookback=timedelta(0), lag=timedelta(0))
        env.world.fill(25)
        for _ in range(3):
            env.read()
            env.world.now += DAY
        assert (generations(env), env.landed()) == (Generations(), 25)

    def test_a_full_refresh_does_and_rows_are_left_out_only_against_their_own_generation(self, make_env):
        env = make_env()
        env.world.fill(25)
        env.read()
        env.world.now += DAY
        assert env.read(full=True).landed == 25
        assert generations(env) == Generations(1, 1)
        env.world.now += MINUTE
        assert env.read().landed == 0

    def test_a_reset_does(self, make_env):
        env = make_env()
        env.world.fill(25)
        env.read()
        assert env.project.ledger.sync.begin_full_refresh("crm", None, "state reset") == ["accounts"]
        assert generations(env) == Generations(0, 1)
        env.world.now += DAY
        assert (env.read().status, generations(env)) == ("done", Generations(1, 1))

    def test_a_restored_source_does_where_its_newest_records_can_be_asked_for(self, make_env):
        env = make_env(ByKey)
        env.world.fill(30)
        env.read()
        backup = deepcopy(env.world.records)
        env.world.now += DAY
        for number in (3, 4):
            env.world.put(number, "edited after the backup")
        env.world.put(31, "made after the backup")
        env.world.now += HOUR
        env.read()
        env.world.records = backup
        env.world.now += DAY
        result = env.read()
        assert result.notes[0].startswith("the source went back to earlier versions of records")
        assert (result.status, env.names(), generations(env)) == ("done", env.truth(), Generations(1, 1))
        env.world.now += DAY
        assert (env.read().notes, generations(env)) == ([], Generations(1, 1))

    def test_an_edit_or_a_deletion_of_the_newest_records_does_not(self, make_env):
        env = make_env(ByKey, deletes="flag")
        env.world.fill(30)
        env.read()
        env.world.now += DAY
        env.world.put(30, "edited")
        del env.world.records[29]
        env.world.now += HOUR
        env.read()
        env.world.now += DAY
        assert (env.read().notes, generations(env)) == ([], Generations())


class TestWhileOneIsOpen:
    @pytest.mark.parametrize("error", [ReplyError("broken off"), Killed()])
    @pytest.mark.parametrize("page", [1, 2, 3, 4, 5])
    @pytest.mark.parametrize("deletes", ["flag", "none"])
    def test_what_was_read_counts_and_nothing_is_gone(self, make_env, error, page, deletes):
        env = make_env(ByKey, deletes=deletes)
        env.world.fill(35)
        env.read()
        before = env.names()
        env.world.now += DAY
        for number in (5, 15, 25, 33):
            env.world.records[number]["name"] = "changed without a stamp"
        del env.world.records[35]
        env.world.on_page = raises_at(page, error)
        with suppress(Killed):
            env.read(full=True)
        read = {str(number) for number in (5, 15, 25, 33) if number <= 10 * (page - 1)}
        assert env.names() == before | dict.fromkeys(read, "changed without a stamp")
        env.world.on_page = lambda number: None
        env.project = env.opened()
        env.world.now += HOUR
        assert (env.read().status, env.names(), generations(env)) == ("done", env.truth(), Generations(1, 1))

    def test_no_file_is_compacted(self, make_env):
        env = make_env()
        env.world.fill(35)
        env.read()
        env.world.now += DAY
        env.world.on_page = raises_at(3, ReplyError("broken off"))
        env.read(full=True)
        rows = len(stored(env))
        compact_all(StoredStream(env.project, "raw/crm/accounts", env.stream))
        assert len(stored(env)) == rows

    def test_edits_of_later_nights_count(self, make_env):
        env = make_env(ByKey, deletes="flag")
        env.world.fill(40)
        env.read()
        env.world.now += DAY
        for number in range(20, 41):
            del env.world.records[number]
        assert env.read(full=True).status == "blocked"
        for night in range(2):
            env.world.now += DAY
            env.world.put(3, f"night {night}")
            env.world.now += HOUR
            assert env.read().status == "blocked"
            assert (env.names()["3"], len(env.names())) == (f"night {night}", 40)
        env.project.connections["crm"].max_delete_pct = 100
        assert (env.read().status, env.names()) == ("done", env.truth())

    def test_a_source_that_shows_fewer_rows_deletes_nothing(self, make_env):
        env = make_env(ByKey, deletes="flag")
        env.world.fill(40)
        env.read()
        env.world.now += DAY
        lost = {number: env.world.records.pop(number) for number in range(20, 41)}
        result = env.read(full=True)
        assert (result.status, generations(env).is_open, len(env.names())) == ("blocked", True, 40)
        assert "21 of 40 records are gone at the source" in str(result.error)
        env.world.records |= lost
        env.world.now += DAY
        assert (env.read().status, env.names(), generations(env).is_open) == ("done", env.truth(), False)
        env.world.now += DAY
        assert (env.read(full=True).status, env.names()) == ("done", env.truth())

    def test_another_full_refresh_begins_again(self, make_env):
        env = make_env(ByKey, deletes="flag")
        env.world.fill(35)
        env.read()
        env.world.on_page = raises_at(3, ReplyError("broken off"))
        env.read(full=True)
        env.world.on_page = lambda number: None
        env.world.now += HOUR
        assert env.read(full=True).landed == 35
        assert (generations(env), env.names()) == (Generations(2, 2), env.truth())


class TestAChangedKey:
    def changed(self, env: ExtractEnv) -> None:
        env.world.fill(35)
        for number in env.world.records:
            env.world.records[number]["code"] = f"c{number}"
        env.read()
        env.kind.streams = (replace(env.kind.streams[0], primary_key="code"),)
        env.project = env.opened()
        env.world.now += DAY

    @pytest.mark.parametrize("page", [1, 2, 3, 4])
    def test_waits_as_a_whole_until_all_is_read(self, make_env, page):
        env = make_env(ByKey, deletes="flag")
        self.changed(env)
        before = env.names()
        env.world.on_page = raises_at(page, Killed())
        with suppress(Killed):
            env.read()
        assert env.names() == before
        env.world.on_page = lambda number: None
        env.project = env.opened()
        env.world.now += HOUR
        assert env.read().status == "done"
        assert env.names() == {f"c{number}": name for number, name in env.truth().items()}

    def test_waits_for_the_delete_guard_where_fewer_records_come(self, make_env):
        env = make_env(deletes="flag")
        self.changed(env)
        before = env.names()
        for number in range(10, 36):
            del env.world.records[number]
        assert (env.read().status, env.names()) == ("blocked", before)
        env.project.connections["crm"].max_delete_pct = 100
        env.world.now += DAY
        assert env.read().status == "done"
        assert env.names() == {f"c{number}": name for number, name in env.truth().items()}


class TestWhenItIsComplete:
    def test_a_record_that_moved_away_while_all_was_read_is_read_before(self, make_env):
        env = make_env(deletes="flag")
        env.world.fill(35)
        env.read()
        env.world.now += DAY

        def edits(number: int) -> None:
            if number == 2:
                env.world.now += HOUR
                env.world.put(35, "edited meanwhile")
                env.world.now += HOUR

        env.world.on_page = edits
        result = env.read(full=True)
        assert (result.status, result.notes, env.names()) == ("done", [], env.truth())

    def test_rows_without_a_key_go_with_the_older_generation(self, make_env):
        class Misread(Toy):
            def read(self, stream, slice_, checkpoint=None):
                for page in super().read(stream, slice_, checkpoint):
                    yield replace(page, rows=[b'{"text": "%d"}' % number for number in range(len(page.rows))])

        env = make_env(Misread, cursor=None, deletes="sweep", lookback=timedelta(0), lag=timedelta(0))
        env.world.fill(5)
        env.read()
        assert [*env.names()] == [None]
        env.kind.read = Toy.read
        assert (env.read(full=True).status, env.names()) == ("done", env.truth())


class Exports:
    """A folder of exports that a project reads by the real connector."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder, self.runs = home, home / "exports", 0
        self.folder.mkdir()
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Open the project with settings of the stream, as another process would."""
        fields = {"account_id": "id", "name": "name"}
        stream = {"path": "*.csv", "primary_key": "id", "table": "accounts", "fields": fields}
        settings = {"root": str(self.folder), "streams": {"accounts": stream | changes}}
        config = ConnectionConfig(connector="files", settings=settings)
        self.project = Project(self.home / "defs", self.home, connections={"books": config})

    def read(self, **options: Any) -> int:
        """Read all files; tells how many rows landed."""
        self.runs += 1
        (result,) = extract(self.project, "books", f"run-{self.runs}", **options)
        assert (result.status, result.error) == ("done", None)
        return result.landed

    def names(self) -> dict[str, str]:
        (stream,) = Files.declared_streams(self.project.connections["books"].settings)
        rows = latest(stored_rows(self.project, backend.connect(threads=1), "books", stream)).to_pyarrow().to_pylist()
        return {row["_key"]: row["name"] for row in rows}


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    return Exports(tmp_path)


def test_another_key_of_files_takes_the_place_of_the_old_one(exports):
    rows = "".join(f"{number},name {number}\n" for number in range(1, 31))
    (exports.folder / "all.csv").write_text(f"id,name\n{rows}")
    exports.configure(primary_key=None)
    exports.read()
    assert "all.csv:1" in exports.names()
    exports.configure()
    for landed in (30, 0):
        assert exports.read() == landed
        assert exports.names() == {str(number): f"name {number}" for number in range(1, 31)}


class TestAKeyThatComesMoreThanOnce:
    @pytest.mark.parametrize(("earlier", "later"), [("Aa", "Zz"), ("Zz", "Aa")])
    def test_is_what_the_later_file_says_and_stays_so(self, exports, earlier, later):
        (exports.folder / "2026-01.csv").write_text(f"id,name\n1,{earlier}\n2,other\n")
        (exports.folder / "2026-02.csv").write_text(f"id,name\n1,{later}\n")
        for landed in (3, 0, 0):
            assert exports.read() == landed
            assert exports.names() == {"1": later, "2": "other"}
        (exports.folder / "2026-03.csv").write_text("id,name\n1,Mm\n")
        for _ in range(2):
            exports.read()
            assert exports.names() == {"1": "Mm", "2": "other"}
        exports.read(full=True)
        assert exports.names() == {"1": "Mm", "2": "other"}

    @pytest.mark.parametrize(("earlier", "later"), [("Aa", "Zz"), ("Zz", "Aa")])
    def test_is_what_the_later_row_of_a_file_says(self, exports, earlier, later):
        (exports.folder / "all.csv").write_text(f"id,name\n1,{earlier}\n1,{later}\n")
        for _ in range(3):
            exports.read()
            assert exports.names() == {"1": later}
        (exports.folder / "all.csv").write_text(f"id,name\n1,{later}\n1,{earlier}\n")
        for _ in range(2):
            exports.read()
            assert exports.names() == {"1": earlier}

    @pytest.mark.parametrize(("earlier", "later"), [("Aa", "Zz"), ("Zz", "Aa")])
    def test_lands_again_where_its_rows_are_far_apart(self, make_env, earlier, later):
        """They come with different pages, each of which lands on its own."""

        class Twice(Toy):
            def read(self, stream, slice_, checkpoint=None):
                names = [earlier, "other", later]
                rows = [{"id": 1 if name != "other" else 2, "name": name} for name in names]
                for number, row in enumerate(rows[(checkpoint or {}).get("done", 0) :], start=1):
                    yield Page(
                        stream, [json.dumps(row).encode()], self.world.now, {"done": number} if number < 3 else None
                    )

        env = make_env(Twice, cursor=None, deletes="sweep", lookback=timedelta(0), lag=timedelta(0))
        for _ in range(3):
            assert env.read().status == "done"
            assert env.names() == {"1": later, "2": "other"}
        env.world.now += DAY
        env.read()
        assert env.names() == {"1": later, "2": "other"}
