"""What we and a target last agreed upon, and what a person decided where we did not."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store
from transforms.delivery.field_diff import Decided, SyncedValue, SyncHistory

Place = tuple[str, str]


class SyncedValues(Store):
    """Keep agreements and decisions, by record and field of a delivery."""

    def history(self, delivery: str) -> SyncHistory:
        """Tell all that is known of a delivery's earlier nights; the newest decision comes first."""
        a, d = t.agreements, t.decisions
        with self.transaction() as opened:
            agreed = {
                (row.record_id, row.field): SyncedValue(row.ours, row.held)
                for row in opened.execute(select(a).where(a.c.delivery == delivery))
            }
            decided: dict[Place, list[Decided]] = {}
            for row in opened.execute(select(d).where(d.c.delivery == delivery).order_by(d.c.id.desc())):
                made = Decided(row.wanted, row.verdict, row.by, row.held)
                decided.setdefault((row.record_id, row.field), []).append(made)
        return SyncHistory(agreed, decided)

    def save(self, delivery: str, found: Iterable[tuple[str, str, SyncedValue]]) -> None:
        """Remember values that both sides hold."""
        now, a = datetime.now(UTC), t.agreements
        rows = {
            (record, field): {"record_id": record, "field": field, "ours": both.ours, "held": both.held}
            for record, field, both in found
        }
        if not rows:
            return
        named = (a.c.delivery == delivery, a.c.record_id == bindparam("b_record"), a.c.field == bindparam("b_field"))
        with self.transaction() as opened:
            opened.execute(delete(a).where(*named), [{"b_record": one, "b_field": two} for one, two in rows])
            opened.execute(insert(a), [{**row, "delivery": delivery, "at": now} for row in rows.values()])

    def decide(self, delivery: str, place: Place, made: Decided, why: str) -> None:
        """Write a decision down; the newest about the same values counts."""
        row = {"delivery": delivery, "record_id": place[0], "field": place[1], "why": why, "at": datetime.now(UTC)}
        with self.transaction() as opened:
            opened.execute(insert(t.decisions).values(**row, **vars(made)))
