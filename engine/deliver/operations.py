"""From the rows of a plan to one operation a record, in an order in which parents come before children."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Any

import msgspec

from engine.deliver.desired import RECORD_OF
from engine.deliver.plan_store import WRITTEN, Plan
from engine.storage.write_operations import Operation, Tried


def operations(
    plan: Plan, run_id: str, tried: Mapping[str, Tried], resumed: Mapping[str, Operation]
) -> list[Operation]:
    """Gather the planned fields of each record into one operation, named by plan and record.

    `tried` are the operations of this plan that an earlier round has intended, `resumed` those of earlier plans, by
    key, that this one sends again as they were: under the name that the target knows.
    """
    made = []
    named = {key: one.op_id for key, one in resumed.items()}
    named |= {one.key: one.op_id for one in tried.values() if one.key}
    known: dict[str, Tried | Operation] = {one.op_id: one for one in (*resumed.values(), *tried.values())}
    rows = sorted(plan.rows(*WRITTEN), key=lambda row: (row["record_id"] or "", row["key"] or ""))
    for (record, key), group in groupby(rows, key=lambda row: (row["record_id"], row["key"])):
        fields = list(group)
        op_id = named.get(key) if record is None else None
        op_id = op_id or sha256(f"{plan.digest}/{record or key}".encode()).hexdigest()[:24]
        is_delete = fields[0]["action"] == "delete"
        made.append(
            Operation(
                op_id=op_id,
                delivery=plan.delivery,
                digest=plan.digest,
                run_id=run_id,
                connection=fields[0]["connection"],
                stream=fields[0]["stream"],
                record_id=record or (known[op_id].record_id if op_id in known else None),
                customer_id=fields[0]["customer_id"],
                action=fields[0]["action"],
                before={} if is_delete else {row["field"]: _parsed(row["before"]) for row in fields},
                after={} if is_delete else {row["field"]: _parsed(row["after"]) for row in fields},
                attempt=(known[op_id].attempt if op_id in known else 0) + 1,
                version=fields[0]["version"],
                key=key if fields[0]["action"] == "create" else None,
            )
        )
    return made


def waves(waiting: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Let records go first that others refer to; those that refer in a circle go last, together."""
    left = list(waiting)
    while left:
        made = {one.customer_id for one in left if one.action == "create"}
        ready = [one for one in left if not _refers(one) & (made - {one.customer_id})] or left
        yield ready
        gone = {one.op_id for one in ready}
        left = [one for one in left if one.op_id not in gone]


def resolved(operation: Operation, records: Mapping[str, str]) -> Operation:
    """Put the records in that were created for the customers an operation refers to; what is not there is left out."""
    if not _refers(operation):
        return operation
    after = {
        name: records.get(value[RECORD_OF]) if _is_reference(value) else value
        for name, value in operation.after.items()
    }
    missing = {name for name, value in operation.after.items() if _is_reference(value) and after[name] is None}
    kept = {name: value for name, value in after.items() if name not in missing}
    return msgspec.structs.replace(
        operation, after=kept, before={k: v for k, v in operation.before.items() if k in kept}
    )


def counted(operations: Iterable[Operation]) -> Counter[str]:
    """Count operations by their outcome."""
    return Counter(one.outcome or "unknown" for one in operations)


def _refers(operation: Operation) -> set[str]:
    return {value[RECORD_OF] for value in operation.after.values() if _is_reference(value)}


def _is_reference(value: Any) -> bool:
    return isinstance(value, dict) and RECORD_OF in value


def _parsed(value: str | None) -> Any:
    return None if value is None else msgspec.json.decode(value)
