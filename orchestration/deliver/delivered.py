"""An operation spelt out field by field, as the audit log shows it."""

from typing import Any

from orchestration.storage.operations import Operation
from transforms.changes import as_json

SHARED = ("delivery", "run_id", "digest", "op_id", "connection", "stream", "record_id", "customer_id", "action", "key")


def delivered_rows(operation: Operation) -> list[dict[str, Any]]:
    """Spell an operation out, as the table `delivered` has it."""
    shared = {name: getattr(operation, name) for name in (*SHARED, "attempt", "message")}
    shared |= {"outcome": operation.outcome or "unknown", "at": operation.settled_at or operation.intended_at}
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
