"""Publishing: all tables or none, readers see the old ones or the new ones."""

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa

from connectors.kit.errors import BusyError, SettingsError
from orchestration import warehouse_duckdb, warehouse_sql
from orchestration.published import TableToPublish


def table(name: str = "things", columns: dict[str, list[object]] | None = None, **kinds: pa.DataType) -> TableToPublish:
    data = pa.table(columns or {"id": ["a", "b"], "amount": [1.5, None]})
    for column, kind in kinds.items():
        data = data.set_column(data.schema.get_field_index(column), column, data.column(column).cast(kind))
    comments = {column: f"What {column} is" for column in data.schema.names}
    return TableToPublish(name, f"Some {name}.", data.schema, comments, data=data, rows=data.num_rows)


def held(url: str, query: str) -> list[tuple[object, ...]]:
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


def test_rows_replace_rows(url: str, schema: str):
    warehouse_sql.publish(url, schema, [table()])
    warehouse_sql.publish(url, schema, [table(columns={"id": ["c"], "amount": [2.0]})])
    assert held(url, f"SELECT id, amount FROM {name(url, schema)}") == [("c", 2.0)]


def test_a_new_column_is_added_by_itself(url: str, schema: str):
    warehouse_sql.publish(url, schema, [table()])
    warehouse_sql.publish(url, schema, [table(columns={"id": ["c"], "amount": [2.0], "more": ["x"]})])
    assert held(url, f"SELECT more FROM {name(url, schema)}") == [("x",)]


def test_a_column_of_another_type_stops_all_and_is_named(url: str, schema: str):
    warehouse_sql.publish(url, schema, [table("other"), table()])
    changed = table(columns={"id": ["c"], "amount": ["many"]})
    with pytest.raises(SettingsError, match=r"things\.amount"):
        warehouse_sql.publish(url, schema, [table("other", {"id": ["z"], "amount": [9.0]}), changed])
    assert held(url, f"SELECT count(*) FROM {name(url, schema, 'other')}") == [(2,)]


def test_types_arrive_as_they_are(url: str, schema: str):
    from datetime import UTC, date, datetime
    from decimal import Decimal

    columns: dict[str, list[object]] = {
        "money": [Decimal("12.34")],
        "day": [date(2026, 1, 2)],
        "count": [7],
        "is_one": [True],
        "at": [datetime(2026, 1, 2, 3, tzinfo=UTC)],
    }
    warehouse_sql.publish(url, schema, [table(columns=columns, money=pa.decimal128(18, 2))])
    row = held(url, f'SELECT money, day, "count", is_one FROM {name(url, schema)}')[0]
    assert (float(row[0]), str(row[1]), row[2], bool(row[3])) == (12.34, "2026-01-02", 7, True)


@pytest.mark.real
def test_comments_reach_the_database(postgres_url: str):
    warehouse_sql.publish(postgres_url, "commented", [table()])
    rows = held(
        postgres_url,
        "SELECT obj_description('commented.things'::regclass), col_description('commented.things'::regclass, 1)",
    )
    assert rows == [("Some things.", "What id is")]


@pytest.mark.real
def test_a_reader_sees_old_rows_until_all_are_new(postgres_url: str):
    warehouse_sql.publish(postgres_url, "seen", [table()])
    engine = sa.create_engine(postgres_url, isolation_level="REPEATABLE READ")
    with engine.connect() as reader:
        assert reader.execute(sa.text("SELECT count(*) FROM seen.things")).scalar() == 2
        warehouse_sql.publish(postgres_url, "seen", [table(columns={"id": ["c"], "amount": [2.0]})])
        assert reader.execute(sa.text("SELECT count(*) FROM seen.things")).scalar() == 2
    engine.dispose()
    assert held(postgres_url, "SELECT count(*) FROM seen.things") == [(1,)]


def test_a_database_that_is_not_there_is_named_without_its_secret():
    with pytest.raises(BusyError) as raised:
        warehouse_sql.publish("postgresql+psycopg://me:secret@127.0.0.1:9/none", "s", [table()])
    assert "127.0.0.1:9" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_url_nobody_knows_is_refused():
    with pytest.raises(SettingsError, match="warehouse url"):
        warehouse_sql.publish("nonsense", "s", [table()])


def test_a_duckdb_file_is_replaced_whole(tmp_path: Path):
    place = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(place, [table()])
    with duckdb.connect(str(place), read_only=True) as reader:
        warehouse_duckdb.publish(place, [table(columns={"id": ["c"], "amount": [2.0]})])
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(2,)]
    with duckdb.connect(str(place), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(1,)]
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]


def test_a_table_that_fails_leaves_the_old_file(tmp_path: Path):
    place = tmp_path / "w.duckdb"
    warehouse_duckdb.publish(place, [table()])
    broken = TableToPublish("broken", "", pa.schema([("id", pa.string())]), {}, paths=[str(tmp_path / "gone.parquet")])
    with pytest.raises(duckdb.Error):
        warehouse_duckdb.publish(place, [table(columns={"id": ["c"], "amount": [2.0]}), broken])
    with duckdb.connect(str(place), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM things").fetchall() == [(2,)]
    assert [path.name for path in tmp_path.iterdir()] == ["w.duckdb"]
