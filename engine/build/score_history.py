"""The history of scores in the lake: one file for each day, so that a day can be made anew and a night adds one file."""

from datetime import date, timedelta

import ibis.expr.types as ir

from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.backend.backend import Backend
from engine.storage.table_schema import arrow_schema

TABLE = "score_history"
COMPARED = timedelta(days=30)


class History:
    """Read the days of the history that were taken down before a day."""

    def __init__(self, project: Project, con: Backend, as_of: date) -> None:
        self.project, self.con = project, con
        parts = project.ledger.files.parts(TABLE)
        self.files = {date.fromisoformat(day): file for day, file in parts.items() if day < as_of.isoformat()}
        self.last = max(self.files, default=None)
        self.compared = max(
            (day for day in self.files if day <= as_of - COMPARED), default=min(self.files, default=None)
        )

    def on(self, day: date | None) -> ir.Table:
        """Read one day; of no day there are no rows."""
        files = [self.files[day]] if day else []
        return backend.filled(self.project.lake.read_files(self.con, files, arrow_schema(TABLE)), arrow_schema(TABLE))


def part(day: date) -> str:
    """Name the part of the history that holds a day."""
    return f"{TABLE}.{day.isoformat()}"
