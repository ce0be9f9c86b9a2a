"""The values on which a target and we agreed last, and what people decided on conflicts."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store
from transforms.delivery.field_diff import Decision, SyncedValue, SyncHistory

RecordField = tuple[str, str]  # record_id, field


class SyncedValues(Store):
    """Synced values and decisions, by record and field of a delivery."""

    def history(self, delivery: str) -> SyncHistory:
        """Return the synced values of a delivery, and its decisions, newest first."""
        a, d = t.agreements, t.decisions
        decisions: dict[RecordField, list[Decision]] = {}
        with self.transaction() as opened:
            synced = {
                (row.record_id, row.field): SyncedValue(row.ours, row.held)
                for row in opened.execute(select(a).where(a.c.delivery == delivery))
            }
            for row in opened.execute(select(d).where(d.c.delivery == delivery).order_by(d.c.id.desc())):
                decision = Decision(row.wanted, row.verdict, row.by, row.held)
                decisions.setdefault((row.record_id, row.field), []).append(decision)
        return SyncHistory(synced, decisions)

    def save(self, delivery: str, values: Iterable[tuple[str, str, SyncedValue]]) -> None:
        """Store values, each with its record and field, that both sides hold now."""
        now, a = datetime.now(UTC), t.agreements
        rows = {
            (record, field): {"record_id": record, "field": field, "ours": value.ours, "held": value.target_value}
            for record, field, value in values
        }
        if not rows:
            return
        same = (a.c.delivery == delivery, a.c.record_id == bindparam("b_record"), a.c.field == bindparam("b_field"))
        with self.transaction() as opened:
            opened.execute(delete(a).where(*same), [{"b_record": record, "b_field": field} for record, field in rows])
            opened.execute(insert(a), [{**row, "delivery": delivery, "at": now} for row in rows.values()])

    def decide(self, delivery: str, record_field: RecordField, decision: Decision, reason: str) -> None:
        """Store a person's decision on a conflict.

        Of several on the same values the newest counts.
        """
        record, field = record_field
        row = {"delivery": delivery, "record_id": record, "field": field, "why": reason, "at": datetime.now(UTC)}
        row |= {
            "wanted": decision.wanted,
            "held": decision.target_value,
            "verdict": decision.verdict,
            "by": decision.by,
        }
        with self.transaction() as opened:
            opened.execute(insert(t.decisions).values(row))
