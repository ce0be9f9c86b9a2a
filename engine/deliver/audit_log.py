"""Operations as rows of the audit log, one per field."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.storage.stores.approvals import Approval
from engine.storage.stores.write_operations import Operation
from transforms.delivery.field_diff import as_json

SHARED = ("delivery", "run_id", "digest", "op_id", "connection", "stream", "record_id", "customer_id", "action", "key")


def delivered_rows(operation: Operation, approvals: Mapping[str, Sequence[Approval]]) -> list[dict[str, Any]]:
    """Return the rows of the table `delivered` for an operation; `approvals` are keyed by plan digest."""
    shared = {name: getattr(operation, name) for name in (*SHARED, "attempt", "message")}
    shared |= {"outcome": operation.outcome or "unknown", "at": operation.settled_at or operation.intended_at}
    approval = _approval(operation, approvals.get(operation.digest, ()))
    shared |= {"approved_by": approval and approval.by, "approved_via": approval and approval.via}
    confirmed = operation.confirmed or {}
    fields = operation.after or {"*": None}
    return [
        shared
        | {
            "field": name,
            "before": as_json(operation.before.get(name)),
            "after": as_json(value),
            "confirmed": as_json(confirmed.get(name)),
        }
        for name, value in fields.items()
    ]


def _approval(operation: Operation, approvals: Sequence[Approval]) -> Approval | None:
    """Return the newest approval given before the operation was intended."""
    at = operation.intended_at
    return next((approval for approval in reversed(approvals) if at is None or approval.at <= at), None)
