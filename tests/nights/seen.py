"""What a project holds of its sources: the newest version of every record that is alive, as the build reads it.

A conformed table is a function of these rows, row by row; where they are equal, it is. Comparing them takes a
hundredth of the time that building the tables does, so that many histories can be looked at.
"""

from collections.abc import Collection
from functools import cache
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.run import extract
from engine.extract.stored_rows import stored_schema
from transforms.conform.conform import newest

Rows = dict[str, dict[str, Any]]
"""Records by key: what each mapped path holds, and the cursor."""
Seen = dict[str, Rows]
"""Records by stream."""


def read(project: Project, connection: str, run: str = "run", **options: Any) -> dict[str, StreamResult]:
    """Run one extract and give its results by stream."""
    return {result.stream: result for result in extract(project, connection, run, **options)}


def seen(project: Project, connection: str, streams: Collection[str] | None = None) -> Seen:
    """Give the newest living rows of a connection."""
    return {
        stream.name: _rows(project, connection, stream)
        for stream in project.streams(connection)
        if streams is None or stream.name in streams
    }


def without_derived(project: Project, connection: str, held: Seen) -> Seen:
    """Leave out fields that move no cursor: they are only as new as the last full reading."""
    left_out = {stream.name: {*stream.uncursored_fields} for stream in project.streams(connection)}
    return {
        stream: {key: {name: row[name] for name in row if name not in left_out[stream]} for key, row in rows.items()}
        for stream, rows in held.items()
    }


def without_absorbed(project: Project, connection: str, held: Seen) -> Seen:
    """Leave out records that their source merged into others, gone or not: the build does so, and redirects to them."""
    found = dict(held)
    for stream in project.streams(connection):
        if stream.merges and stream.name in held:
            told = (row.get(stream.merges) or "" for row in _rows(project, connection, stream, is_dead=None).values())
            gone = {key for text in told for key in text.split(";")}
            found[stream.name] = {key: row for key, row in held[stream.name].items() if key not in gone}
    return found


def differences(ours: Seen, theirs: Seen) -> list[str]:
    """Say how two views differ, one line a record or field, for a test to show."""
    return [
        line for stream in sorted({*ours, *theirs}) for line in _apart(stream, ours.get(stream, {}), theirs[stream])
    ]


def _apart(stream: str, ours: Rows, theirs: Rows) -> list[str]:
    told = [f"{stream} {key}: ours alone" for key in sorted({*ours} - {*theirs})]
    told += [f"{stream} {key}: theirs alone" for key in sorted({*theirs} - {*ours})]
    for key in sorted({*ours} & {*theirs}):
        left, right = ours[key], theirs[key]
        told += [
            f"{stream} {key} {name}: {left[name]!r}, theirs {right[name]!r}"
            for name in sorted({*left} & {*right})
            if left[name] != right[name]
        ]
    return told


def _rows(project: Project, connection: str, stream: Stream, *, is_dead: bool | None = False) -> Rows:
    files = [project.lake.full(file.path) for file in project.ledger.files.for_asset(f"raw/{connection}/{stream.name}")]
    columns = ["_key", "_cursor", *stream.paths]
    if not files:
        return {}
    first, last = project.ledger.generations.of(connection, stream.name).counting
    with _engine().cursor() as con:
        raw = pa.concat_tables(_files(files, stored_schema(stream)))
        generation = raw.column("_generation")
        con.register("raw", raw.filter(pc.and_(pc.greater_equal(generation, first), pc.less_equal(generation, last))))
        rows = con.execute(_newest(stored_schema(stream))).to_arrow_table()
    kept = rows if is_dead is None else rows.filter(pc.equal(rows.column("_deleted"), is_dead))
    rows = kept.select(list(dict.fromkeys(columns))).to_pylist()
    found = {row["_key"] or f"no key: {row}": row for row in rows}
    assert len(found) == len(rows), f"{connection} {stream.name}: a record is there twice"
    return found


def _files(files: Collection[str], schema: pa.Schema) -> list[pa.Table]:
    return [_numbered(pq.read_table(file), place).select(schema.names).cast(schema) for place, file in enumerate(files)]


def _numbered(table: pa.Table, place: int) -> pa.Table:
    """Give rows of version 0.1 the generation 0, in the order of the files."""
    if "_sequence" in table.column_names:
        return table
    first = (place << 24) - (1 << 62)
    sequence = pa.array(range(first, first + len(table)), pa.int64())
    zeros = pa.array([0] * len(table), pa.int64())
    return table.append_column("_generation", zeros).append_column("_sequence", sequence)


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    engine = duckdb.connect(config={"threads": 1})
    engine.execute("SET TimeZone = 'UTC'")
    return engine


@cache
def _newest(schema: pa.Schema) -> str:
    """Compile what the build does to find the newest versions; once, since that takes longer than to run it."""
    raw = ibis.table(ibis.Schema.from_pyarrow(schema), name="raw")
    return str(ibis.to_sql(newest(raw), dialect="duckdb"))
