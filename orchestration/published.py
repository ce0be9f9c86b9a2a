"""A table on its way to a warehouse: its rows, its types, and the words that describe it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc

import ibis
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

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


def arrow_schema(name: str) -> pa.Schema:
    """Give a table's Arrow schema by its model."""
    columns = model(name).to_schema().columns
    return ibis.schema({column: held.dtype.type for column, held in columns.items()}).to_pyarrow()
