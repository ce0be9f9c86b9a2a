"""What a build is given beside the rows: fitted parameters."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


@dataclass(frozen=True)
class Parameters:
    """Hold the parameters of a fitted model."""

    model: str
    version: str
    as_of: date
    values: dict[str, Any]


class ModelParameters(Store):
    """Keep parameters."""

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Keep what was fitted as of a date; a second fit of the same date replaces the first."""
        with self.transaction() as opened:
            same = (t.parameters.c.model == model, t.parameters.c.as_of == as_of)
            opened.execute(delete(t.parameters).where(*same))
            row = {"model": model, "version": version, "as_of": as_of, "values": values}
            opened.execute(insert(t.parameters).values(**row, created_at=datetime.now(UTC)))

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters that were fitted as of a date or before."""
        with self.transaction() as opened:
            query = select(t.parameters).where(t.parameters.c.model == model, t.parameters.c.as_of <= as_of)
            row = opened.execute(query.order_by(t.parameters.c.as_of.desc()).limit(1)).mappings().first()
            return Parameters(row["model"], row["version"], row["as_of"], row["values"]) if row else None
