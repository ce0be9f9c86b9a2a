"""Makes a past day of the score history again, from facts dated up to that day."""

from collections.abc import Mapping
from datetime import date
from time import monotonic
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from engine.build.context import BuildContext, TableResult
from engine.build.score_history import TABLE
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.lease import lease
from engine.storage.table_schema import arrow_schema


def backfill(project: Project, day: date, run_id: str) -> TableResult:
    """Score a day from the tables of the current snapshot, and store it in the current history.

    Nothing else changes. Later days keep the changes they were made with: fill a range oldest first.
    Raises SettingsError when nothing was built yet or the day is later than the last build, LeaseTaken when a
    build is at work.
    """
    with lease(project.ledger, "build", run_id):
        current = project.ledger.snapshots.current()
        if current is None:
            raise SettingsError("nothing was built yet: run `belvedere sync` first")
        if day > current.as_of:
            raise SettingsError(f"{day} has not been built: the last build is of {current.as_of}")
        return _Day(project, day, run_id, current.id).run()


class _Day(BuildContext):
    """Makes the scores of one day, and keeps nothing but its part of the history."""

    def __init__(self, project: Project, day: date, run_id: str, snapshot: str) -> None:
        super().__init__(project, TABLES, day, run_id, stale=())
        self.snapshot = snapshot
        for name in (*TABLES.conformed, "crosswalk"):
            rows = project.lake.read(self.con, name, schema=arrow_schema(name))
            self.tables[name] = backend.filled(rows, arrow_schema(name))

    def run(self) -> TableResult:
        """Make what the scores of the day are made of, and write these."""
        for name in TABLES.upstream(TABLE, until=self.tables):
            if name not in self.tables:
                self.make(TABLES.tables[name])
        result = self.make(TABLES.tables[TABLE])
        self.fits.store()
        return result

    def write(self, table: str, rows: ir.Table, notes: Mapping[str, Any] | None = None) -> TableResult:
        """Offer a table to later steps; only the part of the history is written."""
        if table == TABLE:
            return super().write(table, rows, notes)
        start = monotonic()
        self.tables[table] = self.stored(rows)
        return TableResult(table, 0, monotonic() - start)
