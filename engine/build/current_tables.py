"""The tables of the current snapshot, opened for SQL: for commands, pages and deliveries."""

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import duckdb

from connectors.kit.errors import SettingsError
from engine.config.project import Project
from schemas.find import tables


class Tables:
    """The tables of the current snapshot by name, in a DuckDB that can read nothing else.

    `names` are the tables to open, all by default. Each file is proven by its sha256 when it is read;
    with `afresh` also one that this process has proven before: for what is written somewhere.
    """

    def __init__(self, project: Project, names: Collection[str] = (), *, afresh: bool = False) -> None:
        self.project, self.names, self.afresh = project, names, afresh

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Open an engine in memory with one table each.

        Raises SettingsError when nothing was built yet, ReplyError for a file that is lost or is not
        what the manifest recorded.
        """
        if self.project.ledger.snapshots.current() is None:
            raise SettingsError("nothing was built yet: run `belvedere sync` first")
        opened = duckdb.connect()
        opened.execute("SET TimeZone = 'UTC'")
        for table in (*tables(), *self.project.tables):
            files = self.project.ledger.files.for_asset(table) if not self.names or table in self.names else []
            if files:
                paths = self.project.lake.proven(files, reread=self.afresh)
                listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                read = (
                    f"read_parquet([{listed}], union_by_name => true)"  # a file of an earlier version may lack columns
                )
                opened.execute(f'CREATE TABLE "{table}" AS SELECT * FROM {read}')  # noqa: S608 - names are ours
        opened.execute("SET enable_external_access = false")
        return opened

    def has(self, table: str) -> bool:
        """Whether the snapshot has a table."""
        return bool(self.query("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        cursor = self.connection.execute(sql, list(parameters))
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
