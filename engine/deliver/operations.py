"""The operations of a plan, one per record, ordered so that referenced records are created first."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any

import msgspec

from engine.deliver.desired import RECORD_OF
from engine.deliver.plan_store import WRITTEN, Plan
from engine.storage.stores.write_operations import Attempt, Operation


def operations(
    plan: Plan, run_id: str, tried: Mapping[str, Attempt], resumed: Mapping[str, Operation]
) -> list[Operation]:
    """Combine the planned fields of each record into one operation, whose id derives from plan and record.

    `tried` are the operations of this plan that an earlier round intended. `resumed` are creates of earlier plans, by
    key, that this plan sends again under the same operation id, by which the target recognises them.
    """
    planned = []
    named = {key: operation.op_id for key, operation in resumed.items()}
    named |= {operation.key: operation.op_id for operation in tried.values() if operation.key}
    earlier: dict[str, Attempt | Operation] = {operation.op_id: operation for operation in resumed.values()}
    earlier |= {attempt.op_id: attempt for attempt in tried.values()}
    rows = sorted(plan.rows(*WRITTEN), key=lambda row: (row["record_id"] or "", row["key"] or ""))
    for (record, key), group in groupby(rows, key=lambda row: (row["record_id"], row["key"])):
        fields = list(group)
        op_id = named.get(key) if record is None else None
        op_id = op_id or sha256(f"{plan.digest}/{record or key}".encode()).hexdigest()[:24]
        is_delete = fields[0]["action"] == "delete"
        planned.append(
            Operation(
                op_id=op_id,
                delivery=plan.delivery,
                digest=plan.digest,
                run_id=run_id,
                connection=fields[0]["connection"],
                stream=fields[0]["stream"],
                record_id=record or (earlier[op_id].record_id if op_id in earlier else None),
                customer_id=fields[0]["customer_id"],
                action=fields[0]["action"],
                before={} if is_delete else {row["field"]: _parsed(row["before"]) for row in fields},
                after={} if is_delete else {row["field"]: _parsed(row["after"]) for row in fields},
                attempt=(earlier[op_id].attempt if op_id in earlier else 0) + 1,
                version=fields[0]["version"],
                key=key if fields[0]["action"] == "create" else None,
            )
        )
    return planned


def waves(waiting: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Yield operations so that referenced records come first; those that refer to each other in a circle come last."""
    remaining = list(waiting)
    while remaining:
        created_for = {operation.customer_id for operation in remaining if operation.action == "create"}
        ready = [
            operation for operation in remaining if not _refers(operation) & (created_for - {operation.customer_id})
        ] or remaining
        yield ready
        sent_ids = {operation.op_id for operation in ready}
        remaining = [operation for operation in remaining if operation.op_id not in sent_ids]


def resolved(operation: Operation, records: Mapping[str, str]) -> Operation:
    """Replace references by the records created for their customers; drop a field whose record was not created."""
    if not _refers(operation):
        return operation
    after = {
        name: records.get(value[RECORD_OF]) if _is_reference(value) else value
        for name, value in operation.after.items()
    }
    missing = {name for name, value in operation.after.items() if _is_reference(value) and after[name] is None}
    values = {name: value for name, value in after.items() if name not in missing}
    return msgspec.structs.replace(
        operation, after=values, before={k: v for k, v in operation.before.items() if k in values}
    )


def counted(operations: Iterable[Operation]) -> Counter[str]:
    """Return the number of operations by outcome."""
    return Counter(operation.outcome or "unknown" for operation in operations)


def _refers(operation: Operation) -> set[str]:
    return {value[RECORD_OF] for value in operation.after.values() if _is_reference(value)}


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and RECORD_OF in value


def _parsed(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)
