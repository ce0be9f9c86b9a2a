"""Publishing: all tables or none, readers see the old ones or the new ones."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from connectors.kit.errors import BusyError, SettingsError
from engine.publish import duckdb as warehouse_duckdb
from engine.publish import publish, sql
from engine.publish.duckdb_existing import only_ours
from engine.publish.ownership import LOAD_INFO_COMMENT
from engine.publish.table import TableToPublish


def table(name: str = "things", columns: dict[str, list[object]] | None = None, **kinds: pa.DataType) -> TableToPublish:
    data = pa.table(columns or {"id": ["a", "b"], "amount": [1.5, None]})
    for column, kind in kinds.items():
        data = data.set_column(data.schema.get_field_index(column), column, data.column(column).cast(kind))
    comments = {column: f"What {column} is" for column in data.schema.names}
    return TableToPublish(name, f"Some {name}.", data.schema, comments, data=data, rows=data.num_rows)


def load_info(*names: str) -> TableToPublish:
    """List tables as a publication does: a database without comments knows ours by it alone."""
    columns: dict[str, list[object]] = {"table": [*names], "snapshot": ["s"] * len(names)}
    listed = table("load_info", columns | {"loaded_at": [datetime(2026, 1, 2, tzinfo=UTC)] * len(names)})
    return replace(listed, comment=LOAD_INFO_COMMENT)


def published(url: str, schema: str, *tables: TableToPublish) -> str:
    return sql.publish(url, schema, [*tables, load_info(*(table.name for table in tables))])


def run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))
    engine.dispose()


def rows_of(url: str, query: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sa.text(query))]
    engine.dispose()
    return rows


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'w.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def schema(request: pytest.FixtureRequest) -> str:
    return "s" + str(abs(hash(request.node.name)))[:10]


def name(url: str, schema: str, of: str = "things") -> str:
    return of if url.startswith("sqlite") else f'"{schema}"."{of}"'


def test_publishing_replaces_the_rows(url: str, schema: str):
    published(url, schema, table())
    published(url, schema, table(columns={"id": ["c"], "amount": [2.0]}))
    assert rows_of(url, f"SELECT id, amount FROM {name(url, schema)}") == [("c", 2.0)]


def test_a_new_column_is_added_by_itself(url: str, schema: str):
    published(url, schema, table())
    published(url, schema, table(columns={"id": ["c"], "amount": [2.0], "more": ["x"]}))
    assert rows_of(url, f"SELECT more FROM {name(url, schema)}") == [("x",)]


def test_a_column_whose_type_changed_stops_the_publication_and_is_named(url: str, schema: str):
    published(url, schema, table("other"), table())
    changed = table(columns={"id": ["c"], "amount": ["many"]})
    with pytest.raises(SettingsError, match=r"things\.amount"):
        sql.publish(url, schema, [table("other", {"id": ["z"], "amount": [9.0]}), changed])
    assert rows_of(url, f"SELECT count(*) FROM {name(url, schema, 'other')}") == [(2,)]


def test_types_arrive_unchanged(url: str, schema: str):
    columns: dict[str, list[object]] = {
        "money": [Decimal("12.34")],
        "day": [date(2026, 1, 2)],
        "count": [7],
        "is_one": [True],
        "at": [datetime(2026, 1, 2, 3, tzinfo=UTC)],
    }
    sql.publish(url, schema, [table(columns=columns, money=pa.decimal128(18, 2))])
    row = rows_of(url, f'SELECT money, day, "count", is_one FROM {name(url, schema)}')[0]
    assert (float(row[0]), str(row[1]), row[2], bool(row[3])) == (12.34, "2026-01-02", 7, True)


def test_a_table_of_one_of_our_names_that_others_made_is_refused(url: str, schema: str):
    published(url, schema, table("other"))
    run(
        url,
        f"CREATE TABLE {name(url, schema)} (id TEXT, note TEXT)",
        f"INSERT INTO {name(url, schema)} VALUES ('x', 'y')",
    )
    with pytest.raises(SettingsError, match="contains table things, which Belvedere did not publish and would empty"):
        published(url, schema, table("other", {"id": ["z"], "amount": [9.0]}), table())
    assert rows_of(url, f"SELECT note FROM {name(url, schema)}") == [("y",)]
    assert rows_of(url, f"SELECT count(*) FROM {name(url, schema, 'other')}") == [(2,)]


def test_a_load_info_that_others_made_lists_nothing_of_ours(url: str, schema: str):
    if not url.startswith("sqlite"):
        run(url, f'CREATE SCHEMA "{schema}"')
    run(
        url,
        f'CREATE TABLE {name(url, schema, "load_info")} ("table" TEXT)',
        f"INSERT INTO {name(url, schema, 'load_info')} VALUES ('things')",
        f"CREATE TABLE {name(url, schema)} (id TEXT)",
    )
    with pytest.raises(SettingsError, match="contains table things, table load_info, which"):
        published(url, schema, table())


@pytest.mark.real
def test_changes_of_others_to_our_tables_are_refused(postgres_url: str):
    published(postgres_url, "remade", table(), table("other"))
    run(
        postgres_url,
        "ALTER TABLE remade.other ADD COLUMN note TEXT",
        "CREATE TABLE remade.mine AS SELECT * FROM remade.things",
        "DROP TABLE remade.things",
        "ALTER TABLE remade.mine RENAME TO things",
    )
    with pytest.raises(SettingsError, match=r"contains table things, column other\.note, which"):
        published(postgres_url, "remade", table(), table("other"))
    assert rows_of(postgres_url, "SELECT count(*) FROM remade.things") == [(2,)]


@pytest.mark.real
def test_tables_published_before_there_were_marks_are_recognised_by_load_info(postgres_url: str):
    published(postgres_url, "unmarked", table())
    run(
        postgres_url,
        "COMMENT ON TABLE unmarked.things IS 'Some things.'",
        f"COMMENT ON TABLE unmarked.load_info IS '{LOAD_INFO_COMMENT}'",
    )
    published(postgres_url, "unmarked", table(columns={"id": ["c"], "amount": [2.0]}))
    assert rows_of(postgres_url, "SELECT count(*) FROM unmarked.things") == [(1,)]
    (comment,) = rows_of(postgres_url, "SELECT obj_description('unmarked.things'::regclass)")[0]
    assert str(comment).endswith("Published by Belvedere as things.")


@pytest.mark.real
def test_a_column_that_is_no_longer_published_is_recognised_as_ours(postgres_url: str):
    published(postgres_url, "shrunk", table())
    published(postgres_url, "shrunk", table(columns={"id": ["c"], "amount": [2.0], "more": ["x"]}))
    published(postgres_url, "shrunk", table())
    assert rows_of(postgres_url, "SELECT count(more) FROM shrunk.things") == [(0,)]


def test_a_nul_in_a_text_stops_no_publication(url: str, schema: str):
    published(url, schema, table(columns={"id": ["a\0b", None], "amount": [1.0, 2.0]}))
    texts = {text for (text,) in rows_of(url, f"SELECT id FROM {name(url, schema)}")}
    assert texts == {"a\0b" if url.startswith("sqlite") else "a\N{REPLACEMENT CHARACTER}b", None}


@pytest.mark.real
def test_comments_reach_the_database(postgres_url: str):
    sql.publish(postgres_url, "commented", [table()])
    rows = rows_of(
        postgres_url,
        "SELECT obj_description('commented.things'::regclass), col_description('commented.things'::regclass, 1)",
    )
    assert rows == [("Some things. Published by Belvedere as things.", "What id is")]


@pytest.mark.real
def test_a_reader_sees_old_rows_until_all_are_new(postgres_url: str):
    sql.publish(postgres_url, "seen", [table()])
    engine = sa.create_engine(postgres_url, isolation_level="REPEATABLE READ")
    with engine.connect() as reader:
        assert reader.execute(sa.text("SELECT count(*) FROM seen.things")).scalar() == 2
        sql.publish(postgres_url, "seen", [table(columns={"id": ["c"], "amount": [2.0]})])
        assert reader.execute(sa.text("SELECT count(*) FROM seen.things")).scalar() == 2
    engine.dispose()
    assert rows_of(postgres_url, "SELECT count(*) FROM seen.things") == [(1,)]


def test_an_unreachable_database_is_named_without_its_password():
    with pytest.raises(BusyError) as raised:
        sql.publish("postgresql+psycopg://me:secret@127.0.0.1:9/none", "s", [table()])
    assert "127.0.0.1:9" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(SettingsError, match="warehouse url"):
        sql.publish("nonsense", "s", [table()])


def test_a_duckdb_file_is_replaced_whole(tmp_path: Path):
    warehouse = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(warehouse, [table()])
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        warehouse_duckdb.publish(warehouse, [table(columns={"id": ["c"], "amount": [2.0]})])
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(2,)]
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(1,)]
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]


def test_the_old_file_stays_when_a_table_fails(tmp_path: Path):
    warehouse = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(warehouse, [table()])
    broken = TableToPublish("broken", "", pa.schema([("id", pa.string())]), {}, paths=[str(tmp_path / "gone.parquet")])
    with pytest.raises(duckdb.Error):
        warehouse_duckdb.publish(warehouse, [table(columns={"id": ["c"], "amount": [2.0]}), broken])
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(2,)]
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]


FOREIGN = {
    "CREATE TABLE mine AS SELECT 1 AS a": "table main.mine",
    "CREATE SCHEMA dbt": "schema dbt",
    "CREATE SCHEMA dbt; CREATE TABLE dbt.orders (a INTEGER)": "table dbt.orders, schema dbt",
    "CREATE VIEW big AS SELECT * FROM things": "view main.big",
    "CREATE MACRO half(x) AS x / 2": "macro main.half",
    "CREATE TYPE mood AS ENUM ('good')": "type main.mood",
    "CREATE SEQUENCE numbers": "sequence main.numbers",
    "CREATE INDEX by_id ON things (id)": "index main.by_id",
    "ALTER TABLE things ADD COLUMN note TEXT": "column things.note",
    "CREATE OR REPLACE TABLE things AS SELECT 'mine' AS id": "table main.things",
    "ALTER TABLE things RENAME TO things_of_march": "table main.things_of_march",
    "CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER); CREATE TABLE c (x INTEGER); CREATE TABLE d (x INTEGER); "
    "CREATE VIEW v AS SELECT 1 AS x": "table main.a, table main.b, table main.c and 2 more",
}


@pytest.mark.parametrize(("statement", "message"), FOREIGN.items())
def test_a_duckdb_file_with_objects_of_others_is_never_replaced(tmp_path: Path, statement: str, message: str):
    warehouse = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(warehouse, [table()])
    with duckdb.connect(str(warehouse)) as con:
        con.execute(statement)
    before = warehouse.read_bytes()
    for again in (warehouse_duckdb.publish, warehouse_duckdb.replace):
        with pytest.raises(SettingsError) as raised:
            again(warehouse, [table()])
        assert f"w.duckdb contains {message}, which Belvedere did not publish and would delete" in str(raised.value)
        assert f"ATTACH '{warehouse}' AS belvedere (READ_ONLY)" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert warehouse.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]


def test_objects_in_the_log_of_a_killed_process_are_seen(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(path, [table()])
    killed = f"import duckdb, os; con = duckdb.connect({str(path)!r}); con.execute('CREATE TABLE mine (a INTEGER)'); os._exit(9)"
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert path.with_name("w.duckdb.wal").exists()
    with pytest.raises(SettingsError, match=r"contains table main\.mine"):
        warehouse_duckdb.publish(path, [table()])
    assert path.with_name("w.duckdb.wal").exists()


def test_a_log_of_the_old_file_does_not_make_the_new_one_unreadable(tmp_path: Path):
    warehouse = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(warehouse, [table()])
    killed = (
        f"import duckdb, os; con = duckdb.connect({str(warehouse)!r}); con.execute('DELETE FROM things'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert warehouse.with_name("w.duckdb.wal").exists()
    warehouse_duckdb.publish(warehouse, [table()])
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]
    with duckdb.connect(str(warehouse), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(2,)]


def test_a_duckdb_file_from_before_marks_is_recognised_by_load_info(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(path, [table(), load_info("things", "load_info")])
    with duckdb.connect(str(path)) as con:
        con.execute(f"COMMENT ON TABLE things IS 'Some things.'; COMMENT ON TABLE load_info IS '{LOAD_INFO_COMMENT}'")
    warehouse_duckdb.replace(path, [table()])
    warehouse_duckdb.publish(path, [table(), load_info("things", "load_info")])
    with duckdb.connect(str(path)) as con:
        con.execute(
            f"COMMENT ON TABLE load_info IS '{LOAD_INFO_COMMENT}'; CREATE OR REPLACE TABLE things AS SELECT 1 AS a"
        )
    with pytest.raises(SettingsError, match=r"contains table main\.things"):
        warehouse_duckdb.publish(path, [table(), load_info("things", "load_info")])


def other_files(path: Path) -> dict[str, bytes]:
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine (a INTEGER)")
    damaged = bytearray(path.read_bytes())
    damaged[12] = 200  # where the version of the storage stands
    path.unlink()
    return {
        "SQLite format 3\0": b"SQLite format 3\0" + bytes(500),
        "text": b"a,b\n1,2\n",
        "": b"",
        "DUCK": bytes(damaged),
    }


@pytest.mark.parametrize("kind", ["SQLite format 3\0", "text", "", "DUCK"])
def test_a_file_that_duckdb_cannot_read_is_never_replaced(tmp_path: Path, kind: str):
    path = tmp_path / "w.duckdb"
    content = other_files(path)[kind]
    path.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        warehouse_duckdb.publish(path, [table()])
    assert re.search(
        r"w\.duckdb (is not a DuckDB file|cannot be opened by DuckDB .*): the file was not changed", str(raised.value)
    )
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_file_that_another_process_writes_is_never_replaced(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(path, [table()])
    before = path.read_bytes()
    with writing(path) as process, pytest.raises(BusyError) as raised:
        warehouse_duckdb.publish(path, [table()])
    assert re.search(rf"open for writing in another process \(held in .*PID {process.pid}\)", str(raised.value))
    assert path.read_bytes() == before


def test_nobody_can_open_the_file_for_writing_while_it_is_replaced(tmp_path: Path):
    path = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(path, [table()])
    code = f"import duckdb; duckdb.connect({str(path)!r})"
    with only_ours(path):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Could not set lock" in ended.stderr


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a DuckDB file open for writing in another process."""
    code = f"import duckdb; con = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        yield process
        process.communicate("\n")


