"""Raw rows as they lie in the lake, with their generation and the order in which they landed.

Files that version 0.1 wrote have neither: their rows are of generation 0, in the order of the files.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.kit.arrow import int64_array, string_array
from connectors.kit.raw_rows import COMMON, raw_schema
from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.storage.duckdb_session import sql_list
from engine.storage.lake import Lake
from engine.storage.manifest import Written

if TYPE_CHECKING:  # Ibis takes longer to import than a quiet night takes to read
    import ibis.expr.types as ir

    from engine.storage.backend.backend import Backend

NUMBERS = pa.schema([("_generation", pa.int64()), ("_sequence", pa.int64())])
ROWS_OF_A_FILE = 1 << 24  # more rows than any file has
_NOTHING = (
    "SELECT NULL::VARCHAR AS _key, NULL::TIMESTAMPTZ AS _cursor, NULL::BOOLEAN AS _deleted, NULL::TIMESTAMPTZ AS "
    "_extracted_at, NULL::VARCHAR AS _payload, NULL::BIGINT AS _generation, NULL::BIGINT AS _sequence WHERE false"
)
_WRITTEN_AT = re.compile(r"(\d{8}T\d{12})[^/]*$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stored_schema(stream: Stream) -> pa.Schema:
    """Return the Arrow schema of a stream's stored rows: those of a page, with their generation and sequence."""
    return pa.schema([*COMMON, *NUMBERS, *((path, pa.string()) for path in stream.paths)])


def stored_rows(project: Project, con: "Backend", connection: str, stream: Stream) -> "ir.Table":
    """Return the raw rows of a stream that count: those of its newest complete generation, and of an open one.

    Grain: one row for each version of a record that landed; `newest` tells which one of a key counts.
    """
    files = project.ledger.files.for_asset(f"raw/{connection}/{stream.name}")
    first, last = project.ledger.generations.of(connection, stream.name).counting
    rows = read_rows(project.lake, con, files, stream)
    return rows.filter(rows._generation.between(first, last))


def read_rows(lake: Lake, con: "Backend", files: Sequence[Written], stream: Stream) -> "ir.Table":
    """Read raw files of any version; a column that some of them have is null in the others."""
    import ibis

    from engine.storage.backend import backend

    old = [file for file in files if not has_numbers(lake, file)]
    new = [file for file in files if file not in old]
    parts = [lake.read_files(con, new, stored_schema(stream))] if new or not old else []
    for file, path in zip(old, lake.proven(old), strict=True):
        rows = backend.numbered(con, path)
        sequence = ibis.literal(_first_sequence(file), "int64") + rows.file_row_number.cast("int64")
        generation = ibis.literal(0, "int64")
        parts.append(rows.mutate(_generation=generation, _sequence=sequence).drop("file_row_number"))
    schema = {name: kind for part in parts for name, kind in part.schema().items()}
    whole = [
        part.select(**{name: part[name] if name in part.columns else ibis.null(kind) for name, kind in schema.items()})
        for part in parts
    ]
    return ibis.union(*whole) if len(whole) > 1 else whole[0]


def with_every_path(rows: "ir.Table", stream: Stream) -> "ir.Table":
    """Add the columns of mapped paths that no file has, empty: the files are older than the map."""
    import ibis

    return rows.mutate(**{path: ibis.null("string") for path in stream.paths if path not in rows.columns})


def rows_sql(lake: Lake, files: Sequence[Written]) -> str:
    """Write the query of `read_rows` for a plain DuckDB; raises ReplyError for a file that is lost or damaged."""
    old = [file for file in files if not has_numbers(lake, file)]
    new = [file for file in files if file not in old]
    parts = [f"FROM read_parquet({sql_list(lake.proven(new))}, union_by_name = true)"] if new else []
    parts += [
        f"SELECT * EXCLUDE (file_row_number), 0::BIGINT AS _generation, {_first_sequence(file)} + file_row_number "
        f"AS _sequence FROM read_parquet({sql_list([path])}, file_row_number = true)"
        for file, path in zip(old, lake.proven(old), strict=True)
    ]
    return f"({' UNION ALL BY NAME '.join(parts) or _NOTHING})"


def has_numbers(lake: Lake, file: Written) -> bool:
    """Whether the rows of a raw file carry their generation and sequence."""
    return {*NUMBERS.names} <= lake.column_names(file)


def _first_sequence(file: Written) -> int:
    """Number the first row of a file of version 0.1 by the time in its name, before all rows of later versions."""
    match = _WRITTEN_AT.search(file.path)
    if match is None:
        return -(1 << 62)
    at = datetime.strptime(match[1], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    microseconds = (at - _EPOCH) // (datetime.resolution)
    return (microseconds << 12) - (1 << 63)  # 4,096 numbers for each microsecond; negative until the year 2041


class RowNumbers:
    """Number the rows of one stream in one run, in the order in which they land.

    `newest_file` is the id of the newest file of the manifest: a later run begins with a higher one, since what this
    run lands gets ids of its own.
    """

    def __init__(self, generation: int, newest_file: int) -> None:
        self.generation = generation
        self._next = (newest_file + 1) * ROWS_OF_A_FILE

    def number(self, rows: pa.Table) -> pa.Table:
        """Add the generation and the sequence to rows as they come from a connector."""
        count = rows.num_rows
        generation = pa.repeat(pa.scalar(self.generation, pa.int64()), count)
        sequence = int64_array(range(self._next, self._next + count))
        self._next += count
        index = len(COMMON)
        with_generation = rows.add_column(index, NUMBERS.field("_generation"), generation)
        return with_generation.add_column(index + 1, NUMBERS.field("_sequence"), sequence)


def tombstone_rows(stream: Stream, keys: Sequence[str], at: datetime) -> pa.Table:
    """Make a tombstone for each key; without a cursor, so that a later sight of the record undoes it."""
    schema, count = raw_schema(stream), len(keys)
    columns = {name: pa.nulls(count, schema.field(name).type) for name in schema.names}
    columns["_key"] = pa.array(keys, pa.string())
    columns["_deleted"] = pa.repeat(pa.scalar(True), count)
    columns["_extracted_at"] = pa.repeat(pa.scalar(at, schema.field("_extracted_at").type), count)
    columns["_payload"] = pa.repeat(pa.scalar("{}"), count)
    return pa.table(columns, schema=schema)


def key_table(parts: Sequence[pa.ChunkedArray]) -> pa.Table:
    """Gather keys in one table with the column `_key`."""
    nothing = pa.table({"_key": string_array([])})
    return pa.concat_tables([nothing, *(pa.table({"_key": part}) for part in parts)])
