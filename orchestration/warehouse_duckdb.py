"""A DuckDB file as warehouse: written beside the old one, then put in its place by one rename.

A DuckDB file cannot be read by one process while another one writes it; readers of the old file keep it.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb

from orchestration.published import TableToPublish
from orchestration.published_counts import count_published


def publish(path: Path, listed: Sequence[TableToPublish]) -> None:
    """Write all tables into a new file and let it take the old one's place."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _beside(path) as fresh:
        _write(fresh, listed)


def replace(path: Path, listed: Sequence[TableToPublish]) -> None:
    """Write some tables anew into a copy of the file and let it take the old one's place."""
    with _beside(path) as fresh:
        shutil.copyfile(path, fresh)
        _write(fresh, listed)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    fresh = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield fresh
        with fresh.open("rb") as opened:
            os.fsync(opened.fileno())
        fresh.chmod(0o600)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _write(path: Path, listed: Sequence[TableToPublish]) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        for table in listed:
            con.execute(f"DROP TABLE IF EXISTS {_name(table.name)}")
            _load(con, table)
            con.execute(f"COMMENT ON TABLE {_name(table.name)} IS {_text(table.comment)}")
            for column, comment in table.comments.items():
                con.execute(f"COMMENT ON COLUMN {_name(table.name)}.{_name(column)} IS {_text(comment)}")
        count_published(listed, lambda sql: con.execute(sql).fetchall(), _name, _name)
        con.execute("COMMIT")
        con.execute("CHECKPOINT")


def _load(con: duckdb.DuckDBPyConnection, table: TableToPublish) -> None:
    columns = ", ".join(_name(column) for column in table.schema.names)
    if table.data is None and table.paths:
        files = ", ".join(_text(file) for file in table.paths)
        con.execute(f"CREATE TABLE {_name(table.name)} AS SELECT {columns} FROM read_parquet([{files}])")  # noqa: S608
        return
    con.register("incoming", table.schema.empty_table() if table.data is None else table.data)
    con.execute(f"CREATE TABLE {_name(table.name)} AS SELECT {columns} FROM incoming")  # noqa: S608
    con.unregister("incoming")


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