def test_leftovers_of_killed_publications_are_removed_but_no_file_that_is_being_written(tmp_path: Path):
    warehouse = tmp_path / "w.duckdb"
    leftovers = [".w.duckdb.0123abcd", ".w.duckdb.0123abcd.wal", ".w.duckdb.99999999.wal"]
    others = [".w.duckdb.mine", ".other.duckdb.0123abcd", ".w.duckdb.0123abcde"]
    for file in (*leftovers, *others):
        (tmp_path / file).touch()
    (tmp_path / ".w.duckdb.0123abcd.tmp").mkdir()
    with writing(tmp_path / ".w.duckdb.feedbeef"):
        warehouse_duckdb.publish(warehouse, [table()])
        assert {path.name for path in tmp_path.iterdir()} >= {"w.duckdb", ".w.duckdb.feedbeef", *others}
    warehouse_duckdb.publish(warehouse, [table()])
    assert {path.name for path in tmp_path.iterdir()} == {"w.duckdb", *others}


def test_a_symbolic_link_stays_one(tmp_path: Path):
    (tmp_path / "w.duckdb").symlink_to(tmp_path / "real.duckdb")
    warehouse_duckdb.publish(tmp_path / "w.duckdb", [table()])
    assert (tmp_path / "w.duckdb").is_symlink()
    assert (tmp_path / "real.duckdb").is_file()


def test_sources_for_dbt_that_others_wrote_stay(tmp_path: Path):
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "sources.yml").write_text("version: 2\nsources:\n- name: shop\n")
    with pytest.raises(SettingsError, match=r"sources\.yml was not written by Belvedere and would be overwritten"):
        publish._dbt_sources(tmp_path)
    (tmp_path / "dbt" / "sources.yml").write_text("version: 2\nsources:\n- name: belvedere\n  schema: main\n")
    publish._write_dbt_sources(publish._dbt_sources(tmp_path), [table()])
    assert "database: belvedere" in publish._dbt_sources(tmp_path).read_text()
