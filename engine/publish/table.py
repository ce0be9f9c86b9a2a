"""A table on its way to a warehouse: its rows, its types, its descriptions, and the count of what arrived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from connectors.kit.errors import ReplyError
from engine.storage.table_schema import arrow_schema
from schemas.find import model


@dataclass(frozen=True)
class TableToPublish:
    """Hold a table: either Parquet files of the lake, or rows in memory."""

    name: str
    comment: str
    schema: pa.Schema
    comments: Mapping[str, str]
    key: Sequence[str] = ()
    paths: Sequence[str] = ()
    data: pa.Table | None = None
    rows: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, batch by batch, in the schema's types."""
        if self.data is not None:
            yield from self.data.to_batches()
        elif self.paths:
            kinds = pa.unify_schemas([pq.read_schema(path) for path in self.paths])  # a file of old may lack columns
            for batch in ds.dataset(list(self.paths), format="parquet", schema=kinds).to_batches():
                yield batch.select(self.schema.names).cast(self.schema)


def described(name: str, *, paths: Sequence[str] = (), data: pa.Table | None = None, rows: int = 0) -> TableToPublish:
    """Describe a table by its model."""
    kind = model(name)
    schema = kind.to_schema()
    return TableToPublish(
        name=name,
        comment=getdoc(kind) or "",
        schema=arrow_schema(name),
        comments={column: held.description or "" for column, held in schema.columns.items()},
        key=list(schema.unique or ()),
        paths=paths,
        data=data,
        rows=rows if data is None else data.num_rows,
    )


NAME = "reconciliation"
Run = Callable[[str], Sequence[Any]]


def count_published(
    listed: Sequence[TableToPublish], run: Run, place: Callable[[str], str], quoted: Callable[[str], str]
) -> None:
    """Fill the column `published` of a `reconciliation` that has just been loaded.

    `run` runs SQL, `place` spells a table, `quoted` a name. Raises ReplyError when the warehouse holds another number
    of rows than the build made: then nothing is published.
    """
    present = {one.name for one in listed}
    if NAME not in present:
        return
    ours, fed = place(NAME), quoted("table")
    for (table,) in run(f"SELECT DISTINCT {fed} FROM {ours} WHERE slice = 'all'"):
        if table in present:
            same = " AND ".join(f"t.{name} = {quoted(NAME)}.{name}" for name in ("connection", "stream"))
            count = f"SELECT count(*) FROM {place(table)} t WHERE {same}"
            run(f"UPDATE {ours} SET published = ({count}) WHERE {fed} = '{table}' AND slice = 'all'")
    wrong = run(f"SELECT connection, stream, conformed, published FROM {ours} WHERE published <> conformed")
    if wrong:
        said = ", ".join(f"{connection} {stream} {there} of {made}" for connection, stream, made, there in wrong)
        raise ReplyError(f"rows were lost on the way into the warehouse, which was left as it was: {said}")
