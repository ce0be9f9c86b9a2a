"""An embedded DuckDB in UTC, for what needs no Ibis."""

import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from uuid import uuid4

import duckdb

SHARED_MEMORY = "128MB"  # of the shared engine; what does not fit goes to the disk


def connect(threads: int | None = None, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open an engine in memory.

    `memory_limit` is written as DuckDB does ("4GB"): what goes beyond it goes to the disk.

    Without one BELVEDERE_MEMORY counts, else DuckDB's default: four fifths of the machine's memory.
    """
    memory_limit = memory_limit or os.environ.get("BELVEDERE_MEMORY")
    engine = duckdb.connect()
    engine.execute("SET GLOBAL TimeZone = 'UTC'")
    engine.execute("SET preserve_insertion_order = false")
    engine.execute("SET temp_directory = $1", [_overflow()])
    if threads:
        engine.execute(f"SET threads = {int(threads)}")
    if memory_limit:
        engine.execute("SET memory_limit = $1", [memory_limit])
    return engine


def shared_cursor() -> duckdb.DuckDBPyConnection:
    """Return a cursor of the engine that all small queries of this process share.

    Opening an engine takes longer than such a query. A cursor has its own transactions and
    temporary tables.
    """
    return _shared().cursor()


def sql_list(texts: Sequence[str]) -> str:
    """Write texts as a list for SQL."""
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def quoted(column: str) -> str:
    """Quote a name for SQL."""
    return '"' + column.replace('"', '""') + '"'


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    return connect(threads=1, memory_limit=SHARED_MEMORY)


def private_folder() -> Path:
    """Make a folder for what does not fit into memory, which only its owner may read.

    An engine would make one that all users can read.
    """
    folder = Path(tempfile.gettempdir(), f"belvedere-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():  # another user took the name
        folder = Path(tempfile.mkdtemp(prefix="belvedere-"))
    return folder


def _overflow() -> str:
    return str(private_folder() / uuid4().hex)  # DuckDB makes it when it spills, and removes it at its end
