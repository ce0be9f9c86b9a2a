"""Check the DuckDB file that is about to be replaced: it may hold nothing but our tables."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb

from connectors.kit.errors import BusyError, SettingsError
from engine.publish.ownership import LOAD_INFO, is_ours, is_unmarked_load_info, some_of

MAGIC = slice(8, 12)  # these bytes of every DuckDB file are DUCK
IN_FILE = "database_name = current_database()"
TRIGGERS = f"SELECT 'trigger', schema_name, trigger_name FROM duckdb_triggers() WHERE {IN_FILE}"  # noqa: S608 - ours
OBJECTS = f"""
SELECT 'view', schema_name, view_name FROM duckdb_views() WHERE {IN_FILE} AND NOT internal
UNION ALL SELECT DISTINCT 'macro', schema_name, function_name FROM duckdb_functions() WHERE {IN_FILE} AND NOT internal
UNION ALL SELECT 'type', schema_name, type_name FROM duckdb_types() WHERE {IN_FILE} AND NOT internal
UNION ALL SELECT 'sequence', schema_name, sequence_name FROM duckdb_sequences() WHERE {IN_FILE}
UNION ALL SELECT 'index', schema_name, index_name FROM duckdb_indexes() WHERE {IN_FILE}
UNION ALL SELECT 'schema', schema_name, '' FROM duckdb_schemas()
    WHERE {IN_FILE} AND NOT internal AND schema_name <> 'main'
"""  # noqa: S608 - names are ours
TABLES = f"SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE {IN_FILE} ORDER BY ALL"  # noqa: S608
COLUMNS = f"SELECT column_name FROM duckdb_columns() WHERE {IN_FILE} AND table_name = ? AND comment IS NULL"  # noqa: S608


@contextmanager
def only_ours(path: Path) -> Iterator[BinaryIO | None]:
    """Keep the file open while a block makes its replacement: nobody can write to it then.

    Yields None where there is no file. Raises SettingsError for a file that holds objects of
    others, or that cannot be read; BusyError while another process has it open for writing.
    """
    if not path.exists():
        yield None
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise SettingsError(f"warehouse {path} cannot be read: {error.strerror}; nothing was published") from None
    # The file is closed last: POSIX drops all locks of a process on a file when it closes any handle of it.
    with file, _opened(path, file.read(16)) as con:
        if names := _foreign(con):
            raise SettingsError(
                f"warehouse {path} contains {some_of(names)}, which Belvedere did not publish and would delete: "
                "nothing was published. Rename the file to keep them, publish again, and attach ours to yours: "
                f"ATTACH '{path}' AS belvedere (READ_ONLY)"
            )
        file.seek(0)
        yield file


def _opened(path: Path, header: bytes) -> duckdb.DuckDBPyConnection:
    advice = "the file was not changed; move it away, or set `url` to another file"
    if header[MAGIC] != b"DUCK":  # for a file of SQLite DuckDB would download an extension
        raise SettingsError(f"warehouse {path} is not a DuckDB file: {advice}")
    try:
        return duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        problem = str(error).splitlines()[0]
    if "Could not set lock" in problem:
        holder = re.search(r"held in .*\(PID \d+\)", problem)
        raise BusyError(
            f"warehouse {path} is open for writing in another process ({holder[0] if holder else 'unknown'}): "
            "nothing was published; close it there and publish again"
        )
    raise SettingsError(f"warehouse {path} cannot be opened by DuckDB {duckdb.__version__} ({problem}): {advice}")


def _foreign(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Name all tables, columns of our tables and other objects that are not ours."""
    tables = con.execute(TABLES).fetchall()
    listed = _listed_in_load_info(con, {name: comment for schema, name, comment in tables if schema == "main"})
    names = []
    for schema, name, comment in tables:
        if schema != "main" or not is_ours(name, comment, listed):
            names.append(f"table {schema}.{name}")
        else:
            names += [f"column {name}.{column}" for (column,) in con.execute(COLUMNS, [name]).fetchall()]
    with_triggers = con.execute("SELECT function_name FROM duckdb_functions() WHERE function_name = 'duckdb_triggers'")
    query = f"{OBJECTS} UNION ALL {TRIGGERS}" if with_triggers.fetchall() else OBJECTS  # DuckDB 2 has triggers
    return names + [f"{kind} {schema}{name and '.'}{name}" for kind, schema, name in con.execute(query).fetchall()]


def _listed_in_load_info(con: duckdb.DuckDBPyConnection, comments: dict[str, str | None]) -> set[str]:
    if not is_unmarked_load_info(comments.get(LOAD_INFO)):
        return set()
    return {LOAD_INFO, *(name for (name,) in con.execute(f'SELECT "table" FROM main.{LOAD_INFO}').fetchall())}  # noqa: S608
