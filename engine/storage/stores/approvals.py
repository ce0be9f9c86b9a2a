"""Who approved which plan, when and how, and which guards were lifted for it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store


@dataclass(frozen=True)
class Approval:
    """A person's approval of the plan with this digest.

    `via` is how it was given: "command line", or "Dagster run" and the run's id. `allowed` are the
    guards that are lifted for this plan.
    """

    digest: str
    delivery: str
    by: str
    via: str
    allowed: Sequence[str]
    at: datetime

    def __str__(self) -> str:
        lifted = f", allowed {', '.join(self.allowed)}" if self.allowed else ""
        return f"approved by {self.by}, {self.via}, {self.at:%Y-%m-%d %H:%M} UTC{lifted}"


class Approvals(Store):
    """All approvals; none is ever changed or deleted."""

    def add(self, digest: str, delivery: str, by: str, via: str, allowed: Sequence[str] = ()) -> Approval:
        """Store an approval of one plan, and return it."""
        approval = Approval(digest, delivery, by, via, sorted({*allowed}), datetime.now(UTC))
        with self.transaction() as opened:
            opened.execute(insert(t.approvals).values(**vars(approval)))
        return approval

    def by_digest(self, digest: str | None = None) -> Mapping[str, Sequence[Approval]]:
        """Return the approvals by digest, of one plan or of all, oldest first."""
        at = t.approvals.c
        query = select(at.digest, at.delivery, at.by, at.via, at.allowed, at.at).order_by(at.id)
        query = query.where(at.digest == digest) if digest else query
        by_digest: dict[str, list[Approval]] = defaultdict(list)
        with self.transaction() as opened:
            for row in opened.execute(query):
                by_digest[row.digest].append(Approval(*row))
        return by_digest
