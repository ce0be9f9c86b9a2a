"""The history of scores in the lake: one file a day, so that a day can be made again and a build adds one file."""

from datetime import date, timedelta

import ibis.expr.types as ir

from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.backend.backend import Backend
from engine.storage.table_schema import arrow_schema

TABLE = "score_history"
COMPARED = timedelta(days=30)


class ScoreDays:
    """The days of the history before a day: `last`, and `compared`, which changes are counted from."""

    def __init__(self, project: Project, con: Backend, as_of: date) -> None:
        self.project, self.con = project, con
        parts = project.ledger.files.parts(TABLE)
        self.files = {date.fromisoformat(day): file for day, file in parts.items() if day < as_of.isoformat()}
        self.last = max(self.files, default=None)
        earlier = (day for day in self.files if day <= as_of - COMPARED)
        self.compared = max(earlier, default=min(self.files, default=None))

    def on(self, day: date | None) -> ir.Table:
        """Read the rows of one day; without a day there are none."""
        files = [self.files[day]] if day else []
        schema = arrow_schema(TABLE)
        return backend.filled(self.project.lake.read_files(self.con, files, schema), schema)


def part_of(day: date) -> str:
    """The name in the lake of the part of the history that holds a day."""
    return f"{TABLE}.{day.isoformat()}"
