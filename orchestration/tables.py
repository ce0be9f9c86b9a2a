"""The tables of the current build, opened for reading with SQL: what commands and pages look at."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import duckdb

from connectors.kit.errors import SettingsError
from orchestration.project import Project
from schemas.find import tables


class Tables:
    """Offer every table of the current snapshot under its own name, in an engine that reads nothing else."""

    def __init__(self, project: Project) -> None:
        self.project = project

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Open an engine in memory with one view a table; raises SettingsError when nothing was built yet."""
        if self.project.ledger.current() is None:
            raise SettingsError("nothing was built yet: run `belvedere sync` first")
        opened = duckdb.connect()
        opened.execute("SET TimeZone = 'UTC'")
        for table in tables():
            files = [file.path for file in self.project.ledger.files(table)]
            if files:
                listed = ", ".join("'" + self.project.lake.full(path).replace("'", "''") + "'" for path in files)
                read = f"read_parquet([{listed}], union_by_name => true)"  # a file of old may lack columns
                opened.execute(f'CREATE TABLE "{table}" AS SELECT * FROM {read}')  # noqa: S608 - names are ours
        opened.execute("SET enable_external_access = false")
        return opened

    def has(self, table: str) -> bool:
        """Tell whether a table was made already."""
        return bool(self.query("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Answer the rows of a query as dictionaries."""
        cursor = self.connection.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
