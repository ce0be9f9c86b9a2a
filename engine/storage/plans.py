"""What was planned: the heads of saved plans; their rows lie in the lake."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


@dataclass(frozen=True)
class PlanRow:
    """Head a saved plan; its changes lie in the lake at `path`."""

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
    """Keep plans."""

    def save(self, plan: PlanRow) -> None:
        """Keep a plan; older ones of its delivery that nobody applied are superseded.

        A plan that is made once more lies in its new file from now on: the old one may be damaged.
        """
        with self.transaction() as opened:
            older = (
                t.plans.c.delivery == plan.delivery,
                t.plans.c.status == "planned",
                t.plans.c.digest != plan.digest,
            )
            opened.execute(update(t.plans).where(*older).values(status="superseded"))
            held = opened.scalar(select(t.plans.c.status).where(t.plans.c.digest == plan.digest))
            if held is None:
                opened.execute(insert(t.plans).values(**vars(plan)))
            elif held != "applied":
                again = {name: value for name, value in vars(plan).items() if name != "digest"}
                opened.execute(update(t.plans).where(t.plans.c.digest == plan.digest).values(again))

    def find(self, digest: str) -> PlanRow | None:
        """Return the plan whose digest begins like this, if it is the only one."""
        found = self._select(t.plans.c.digest.startswith(digest, autoescape=True), most=2)
        return found[0] if len(found) == 1 else None

    def newest(self, delivery: str) -> PlanRow | None:
        """Return a delivery's newest plan."""
        return next(iter(self._select(t.plans.c.delivery == delivery, most=1)), None)

    def recent(self, delivery: str | None = None, most: int = 20) -> list[PlanRow]:
        """List the newest plans of a delivery or of all, the newest first."""
        return self._select(*([t.plans.c.delivery == delivery] if delivery else []), most=most)

    def last_applied(self, delivery: str) -> str | None:
        """Return the digest of the newest plan of a delivery that was applied."""
        with self.transaction() as opened:
            query = select(t.plans.c.digest).where(t.plans.c.delivery == delivery, t.plans.c.status == "applied")
            return opened.scalar(query.order_by(t.plans.c.seq.desc()).limit(1))

    def set_status(self, digest: str, status: str) -> None:
        """Say what became of a plan."""
        with self.transaction() as opened:
            opened.execute(update(t.plans).where(t.plans.c.digest == digest).values(status=status))

    def _select(self, *where: Any, most: int) -> list[PlanRow]:
        with self.transaction() as opened:
            newest = (t.plans.c.created_at.desc(), t.plans.c.seq.desc())
            rows = opened.execute(select(t.plans).where(*where).order_by(*newest).limit(most)).mappings()
            return [PlanRow(**{name: value for name, value in row.items() if name != "seq"}) for row in rows]
