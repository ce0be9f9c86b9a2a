"""A table that is published: rows, types and comments, and the count of what arrived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from connectors.kit.errors import ReplyError
from engine.config.table import TableConfig
from engine.storage.table_schema import arrow_schema
from schemas.find import model


@dataclass(frozen=True)
class TableToPublish:
    """A table as Parquet files of the lake, or as rows in memory."""

    name: str
    comment: str
    schema: pa.Schema
    comments: Mapping[str, str]
    key: Sequence[str] = ()
    paths: Sequence[str] = ()
    data: pa.Table | None = None
    rows: int = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches, in the types of the schema."""
        if self.data is not None:
            yield from self.data.to_batches()
        elif self.paths:
            # Parts of earlier versions may lack columns, which are read as nulls.
            stored = pa.unify_schemas([pq.read_schema(path) for path in self.paths])
            for batch in ds.dataset(list(self.paths), format="parquet", schema=stored).to_batches():
                yield batch.select(self.schema.names).cast(self.schema)


def described(name: str, *, paths: Sequence[str] = (), data: pa.Table | None = None, rows: int = 0) -> TableToPublish:
    """Return a table with the comments, types and key of its model."""
    table_model = model(name)
    schema = table_model.to_schema()
    return TableToPublish(
        name=name,
        comment=getdoc(table_model) or "",
        schema=arrow_schema(name),
        comments={name: column.description or "" for name, column in schema.columns.items()},
        key=list(schema.unique or ()),
        paths=paths,
        data=data,
        rows=rows if data is None else data.num_rows,
    )


def own_table(name: str, config: TableConfig, paths: Sequence[str], rows: int) -> TableToPublish:
    """Describe a table of the project's own by its settings; its types are those that it was built with."""
    schema = pa.unify_schemas([pq.read_schema(path) for path in paths]).remove_metadata()
    return TableToPublish(
        name=name,
        comment=f"{config.description} {config.grain[:1].upper()}{config.grain[1:].rstrip('.')}.",
        schema=schema,
        comments={column: config.columns.get(column, "") for column in schema.names},
        key=config.key,
        paths=paths,
        rows=rows,
    )


RECONCILIATION = "reconciliation"
Run = Callable[[str], Sequence[Any]]


def count_published(
    published: Sequence[TableToPublish], run: Run, spell: Callable[[str], str], quoted: Callable[[str], str]
) -> None:
    """Fill the column `published` of a `reconciliation` that has just been loaded.

    `run` runs SQL, `spell` writes a table's name with its schema, `quoted` any name. Raises
    ReplyError when the warehouse has another number of rows than the build made: then nothing is
    published.
    """
    names = {table.name for table in published}
    if RECONCILIATION not in names:
        return
    ours, of_table = spell(RECONCILIATION), quoted("table")
    for (table,) in run(f"SELECT DISTINCT {of_table} FROM {ours} WHERE slice = 'all'"):
        if table in names:
            same = " AND ".join(f"t.{name} = {quoted(RECONCILIATION)}.{name}" for name in ("connection", "stream"))
            count = f"SELECT count(*) FROM {spell(table)} t WHERE {same}"
            run(f"UPDATE {ours} SET published = ({count}) WHERE {of_table} = '{table}' AND slice = 'all'")
    wrong = run(f"SELECT connection, stream, published, conformed FROM {ours} WHERE published <> conformed")
    if wrong:
        counts = ", ".join(f"{connection} {stream} {arrived} of {rows}" for connection, stream, arrived, rows in wrong)
        raise ReplyError(f"rows are missing after the load, so nothing was published: {counts} rows")
