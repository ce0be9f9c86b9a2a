"""Which fields there are, by the records alone: for systems that do not describe themselves.

The engine works out the shape of many records at once. Measured on 400,000 records of 565 bytes with 30 fields, on one
thread: 9 microseconds of CPU a record, 115 MiB.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.kit.base import SourceField
from connectors.kit.records import json_path
from orchestration.storage import duck

PIECE = 2 << 20  # bytes of records that are looked at at once
DEPTH = 3
SHAPE = "SELECT json_group_structure(record::JSON), count(*) FILTER (record LIKE '{%') FROM records"
OBJECTS = (
    "CREATE OR REPLACE TEMP TABLE records AS SELECT record FROM "
    "(SELECT try_cast(text AS JSON) AS record FROM given) WHERE json_type(record) = 'OBJECT'"
)
MOST = 200  # an object with more keys than this is a mapping, whose keys are values
LONGEST = 300  # characters of a path that the ledger holds
KINDS = {"VARCHAR": "text", "BOOLEAN": "yes or no", "NULL": "", "JSON": "mixed"}  # else a number


@dataclass(frozen=True)
class Look:
    """Say how a stream's fields looked at an instant of the source's clock.

    `rows` records were looked at, `counts` tells how many of them had a field; None where the source described itself.
    """

    at: datetime
    fields: Mapping[str, SourceField]
    rows: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def looked_at(payloads: Iterable[pa.Array], known: Sequence[str], at: datetime) -> Look:
    """Look at records, given as texts, for what is there and for what is known.

    What is no object, or cannot be held, is passed over. The engine keeps ten times the size of what it looks at until
    it is done with it, so it is given little at a time.
    """
    rows, counts, kinds = 0, Counter[str](), dict[str, str]()
    with duck.lent() as con:
        for texts in (piece for given in payloads for piece in _pieces(given)):
            asked = [*dict.fromkeys([*known, *kinds])]
            found, count, some = _looked_at(con, texts, asked)
            rows, counts = rows + count, counts + Counter(some)
            kinds |= {path: _merged(kinds.get(path, ""), kind) for path, kind in found.items() if some[path]}
    return Look(at, {path: SourceField(path, kind) for path, kind in kinds.items()}, rows, counts)


def payloads(paths: Sequence[str]) -> Iterator[pa.Array]:
    """Read the records of raw files, a few at a time; tombstones tell nothing of fields."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(1024, columns=["_payload", "_deleted"]):
                yield batch.filter(pc.invert(batch.column("_deleted"))).column("_payload")


def _pieces(payloads: pa.Array) -> Iterator[pa.Array]:
    """Cut records into pieces of about PIECE bytes."""
    payloads = payloads.drop_null()
    if len(payloads):
        ends = np.cumsum(np.frombuffer(pc.binary_length(payloads).buffers()[1], np.int32)[: len(payloads)])
        starts = np.unique(ends // PIECE, return_index=True)[1].tolist()
        for start, end in pairwise([*starts, len(payloads)]):
            yield payloads.slice(start, end - start)


def _looked_at(
    con: duckdb.DuckDBPyConnection, texts: pa.Array, known: Sequence[str]
) -> tuple[dict[str, str], int, dict[str, int]]:
    con.register("records", pa.table({"record": texts}))
    try:
        shape, rows = con.execute(SHAPE).fetchall()[0]
    except duckdb.Error:  # one that it cannot hold
        rows = None
    if rows != len(texts):
        con.register("given", pa.table({"text": texts}))
        con.unregister("records")
        con.execute(OBJECTS)
        shape, rows = con.execute(SHAPE).fetchall()[0]
    found = json.loads(shape) if rows else {}
    kinds = dict(_leaves(found)) if isinstance(found, dict) else {}
    paths = [*dict.fromkeys([*kinds, *known])]
    counts = _counted(con, paths) if rows and paths else dict.fromkeys(paths, 0)
    above = {path: "object" for path in known if any(leaf.startswith(f"{path}.") for leaf in kinds)}
    return dict.fromkeys(paths, "") | above | kinds, rows, counts


def _counted(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> dict[str, int]:
    asked = ", ".join("'" + json_path(path).replace("'", "''") + "'" for path in paths)
    rows = con.execute(
        f"SELECT n, count(kind) FROM (SELECT unnest(json_type(record, [{asked}])) AS kind, "  # noqa: S608
        f"unnest(range({len(paths)})) AS n FROM records) GROUP BY n"
    ).fetchall()
    return {paths[number]: count for number, count in rows}


def _merged(one: str, other: str) -> str:
    if not one or not other:
        return one or other
    return one if one == other else "mixed"


def _leaves(shape: Any, prefix: str = "", depth: int = 1) -> Iterator[tuple[str, str]]:
    """Name the fields of a shape with their kinds; what begins with an underscore is the connector's own."""
    for name, inner in shape.items():
        path = prefix + name
        if (depth == 1 and name.startswith("_")) or "." in name or name.isdecimal() or len(path) > LONGEST:
            continue  # no path can name a key that holds a dot, or one that looks like a place in a list
        if isinstance(inner, dict) and depth < DEPTH and 0 < len(inner) <= MOST:
            yield from _leaves(inner, f"{path}.", depth + 1)
        else:
            yield path, _kind(inner)


def _kind(inner: Any) -> str:
    if isinstance(inner, dict):
        return "object"
    return "list" if isinstance(inner, list) else KINDS.get(inner, "number")
