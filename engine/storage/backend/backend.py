"""The engine: Ibis on an embedded DuckDB, or on Spark (`spark`).

Ibis's backends are imported nowhere else.

What the two do differently is a function here that dispatches on the engine.
"""

import warnings
from collections.abc import Sequence
from functools import singledispatch
from typing import Any, ClassVar, TypeAlias
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

# Ibis 12 calls two methods that DuckDB 2 has renamed: connections lack the old names, relations warn of them.
_STAND_INS = {
    "fetch_arrow_table": ("to_arrow_table", lambda self, *_: self.to_arrow_table()),
    "fetch_record_batch": (
        "to_arrow_reader",
        lambda self, rows_per_batch=1_000_000: self.to_arrow_reader(rows_per_batch),
    ),
}
for _kind in (duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation):
    for _old, (_new, _stand_in) in _STAND_INS.items():
        if hasattr(_kind, _new):
            setattr(_kind, _old, _stand_in)
warnings.filterwarnings("ignore", "Arrow output on a DB-API result makes an extra copy", UserWarning)

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler
from ibis.backends.sql.datatypes import DuckDBType
from ibis.formats.pyarrow import PyArrowType

from engine.storage import duckdb_session
from engine.storage.backend.rounding import Rounds
from engine.storage.duckdb_session import quoted

# Engines fuse selects by themselves; in Ibis it takes a twelfth of the time of a small build.
ibis.options.sql.fuse_selects = False


class DuckDB(DuckDBBackend):  # type: ignore[misc]
    """DuckDB, with the rounding that is the same on all engines."""

    class _Compiler(Rounds, DuckDBCompiler):  # type: ignore[misc]
        __slots__ = ()
        SIMPLE_OPS: ClassVar[dict[type, str]] = {}  # the parent's are methods of it already

    compiler = _Compiler()


Backend: TypeAlias = Any  # DuckDB or spark.Spark
NOTHING = pa.schema([("nothing", pa.string())])


def connect(threads: int | None = None, memory_limit: str | None = None) -> Backend:
    """Open an engine in memory, in UTC; `memory_limit` as DuckDB writes it ("4GB")."""
    return over(duckdb_session.connect(threads, memory_limit))


def over(connection: duckdb.DuckDBPyConnection) -> Backend:
    """Return an engine on a DuckDB connection that is open already."""
    return DuckDB.from_connection(connection)


@singledispatch
def read(engine: Backend, paths: Sequence[str], schema: pa.Schema | None = None) -> ir.Table:
    """Read Parquet files as one table, by column name.

    Without files the table is empty, with the columns of `schema`.
    """
    if paths:
        return engine.read_parquet(list(paths), union_by_name=True)
    return table(engine, (schema or NOTHING).empty_table())


@singledispatch
def numbered(engine: Backend, path: str) -> ir.Table:
    """Read one Parquet file with the number of each row in it, as `file_row_number`."""
    return engine.read_parquet([path], file_row_number=True)


def filled(table: ir.Table, schema: pa.Schema) -> ir.Table:
    """Add the columns that a table of an earlier version lacks, as nulls."""
    new = [column for column in schema if column.name not in table.columns]
    return table.mutate(**{column.name: ibis.null(PyArrowType.to_ibis(column.type)) for column in new})


@singledispatch
def table(engine: Backend, rows: pa.Table) -> ir.Table:
    """Load rows into the engine."""
    return engine.create_table(f"rows_{uuid4().hex[:12]}", rows, temp=True)


@singledispatch
def keep(engine: Backend, table: ir.Table) -> ir.Table:
    """Compute a table once and hold its rows in the engine."""
    name = f"kept_{uuid4().hex[:12]}"
    engine.raw_sql(f"CREATE TEMP TABLE {name} AS {_sql(engine, table)}")
    return engine.table(name, database="temp.main")


@singledispatch
def forget(engine: Backend, table: ir.Table) -> None:
    """Free the memory of a table from `keep`."""
    engine.raw_sql(f"DROP TABLE {table.get_name()}")


@singledispatch
def write(engine: Backend, table: ir.Table, path: str) -> int:
    """Write a table to one Parquet file (zstd), in its own order and with exactly its types.

    Returns the number of rows. The types are spelt out because DuckDB keeps a literal like 0.92 as
    a DECIMAL where Ibis means a DOUBLE.
    """
    columns = (
        f"CAST({quoted(name)} AS {DuckDBType.to_string(kind)}) AS {quoted(name)}"
        for name, kind in table.schema().items()
    )
    target = path.replace("'", "''")
    engine.raw_sql("SET preserve_insertion_order = true")
    try:
        sql = f"SELECT {', '.join(columns)} FROM ({_sql(engine, table)})"  # noqa: S608 - names are quoted
        engine.raw_sql(f"COPY ({sql}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)")
    finally:
        engine.raw_sql("SET preserve_insertion_order = false")
    return int(pq.read_metadata(path).num_rows)


def row_count(table: ir.Table) -> int:
    """Count the rows of a table."""
    return int(table.count().to_pyarrow().as_py())


@singledispatch
def local(engine: Backend, table: ir.Table) -> tuple[Backend, ir.Table]:
    """Compute a table on this machine, for what runs on DuckDB only.

    Returns the engine that holds it, and the table.
    """
    return engine, keep(engine, table)


@singledispatch
def back(engine: Backend, table: ir.Table) -> ir.Table:
    """Return a table that was made of one from `local` to its first engine."""
    return table


def _sql(engine: Backend, table: ir.Table) -> str:
    """Compile a table.

    Its rows in memory are loaded into the engine first, which Ibis does only when it executes.
    """
    engine._run_pre_execute_hooks(table)
    return str(engine.compile(table))
