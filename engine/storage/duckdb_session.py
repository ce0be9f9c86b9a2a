"""A plain embedded DuckDB that tells time in UTC, for what needs no Ibis."""

import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from uuid import uuid4

import duckdb

MEMORY = "128MB"  # what does not fit goes to the disk


def connect(threads: int | None = None, memory_limit: str | None = None) -> duckdb.DuckDBPyConnection:
    """Open an engine in memory; `memory_limit` as DuckDB writes it ("4GB"): what goes beyond it goes to the disk.

    Without one BELVEDERE_MEMORY counts, else what DuckDB takes: four fifths of the machine's.
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


def lent() -> duckdb.DuckDBPyConnection:
    """Lend the engine that all small questions of this process share; opening one takes longer than answering them."""
    return _shared().cursor()


def listed(texts: Sequence[str]) -> str:
    """Write texts as a list for SQL."""
    return "[" + ", ".join("'" + text.replace("'", "''") + "'" for text in texts) + "]"


def quoted(column: str) -> str:
    """Quote a name for SQL."""
    return '"' + column.replace('"', '""') + '"'


@cache
def _shared() -> duckdb.DuckDBPyConnection:
    return connect(threads=1, memory_limit=MEMORY)


def private_folder() -> Path:
    """Make a folder that only we can read, for what does not fit into memory: engines would take one open to all."""
    home = Path(tempfile.gettempdir(), f"belvedere-{os.getuid()}")
    home.mkdir(mode=0o700, exist_ok=True)
    if home.lstat().st_uid != os.getuid():
        home = Path(tempfile.mkdtemp(prefix="belvedere-"))
    return home


def _overflow() -> str:
    return str(private_folder() / uuid4().hex)  # DuckDB makes it when it must, and takes it away again
