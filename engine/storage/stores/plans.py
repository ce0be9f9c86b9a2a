"""The heads of saved plans; their changes lie in the lake."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


@dataclass(frozen=True)
class PlanRow:
    """The head of a saved plan; its changes lie in the lake at `path`."""

    digest: str
    delivery: str
    run_id: str
    created_at: datetime
    status: str  # planned, applied, superseded
    changes: int
    path: str
    snapshot: str
    summary: dict[str, Any] = field(default_factory=dict)


class Plans(Store):
    """All saved plans. Grain: digest."""

    def save(self, plan: PlanRow) -> None:
        """Store a plan; older plans of its delivery that were not applied are superseded.

        A plan with the digest of a stored one, unless that was applied, replaces it: the file of
        the old one may be damaged.
        """
        at = t.plans.c
        older = (at.delivery == plan.delivery, at.status == "planned", at.digest != plan.digest)
        with self.transaction() as opened:
            opened.execute(update(t.plans).where(*older).values(status="superseded"))
            status = opened.scalar(select(at.status).where(at.digest == plan.digest))
            if status is None:
                opened.execute(insert(t.plans).values(**vars(plan)))
            elif status != "applied":
                opened.execute(update(t.plans).where(at.digest == plan.digest).values(**vars(plan)))

    def find(self, digest: str) -> PlanRow | None:
        """Return the plan whose digest begins like this, if there is exactly one."""
        plans = self._select(t.plans.c.digest.startswith(digest, autoescape=True), most=2)
        return plans[0] if len(plans) == 1 else None

    def newest(self, delivery: str) -> PlanRow | None:
        """Return a delivery's newest plan."""
        return next(iter(self._select(t.plans.c.delivery == delivery, most=1)), None)

    def recent(self, delivery: str | None = None, most: int = 20) -> list[PlanRow]:
        """List the newest plans of a delivery or of all, newest first."""
        return self._select(*([t.plans.c.delivery == delivery] if delivery else []), most=most)

    def last_applied(self, delivery: str) -> str | None:
        """Return the digest of the newest plan of a delivery that was applied."""
        at = t.plans.c
        query = select(at.digest).where(at.delivery == delivery, at.status == "applied")
        with self.transaction() as opened:
            return opened.scalar(query.order_by(at.seq.desc()).limit(1))

    def set_status(self, digest: str, status: str) -> None:
        """Set the status of a plan: planned, applied or superseded."""
        with self.transaction() as opened:
            opened.execute(update(t.plans).where(t.plans.c.digest == digest).values(status=status))

    def _select(self, *where: Any, most: int) -> list[PlanRow]:
        newest_first = (t.plans.c.created_at.desc(), t.plans.c.seq.desc())
        columns = [column for column in t.plans.c if column.name != "seq"]
        with self.transaction() as opened:
            rows = opened.execute(select(*columns).where(*where).order_by(*newest_first).limit(most)).mappings()
            return [PlanRow(**row) for row in rows]
