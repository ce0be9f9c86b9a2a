"""What was planned, intended and done at the targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select, update

from connectors.kit.base import Outcome
from orchestration.storage import tables as t
from orchestration.storage.base import Transactions

OPEN = ("unknown", "retry")


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


@dataclass(frozen=True)
class Operation:
    """Hold one record's change as intended, and what came of it."""

    op_id: str
    delivery: str
    digest: str
    run_id: str
    connection: str
    stream: str
    record_id: str | None
    customer_id: str
    action: str
    before: dict[str, Any]
    after: dict[str, Any]
    attempt: int = 1
    outcome: str | None = None
    version: str | None = None
    message: str | None = None
    intended_at: datetime | None = None
    settled_at: datetime | None = None


class Deliveries(Transactions):
    """Keep plans and operations: the outcome rows are the audit log."""

    def save_plan(self, plan: PlanRow) -> None:
        """Keep a plan; older ones of its delivery that nobody applied are superseded."""
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
            elif held == "superseded":
                again = {"status": "planned", "created_at": plan.created_at, "run_id": plan.run_id}
                opened.execute(update(t.plans).where(t.plans.c.digest == plan.digest).values(again))

    def plan(self, digest: str) -> PlanRow | None:
        """Return the plan whose digest begins like this, if it is the only one."""
        with self.transaction() as opened:
            rows = list(
                opened.execute(select(t.plans).where(t.plans.c.digest.startswith(digest, autoescape=True))).mappings()
            )
            return _plan(rows[0]) if len(rows) == 1 else None

    def newest_plan(self, delivery: str) -> PlanRow | None:
        """Return a delivery's newest plan."""
        with self.transaction() as opened:
            newest = (t.plans.c.created_at.desc(), t.plans.c.seq.desc())
            query = select(t.plans).where(t.plans.c.delivery == delivery).order_by(*newest).limit(1)
            row = opened.execute(query).mappings().first()
            return _plan(row) if row else None

    def last_applied(self, delivery: str) -> str | None:
        """Return the digest of the newest plan of a delivery that was applied."""
        with self.transaction() as opened:
            query = select(t.plans.c.digest).where(t.plans.c.delivery == delivery, t.plans.c.status == "applied")
            return opened.scalar(query.order_by(t.plans.c.seq.desc()).limit(1))

    def set_plan_status(self, digest: str, status: str) -> None:
        """Say what became of a plan."""
        with self.transaction() as opened:
            opened.execute(update(t.plans).where(t.plans.c.digest == digest).values(status=status))

    def intend(self, operations: Sequence[Operation]) -> None:
        """Write down what is about to be sent, before it is sent."""
        kept = (
            "op_id",
            "delivery",
            "digest",
            "run_id",
            "connection",
            "stream",
            "record_id",
            "customer_id",
            "action",
        )
        now = datetime.now(UTC)
        with self.transaction() as opened:
            for operation in operations:
                row = {name: getattr(operation, name) for name in (*kept, "before", "after", "attempt")}
                row |= {"intended_at": now, "outcome": None, "settled_at": None}
                same = t.operations.c.op_id == operation.op_id
                if opened.execute(update(t.operations).where(same).values(row)).rowcount == 0:
                    opened.execute(insert(t.operations).values(row))

    def settle(self, outcomes: Iterable[Outcome]) -> None:
        """Write down what the target answered."""
        now = datetime.now(UTC)
        with self.transaction() as opened:
            for outcome in outcomes:
                row: dict[str, Any] = {
                    "outcome": outcome.status,
                    "message": outcome.message or None,
                    "settled_at": now,
                }
                row |= {"version": outcome.version} if outcome.version else {}
                row |= {"record_id": outcome.record_id} if outcome.record_id else {}
                opened.execute(update(t.operations).where(t.operations.c.op_id == outcome.op_id).values(row))

    def unsettled(self, delivery: str) -> list[Operation]:
        """List what was sent, or about to be, without an outcome that is known."""
        is_open = t.operations.c.outcome.is_(None) | t.operations.c.outcome.in_(OPEN)
        return self._operations(t.operations.c.delivery == delivery, is_open)

    def operations(self, delivery: str | None = None, run_id: str | None = None) -> list[Operation]:
        """List operations of a delivery, of a run, or all."""
        asked = [t.operations.c.delivery == delivery] if delivery else []
        asked += [t.operations.c.run_id == run_id] if run_id else []
        return self._operations(*asked)

    def rejections(self, delivery: str) -> dict[str, int]:
        """Count by record how often in a row its change was rejected."""
        count: dict[str, int] = {}
        for operation in self.operations(delivery):
            if operation.record_id and operation.outcome == "rejected":
                count[operation.record_id] = count.get(operation.record_id, 0) + operation.attempt
            elif operation.record_id and operation.outcome in ("applied", "unchanged"):
                count.pop(operation.record_id, None)
        return count

    def _operations(self, *where: Any) -> list[Operation]:
        with self.transaction() as opened:
            query = select(t.operations).where(*where).order_by(t.operations.c.intended_at, t.operations.c.op_id)
            return [Operation(**row) for row in opened.execute(query).mappings()]


def _plan(row: Any) -> PlanRow:
    return PlanRow(**{name: value for name, value in row.items() if name != "seq"})
