"""Spark as the engine, for data that outgrows one machine: Ibis on PySpark (extra `spark`).

Its results are those of DuckDB.
"""

import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)

import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.pyspark import Backend as PySparkBackend
from ibis.formats.pyarrow import PyArrowData, PyArrowSchema
from pyspark.errors import PySparkException
from pyspark.logger import PySparkLogger
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

from connectors.kit.errors import SettingsError
from engine.storage import duckdb_session
from engine.storage.backend import backend
from engine.storage.backend.spark_sql import SparkCompiler

JAVA = "engine: spark needs Java 17 or newer: apt-get install default-jre-headless, or set JAVA_HOME"
# Failures are raised: nothing has to be logged.
DEFAULTS = {"spark.ui.enabled": False, "spark.ui.showConsoleProgress": False, "spark.log.level": "OFF"}
LOOPBACK = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}  # other hosts cannot connect
_PATTERN, _ESCAPED = re.compile(r"([\[\]{}*?\\])"), r"\\\1"


class Spark(PySparkBackend):  # type: ignore[misc]
    """Spark: rows come and go as Arrow, instants keep their time zone."""

    compiler = SparkCompiler()

    def create_table(
        self, name: str, /, obj: pa.Table | ir.Table, *, temp: Literal[True], overwrite: bool = False, **options: Any
    ) -> ir.Table:
        """Hold rows under a name until the session ends; there are no other tables."""
        rows = self._framed(obj if isinstance(obj, pa.Table) else obj.to_pyarrow())
        rows.createOrReplaceTempView(name) if overwrite else rows.createTempView(name)
        return self.table(name)

    def get_schema(self, table_name: str, *, catalog: str | None = None, database: str | None = None) -> sch.Schema:
        """Return the columns of a table; a TIMESTAMP is an instant, a TIMESTAMP_NTZ is not."""
        arrow = to_arrow_schema(self._session.table(table_name).schema, timezone="UTC")
        return sch.Schema({name: kind.copy(nullable=True) for name, kind in PyArrowSchema.to_ibis(arrow).items()})

    def to_pyarrow(self, expr: ir.Expr, /, **options: Any) -> pa.Table:
        """Fetch the result of an expression."""
        rows = expr.as_table()
        result = self.frame(rows).toArrow()
        return expr.__pyarrow_result__(PyArrowData.convert_table(result, rows.schema()))

    def frame(self, table: ir.Table) -> DataFrame:
        """Plan a table; its rows in memory are loaded into the session first."""
        self._run_pre_execute_hooks(table)
        planned: DataFrame = self._session.sql(self.compile(table))
        return planned

    def named(self, frame: DataFrame) -> ir.Table:
        """Return a frame as a table of Ibis."""
        name = f"frame_{uuid4().hex[:12]}"
        frame.createOrReplaceTempView(name)
        return self.table(name)

    def read(self, paths: Sequence[str], schema: pa.Schema) -> ir.Table:
        """Read Parquet files, each of which may lack some of a schema's columns.

        Brackets in a path are escaped.
        """
        urls = [f"file:{_PATTERN.sub(_ESCAPED, path)}" for path in paths]
        types = from_arrow_schema(schema, prefer_timestamp_ntz=True)
        return self.named(self._session.read.schema(types).parquet(*urls))

    def _register_in_memory_table(self, op: ops.InMemoryTable) -> None:
        self._framed(op.data.to_pyarrow(op.schema)).createOrReplaceTempView(op.name)

    def _framed(self, rows: pa.Table) -> DataFrame:
        framed: DataFrame = self._session.createDataFrame(
            rows, from_arrow_schema(rows.schema, prefer_timestamp_ntz=True)
        )
        return framed


def connect(master: str, config: Mapping[str, str | int | bool]) -> Spark:
    """Open a session; all sessions of a process share the Spark that the first one started.

    Raises SettingsError where there is no Java, or Spark does not start with these settings.
    """
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        raise SettingsError(JAVA)
    private = Path(duckdb_session.private_folder())
    folders = {"spark.local.dir": str(private), "spark.sql.warehouse.dir": str(private / "warehouse")}
    settings = {**DEFAULTS, **folders, **(LOOPBACK if master.startswith("local") else {}), **config}
    builder = SparkSession.builder.appName("belvedere").master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        started = builder.getOrCreate()
    except Exception as error:  # Java's own, of any type
        raise SettingsError(_start_problem(error)) from None
    PySparkLogger.getLogger("SQLQueryContextLogger").disabled = True
    opened = Spark()
    opened.register_options()
    opened.do_connect(started.newSession())
    return opened


@backend.read.register
def read(spark: Spark, paths: Sequence[str], schema: pa.Schema | None = None) -> ir.Table:
    """Read Parquet files as one table; their columns are read here, without a job of Spark."""
    if not paths:
        return backend.table(spark, (schema or backend.NOTHING).empty_table())
    return spark.read(paths, pa.unify_schemas([pq.read_schema(path).remove_metadata() for path in paths]))


@backend.numbered.register
def numbered(spark: Spark, path: str) -> ir.Table:
    """Read one file with the number of each row in it: Spark's ids rise in the order of the file."""
    rows = spark.frame(read(spark, [path]))
    return spark.named(rows.selectExpr("*", "monotonically_increasing_id() AS file_row_number"))


@backend.table.register
def table(spark: Spark, rows: pa.Table) -> ir.Table:
    """Load rows into the session."""
    return spark.create_table(f"rows_{uuid4().hex[:12]}", rows, temp=True)


@backend.keep.register
def keep(spark: Spark, table: ir.Table) -> ir.Table:
    """Compute a table once: without a checkpoint each use would plan all that came before again."""
    return spark.named(spark.frame(table).localCheckpoint())


@backend.forget.register
def forget(spark: Spark, table: ir.Table) -> None:
    """Free the memory of a table from `keep`: Spark does so once no view names it."""
    spark.drop_view(table.get_name())


@backend.write.register
def write(spark: Spark, table: ir.Table, path: str) -> int:
    """Write parts in the table's order, and join them into one file, batch by batch."""
    parts, schema = Path(f"{path}.parts"), table.schema().to_pyarrow()
    try:
        spark.frame(table).write.parquet(f"file:{parts.resolve()}", compression="zstd")
        with pq.ParquetWriter(path, schema, compression="zstd", store_decimal_as_integer=True) as file:
            for batch in _batches(parts):
                file.write_table(pa.Table.from_batches([batch]).cast(schema))
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return int(pq.read_metadata(path).num_rows)


@backend.local.register
def local(_: Spark, table: ir.Table) -> tuple[backend.Backend, ir.Table]:
    """Load a table into a DuckDB of its own."""
    duckdb = backend.connect()
    return duckdb, backend.table(duckdb, table.to_pyarrow())


@backend.back.register
def back(spark: Spark, table: ir.Table) -> ir.Table:
    """Load a table of a DuckDB into Spark."""
    return backend.table(spark, table.to_pyarrow())


def _batches(parts: Path) -> Iterator[pa.RecordBatch]:
    for part in sorted(parts.glob("part-*.parquet")):
        yield from pq.ParquetFile(part).iter_batches()


def _start_problem(error: Exception) -> str:
    if isinstance(error, PySparkException) and error.getCondition() == "JAVA_GATEWAY_EXITED":
        return f"{JAVA} (the installed one did not start)"
    lines = str(getattr(error, "java_exception", error)).strip().splitlines()
    return f"engine: Spark does not start with these settings (spark: master, config): {lines[0] if lines else error!r}"
