"""A DuckDB file as warehouse: a new file is written beside it, then takes its place by one rename.

A DuckDB file cannot be read by one process while another one writes it; readers of the old file
keep it. The file is ours alone, since objects of others would be gone with the next publication:
`only_ours` looks for them.
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


def publish(path: Path, published: Sequence[TableToPublish]) -> None:
    """Write all tables into a new file, which then replaces the old one.

    Raises SettingsError and BusyError as `only_ours` does: then the old file stays, byte by byte.
    """
    path = path.resolve()  # a symbolic link stays, the file that it names is replaced
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_leftovers(path)
    with only_ours(path), _replacement(path) as new:
        _write(new, published)


def replace(path: Path, published: Sequence[TableToPublish]) -> None:
    """Write some tables again, into a copy of the file that then replaces it.

    Raises as `publish` does.
    """
    path = path.resolve()
    with only_ours(path) as current, _replacement(path) as new:
        if current:
            with new.open("wb") as copy:
                shutil.copyfileobj(current, copy)
        _write(new, published)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """Yield the path of a new file beside one that it replaces once the block has written it."""
    new = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        yield new
        with new.open("rb") as opened:
            os.fsync(opened.fileno())
        new.chmod(0o600)
        # The log of the old file would make the new one unreadable.
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        new.replace(path)
    finally:
        _remove(new)


def _remove_leftovers(path: Path) -> None:
    """Remove the files of publications that were killed, but none that a process is writing."""
    name = re.compile(rf"(\.{re.escape(path.name)}\.[0-9a-f]{{8}})(\.wal|\.tmp)?")
    for match in filter(None, [name.fullmatch(file.name) for file in path.parent.iterdir()]):
        leftover = path.with_name(match[1])
        if not _is_locked(leftover):
            _remove(leftover)


def _is_locked(path: Path) -> bool:
    """Say whether another process has the file open for writing: DuckDB locks it then."""
    try:
        with path.open("rb") as opened:
            fcntl.lockf(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _remove(path: Path) -> None:
    """Remove a file, its log and its folder for what did not fit into memory."""
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f"{path.name}.tmp"), ignore_errors=True)


def _write(path: Path, published: Sequence[TableToPublish]) -> None:
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        for table in published:
            con.execute(f"DROP TABLE IF EXISTS {_name(table.name)}")
            _load(con, table)
            con.execute(f"COMMENT ON TABLE {_name(table.name)} IS {_text(marked(table.name, table.comment))}")
            for column, comment in table.comments.items():
                con.execute(f"COMMENT ON COLUMN {_name(table.name)}.{_name(column)} IS {_text(comment)}")
        count_published(published, lambda sql: con.execute(sql).fetchall(), _name, _name)
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
