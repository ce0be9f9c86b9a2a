"""How the stages of runs ended."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


class Runs(Store):
    """One summary for each stage of a run: `build`, or of one connection, as in `extract:crm`."""

    def record(self, run_id: str, stage: str, summary: dict[str, Any]) -> None:
        """Store the summary of a stage that has ended."""
        with self.transaction() as connection:
            row = {"run_id": run_id, "stage": stage, "at": datetime.now(UTC), "summary": summary}
            connection.execute(insert(t.runs).values(row))

    def last(self, stage: str) -> dict[str, Any] | None:
        """Return the newest row of a stage: `id`, `run_id`, `stage`, `at`, `summary`."""
        with self.transaction() as connection:
            query = select(t.runs).where(t.runs.c.stage == stage).order_by(t.runs.c.id.desc()).limit(1)
            row = connection.execute(query).mappings().first()
            return dict(row) if row else None
