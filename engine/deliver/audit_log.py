"""An operation spelt out field by field, as the audit log shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.storage.approvals import Approval
from engine.storage.write_operations import Operation
from transforms.delivery.field_diff import as_json

SHARED = ("delivery", "run_id", "digest", "op_id", "connection", "stream", "record_id", "customer_id", "action", "key")


def delivered_rows(operation: Operation, approvals: Mapping[str, Sequence[Approval]]) -> list[dict[str, Any]]:
    """Spell an operation out, as the table `delivered` has it; `approvals` are those of its plan, by digest."""
    shared = {name: getattr(operation, name) for name in (*SHARED, "attempt", "message")}
    shared |= {"outcome": operation.outcome or "unknown", "at": operation.settled_at or operation.intended_at}
    approval = _approval(operation, approvals.get(operation.digest, ()))
    shared |= {"approved_by": approval and approval.by, "approved_via": approval and approval.via}
    told = operation.confirmed or {}
    fields = operation.after or {"*": None}
    return [
        shared
        | {
            "field": name,
            "before": as_json(operation.before.get(name)),
            "after": as_json(value),
            "confirmed": as_json(told.get(name)),
        }
        for name, value in fields.items()
    ]


def _approval(operation: Operation, approvals: Sequence[Approval]) -> Approval | None:
    """Return the newest approval that was there when the operation was intended."""
    at = operation.intended_at
    return next((one for one in reversed(approvals) if at is None or one.at <= at), None)
