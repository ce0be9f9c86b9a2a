"""A past day of the score history made anew, from facts dated up to that day alone."""

from collections.abc import Mapping
from datetime import date
from time import monotonic
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from engine.build.context import BuildContext, TableResult
from engine.build.identity import customer_table
from engine.build.score_history import TABLE
from engine.build.scores import score_tables
from engine.build.tables import CONFORMED
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.lease import lease
from engine.storage.table_schema import arrow_schema


def backfill(project: Project, day: date, run_id: str) -> TableResult:
    """Score a day from the tables of the current build, and put it into the history that is current.

    Nothing else changes. Days that follow remember what was known when they were made: fill a range oldest first.
    Raises SettingsError when nothing was built yet or the day is later than the last build, LeaseHeld when a build is
    at work.
    """
    with lease(project.ledger, "build", run_id):
        current = project.ledger.snapshots.current()
        if current is None:
            raise SettingsError("nothing was built yet: run `belvedere sync` first")
        if day > current.as_of:
            raise SettingsError(f"{day} has not been built: the last build is of {current.as_of}")
        return _Day(project, day, run_id, current.id).run()


class _Day(BuildContext):
    """Make the scores of one day, and keep nothing but their place in the history."""

    def __init__(self, project: Project, day: date, run_id: str, snapshot: str) -> None:
        super().__init__(project, day, run_id)
        self.snapshot = snapshot
        for name in (*CONFORMED, "crosswalk"):
            held = project.lake.read(self.con, name, schema=arrow_schema(name))
            self.tables[name] = backend.filled(held, arrow_schema(name))

    def run(self) -> TableResult:
        """Make customers and scores as of the day."""
        list(customer_table(self))
        return next(result for result in score_tables(self) if result.table == TABLE)

    def keep(
        self, table: str, made: ir.Table, notes: Mapping[str, Any] | None = None, part: str | None = None
    ) -> TableResult:
        """Hand a table on; what is part of the history is written."""
        if part:
            return super().keep(table, made, notes, part)
        start = monotonic()
        self.tables[table] = self.cached(made)
        return TableResult(table, 0, monotonic() - start)
