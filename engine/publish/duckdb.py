"""A DuckDB file as warehouse: written beside the old one, then put in its place by one rename.

A DuckDB file cannot be read by one process while another one writes it; readers of the old file keep it. The file is
ours alone, for whatever others make in it would be gone with the next publication: `only_ours` looks before.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import duckdb

from engine.publish.duckdb_existing import only_ours
from engine.publish.ownership import marked
from engine.publish.table import TableToPublish, count_published


def publish(path: Path, listed: Sequence[TableToPublish]) -> None:
    """Write all tables into a new file and let it take the old one's place.

    Raises as `only_ours` does: then the old file stays, byte by byte.
    """
    path = path.resolve()  # the file that a symbolic link names is replaced, not the link
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_leftovers(path)
    with only_ours(path), _beside(path) as fresh:
        _write(fresh, listed)


def replace(path: Path, listed: Sequence[TableToPublish]) -> None:
    """Write some tables anew into a copy of the file and let it take the old one's place; raises as `publish` does."""
    path = path.resolve()
    with only_ours(path) as current, _beside(path) as fresh:
        if current:
            with fresh.open("wb") as copy:
                shutil.copyfileobj(current, copy)
        _write(fresh, listed)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    fresh = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield fresh
        with fresh.open("rb") as opened:
            os.fsync(opened.fileno())
        fresh.chmod(0o600)
        path.with_name(f"{path.name}.wal").unlink(
            missing_ok=True
        )  # of the old file: it would make the new one unreadable
        fresh.replace(path)
    finally:
        _remove(fresh)


def _remove_leftovers(path: Path) -> None:
    """Remove what killed publications left beside the file, but nothing that a living process writes."""
    name = re.compile(rf"(\.{re.escape(path.name)}\.[0-9a-f]{{8}})(\.wal|\.tmp)?")
    for found in filter(None, [name.fullmatch(file.name) for file in path.parent.iterdir()]):
        left = path.with_name(found[1])
        if not _is_locked(left):
            _remove(left)


def _is_locked(path: Path) -> bool:
    """Answer whether another process has the file open by DuckDB, which locks what it writes."""
    try:
        with path.open("rb") as opened:
            fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove(fresh: Path) -> None:
    """Remove a file, its log and the folder that DuckDB writes to where memory is short."""
    fresh.unlink(missing_ok=True)
    fresh.with_name(f"{fresh.name}.wal").unlink(missing_ok=True)
    shutil.rmtree(fresh.with_name(f"{fresh.name}.tmp"), ignore_errors=True)


def _write(path: Path, listed: Sequence[TableToPublish]) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        for table in listed:
            con.execute(f"DROP TABLE IF EXISTS {_name(table.name)}")
            _load(con, table)
            con.execute(f"COMMENT ON TABLE {_name(table.name)} IS {_text(marked(table.name, table.comment))}")
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
