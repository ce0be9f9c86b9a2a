"""The engine: Ibis on an embedded DuckDB. The one module that imports Ibis's backends."""

import warnings
from collections.abc import Sequence

from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# Ibis 12 calls two methods that DuckDB 2 renamed; where they are missing, the new ones stand in.
if not hasattr(duckdb.DuckDBPyConnection, "fetch_arrow_table"):  # pragma: no branch
    duckdb.DuckDBPyConnection.fetch_arrow_table = lambda self: self.to_arrow_table()
if not hasattr(duckdb.DuckDBPyConnection, "fetch_record_batch"):  # pragma: no branch
    duckdb.DuckDBPyConnection.fetch_record_batch = lambda self, rows=1_000_000: self.to_arrow_reader(rows)
warnings.filterwarnings("ignore", "Arrow output on a DB-API result makes an extra copy", UserWarning)

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend
from ibis.backends.sql.datatypes import DuckDBType


def connect(threads: int | None = None, memory_limit: str | None = None) -> Backend:
    """Open an engine in memory that tells time in UTC; `memory_limit` as DuckDB writes it ("4GB")."""
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET TimeZone = 'UTC'")
    engine.raw_sql("SET preserve_insertion_order = false")
    if threads:
        engine.raw_sql(f"SET threads = {int(threads)}")
    if memory_limit:
        engine.con.execute("SET memory_limit = $1", [memory_limit])
    return engine


def read(engine: Backend, paths: Sequence[str], schema: pa.Schema | None = None) -> ir.Table:
    """Read Parquet files as one table, by column name; without files an empty table of the schema."""
    if paths:
        return engine.read_parquet(list(paths), union_by_name=True)
    return ibis.memtable((schema or pa.schema([("nothing", pa.string())])).empty_table())


def write(engine: Backend, table: ir.Table, path: str) -> int:
    """Write a table to one Parquet file (zstd), in its own order and with exactly its types; answers the rows.

    The types are spelt out because DuckDB keeps a literal like 0.92 as a DECIMAL where Ibis means a DOUBLE.
    """
    view = f"written_{uuid4().hex[:12]}"
    engine.create_view(view, table)
    columns = (f'CAST("{name}" AS {DuckDBType.to_string(kind)}) AS "{name}"' for name, kind in table.schema().items())
    engine.raw_sql("SET preserve_insertion_order = true")
    try:
        target = path.replace("'", "''")
        engine.raw_sql(f"COPY (SELECT {', '.join(columns)} FROM {view}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    finally:
        engine.raw_sql("SET preserve_insertion_order = false")
        engine.drop_view(view)
    return int(pq.read_metadata(path).num_rows)
