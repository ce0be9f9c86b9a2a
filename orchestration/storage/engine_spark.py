"""Spark as the engine, for data that outgrows one machine: Ibis upon PySpark (extra `spark`), made to mean what DuckDB does."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import ibis
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.pyspark import Backend as PySparkBackend
from ibis.formats.pyarrow import PyArrowData, PyArrowSchema
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from orchestration.storage import engine
from orchestration.storage.engine_spark_sql import SparkCompiler

DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
}


class SparkBackend(PySparkBackend):
    """Let rows come and go as Arrow, and let instants keep their time zone."""

    compiler = SparkCompiler()

    def create_table(self, name: str, /, obj: Any = None, *, temp: bool | None = None, **options: Any) -> ir.Table:
        """Hold rows under a name for as long as the session lives."""
        rows = obj.to_pyarrow() if isinstance(obj, ir.Expr) else obj
        self._frame(rows).createOrReplaceTempView(name)
        return self.table(name)

    def get_schema(self, table_name: str, *, catalog: str | None = None, database: str | None = None) -> sch.Schema:
        """Tell the columns of a table; Spark's TIMESTAMP is an instant, its TIMESTAMP_NTZ is not."""
        found = PyArrowSchema.to_ibis(_arrow_schema(self._session.table(table_name)))
        return sch.Schema({column: kind.copy(nullable=True) for column, kind in found.items()})

    def to_pyarrow(self, expr: ir.Expr, /, **options: Any) -> pa.Table:
        """Fetch the result of an expression."""
        rows = expr.as_table()
        self._run_pre_execute_hooks(rows)
        found = self._session.sql(self.compile(rows)).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(found, rows.schema()))

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self._frame(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)

    def _frame(self, rows: pa.Table) -> DataFrame:
        return self._session.createDataFrame(rows)


def connect(master: str, config: Mapping[str, str]) -> SparkBackend:
    """Open a session; one that is open already in this process is used."""
    builder = SparkSession.builder.appName("belvedere").master(master)
    for name, value in {**DEFAULTS, **config}.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    opened = SparkBackend()
    opened.register_options()
    opened.do_connect(session)
    return opened


@engine.read.register
def read(spark: SparkBackend, paths: Sequence[str], schema: pa.Schema | None = None) -> ir.Table:
    if not paths:
        return engine.table(spark, (schema or pa.schema([("nothing", pa.string())])).empty_table())
    held = pa.unify_schemas([pq.read_schema(path).remove_metadata() for path in paths])
    reader = spark._session.read.schema(from_arrow_schema(held)).option("__globPaths__", "false")
    name = f"read_{uuid4().hex[:12]}"
    reader.parquet(*paths).createOrReplaceTempView(name)
    return spark.table(name)


@engine.table.register
def table(spark: SparkBackend, rows: pa.Table) -> ir.Table:
    return spark.create_table(f"given_{uuid4().hex[:12]}", rows)


@engine.keep.register
def keep(spark: SparkBackend, table: ir.Table) -> ir.Table:
    name = f"kept_{uuid4().hex[:12]}"
    _worked_out(spark, table).localCheckpoint().createOrReplaceTempView(name)
    return spark.table(name)


@engine.write.register
def write(spark: SparkBackend, table: ir.Table, path: str) -> int:
    parts = Path(f"{path}.parts")
    schema = table.schema().to_pyarrow()
    try:
        _worked_out(spark, table).write.parquet(parts.as_uri(), compression="zstd")
        with pq.ParquetWriter(path, schema, compression="zstd", store_decimal_as_integer=True) as writer:
            for batch in _batches(parts):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return int(pq.read_metadata(path).num_rows)


def _batches(parts: Path) -> Iterator[pa.RecordBatch]:
    for part in sorted(parts.glob("part-*.parquet")):
        yield from pq.ParquetFile(part).iter_batches()


def _worked_out(spark: SparkBackend, table: ir.Table) -> DataFrame:
    spark._run_pre_execute_hooks(table)
    return spark._session.sql(spark.compile(table))


def _arrow_schema(frame: DataFrame) -> pa.Schema:
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(frame.schema, timezone="UTC")
