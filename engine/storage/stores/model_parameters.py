"""Parameters of fitted models, which a build reads beside the rows."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


@dataclass(frozen=True)
class Parameters:
    """The parameters of a model that was fitted as of a date."""

    model: str
    version: str
    as_of: date
    values: dict[str, Any]


def write_parameters(opened: Connection, fit: Parameters) -> None:
    """Store what was fitted as of a date; a second fit of the same date replaces the first."""
    same = (t.parameters.c.model == fit.model, t.parameters.c.as_of == fit.as_of)
    opened.execute(delete(t.parameters).where(*same))
    opened.execute(insert(t.parameters).values(**vars(fit), created_at=datetime.now(UTC)))


class ModelParameters(Store):
    """The parameters of all models. Grain: model, as_of."""

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Store the parameters of a fit; a second fit as of the same date replaces the first."""
        with self.transaction() as opened:
            write_parameters(opened, Parameters(model, version, as_of, values))

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters of a model that were fitted as of a date or before."""
        at = t.parameters.c
        query = select(at.model, at.version, at.as_of, at["values"]).where(at.model == model, at.as_of <= as_of)
        with self.transaction() as opened:
            row = opened.execute(query.order_by(at.as_of.desc()).limit(1)).first()
            return Parameters(*row) if row else None
