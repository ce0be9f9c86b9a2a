"""Ibis on the installed DuckDB: every operation that builds use, with any DuckDB that we support."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.storage import duckdb_session
from engine.storage.backend import backend
from engine.storage.backend.backend import Backend

ROWS = pa.table(
    {"id": [1, 2, 3], "name": ["a", None, "c"], "amount": pa.array([Decimal("1.10"), Decimal("2.20"), None])}
)


@pytest.fixture
def con() -> Backend:
    return backend.connect(threads=1)


def setting(con: Backend, name: str) -> object:
    return con.con.execute(f"SELECT current_setting('{name}')").fetchall()[0][0]


def test_an_engine_is_in_utc_and_keeps_to_its_limits():
    con = backend.connect(threads=1, memory_limit="300MB")
    assert setting(con, "TimeZone") == "UTC"
    assert setting(con, "threads") == 1
    assert setting(con, "preserve_insertion_order") is False
    assert "286" in str(setting(con, "memory_limit"))


def test_shared_cursors_share_an_engine_but_no_temporary_tables():
    with duckdb_session.shared_cursor() as first, duckdb_session.shared_cursor() as other:
        first.execute("CREATE TEMP TABLE mine AS SELECT 1")
        first.register("given", pa.table({"a": [1]}))
        assert other.execute("SELECT current_setting('TimeZone'), current_setting('threads')").fetchall() == [
            ("UTC", 1)
        ]
        for name in ("mine", "given"):
            with pytest.raises(duckdb.CatalogException):
                other.execute(f"FROM {name}")


def test_what_does_not_fit_into_memory_goes_to_a_private_folder(con: Backend):
    folder = Path(str(setting(con, "temp_directory")))
    assert folder.is_absolute()
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_uid == os.getuid()
    assert not folder.exists()
    assert folder != Path(str(setting(backend.connect(threads=1), "temp_directory")))


def test_tables_are_created_filled_listed_and_dropped(con: Backend):
    table = con.create_table("made", ROWS)
    con.insert("made", ROWS)
    assert table.count().to_pyarrow().as_py() == 6
    assert "made" in con.list_tables()
    con.create_view("seen", table.filter(table.id == 1), overwrite=True)
    assert con.table("seen").count().to_pyarrow().as_py() == 2
    con.drop_view("seen")
    con.drop_table("made")
    assert "made" not in con.list_tables()


def test_sql_batches_and_caches_work(con: Backend):
    rows = backend.table(con, ROWS)
    assert con.sql(f"SELECT sum(id) AS total FROM {rows.get_name()}").to_pyarrow().to_pylist() == [{"total": 6}]
    batches = rows.order_by("id").select("id").to_pyarrow_batches(chunk_size=2)
    assert sum(batch.num_rows for batch in batches) == 3
    cached = rows.filter(rows.id > 1).cache()
    assert cached.count().to_pyarrow().as_py() == 2


def test_parquet_is_written_and_read(con: Backend, tmp_path: Path):
    con.to_parquet(backend.table(con, ROWS), tmp_path / "rows.parquet")
    again = con.read_parquet(tmp_path / "rows.parquet")
    assert again.order_by("id").to_pyarrow().to_pylist() == ROWS.to_pylist()


def test_expressions_that_builds_use_work(con: Backend):
    rows = backend.table(con, ROWS)
    number = ibis.row_number().over(group_by=rows.name.isnull(), order_by=[ibis.desc(rows.id)])
    first = rows.mutate(number=number).filter(lambda row: row.number == 0).drop("number")
    assert sorted(first.id.to_pyarrow().to_pylist()) == [2, 3]
    assert rows.id.cast("float64").quantile([0.0, 0.5, 1.0]).to_pyarrow().as_py() == [1.0, 2.0, 3.0]
    both = ibis.union(rows, rows).distinct().anti_join(rows.filter(rows.id == 1), "id")
    assert both.count().to_pyarrow().as_py() == 2
    results = rows.mutate(
        said=ibis.cases((rows.id == 1, "one"), else_=None), when=ibis.literal("2026-01-01").cast("date")
    )
    assert results.agg(said=results.said.max(), when=results.when.max()).to_pyarrow().to_pylist()[0]["said"] == "one"
    assert rows.name.hexdigest("md5").max().to_pyarrow().as_py() is not None
    assert rows.name.try_cast("int64").count().to_pyarrow().as_py() == 0


def test_rows_in_memory_can_be_queried(con: Backend):
    values = ibis.memtable(pa.table({"id": [1, 2]}))
    assert backend.keep(con, backend.table(con, ROWS).semi_join(values, "id")).count().to_pyarrow().as_py() == 2


def test_a_kept_table_is_computed_once(con: Backend):
    table = backend.keep(con, backend.table(con, ROWS).mutate(lot=ibis.random()))
    assert table.lot.to_pyarrow().to_pylist() == table.lot.to_pyarrow().to_pylist()


def test_files_are_read_as_one_table_by_column_name(con: Backend, tmp_path: Path):
    pq.write_table(pa.table({"a": ["1"], "b": ["2"]}), tmp_path / "old.parquet")
    pq.write_table(pa.table({"c": ["3"], "a": ["4"]}), tmp_path / "new.parquet")
    both = backend.read(con, [str(tmp_path / "old.parquet"), str(tmp_path / "new.parquet")])
    assert both.order_by("a").select("a", "b", "c").to_pyarrow().to_pylist() == [
        {"a": "1", "b": "2", "c": None},
        {"a": "4", "b": None, "c": "3"},
    ]


def test_without_files_the_table_is_empty(con: Backend):
    schema = pa.schema([("_key", pa.string()), ("_cursor", pa.timestamp("us", tz="UTC"))])
    empty = backend.read(con, [], schema)
    assert empty.count().to_pyarrow().as_py() == 0
    assert empty.columns == ("_key", "_cursor")
    assert backend.read(con, []).count().to_pyarrow().as_py() == 0


def test_a_pattern_in_a_folders_name_is_taken_literally(con: Backend, tmp_path: Path):
    folder = tmp_path / "la[ke]*"
    folder.mkdir()
    path = folder / "it's.parquet"
    assert backend.write(con, backend.table(con, ROWS), str(path)) == 3
    assert backend.read(con, [str(path)]).count().to_pyarrow().as_py() == 3


def test_a_table_is_written_in_its_order_and_with_its_types(con: Backend, tmp_path: Path):
    rows = backend.table(con, ROWS)
    shaped = rows.select(
        "id", amount=rows.amount.cast("decimal(18, 2)"), share=ibis.literal(0.92), at=ibis.timestamp(datetime(2026, 1, 1, tzinfo=UTC)),
    ).order_by(ibis.desc("id"))  # fmt: skip
    assert backend.write(con, shaped, str(tmp_path / "out.parquet")) == 3
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column("id").to_pylist() == [3, 2, 1]
    assert written.schema.field("share").type == pa.float64()
    assert written.schema.field("amount").type == pa.decimal128(18, 2)
    assert written.schema.field("at").type == pa.timestamp("us", tz="UTC")


def test_a_column_with_a_quote_in_its_name_is_written(con: Backend, tmp_path: Path):
    odd = backend.table(con, pa.table({'size"; --': [1], "it's": [2]}))
    backend.write(con, odd, str(tmp_path / "odd.parquet"))
    assert pq.read_table(tmp_path / "odd.parquet").to_pylist() == [{'size"; --': 1, "it's": 2}]


def test_a_failed_write_leaves_the_engine_as_it_was(con: Backend, tmp_path: Path):
    with pytest.raises(Exception, match="No such file|Cannot open"):
        backend.write(con, backend.table(con, ROWS), str(tmp_path / "nowhere" / "x.parquet"))
    assert setting(con, "preserve_insertion_order") is False
