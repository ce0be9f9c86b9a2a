"""A past day of the score history made anew, from facts dated up to that day alone."""

from collections.abc import Mapping
from datetime import date
from time import monotonic
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError
from orchestration.build import CONFORMED, Build, TableResult
from orchestration.history import TABLE
from orchestration.project import Project
from orchestration.published import arrow_schema
from orchestration.storage import engine
from orchestration.storage.lease import lease


def backfill(project: Project, day: date, run_id: str) -> TableResult:
    """Score a day from the tables of the current build, and put it into the history that is current.

    Nothing else changes. Days that follow remember what was known when they were made: fill a range oldest first.
    Raises SettingsError when nothing was built yet or the day is later than the last build, LeaseHeld when a build is
    at work.
    """
    with lease(project.ledger, "build", run_id):
        current = project.ledger.current()
        if current is None:
            raise SettingsError("nothing was built yet: run `belvedere sync` first")
        if day > current.as_of:
            raise SettingsError(f"{day} has not been built: the last build is of {current.as_of}")
        return _Day(project, day, run_id, current.id).run()


class _Day(Build):
    """Make the scores of one day, and keep nothing but their place in the history."""

    def __init__(self, project: Project, day: date, run_id: str, snapshot: str) -> None:
        super().__init__(project, day, run_id)
        self.snapshot = snapshot
        for name in (*CONFORMED, "crosswalk"):
            held = project.lake.read(self.con, name, schema=arrow_schema(name))
            self.tables[name] = engine.filled(held, arrow_schema(name))

    def run(self) -> TableResult:
        """Make customers and scores as of the day."""
        list(self.customers())
        return next(result for result in self.scores() if result.table == TABLE)

    def keep(
        self, table: str, made: ir.Table, notes: Mapping[str, Any] | None = None, part: str | None = None
    ) -> TableResult:
        """Hand a table on; what is part of the history is written."""
        if part:
            return super().keep(table, made, notes, part)
        start = monotonic()
        self.tables[table] = self._cached(made)
        return TableResult(table, 0, monotonic() - start)
