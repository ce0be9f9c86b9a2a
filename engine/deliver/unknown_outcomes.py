"""Settles writes whose response was lost: the target is asked for the outcome, nothing is guessed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.outcomes import SEEN_AT_TARGET, OutcomeRecorder, applied_outcome
from engine.deliver.sender import holds
from engine.deliver.target import Target
from engine.deliver.target_state import fetch_records, find_records
from engine.storage.stores.write_operations import DONE, Operation
from transforms.delivery.value_equality import is_same

NEVER_ARRIVED = "it never arrived"  # stored in the ledger and looked up there: do not reword
LATE_ARRIVALS = timedelta(days=2)  # a write that has not arrived by then will not


def settle(project: Project, target: Target, delivery: str) -> None:
    """Ask the target for the outcome of every open operation of a delivery, and record it.

    A write that never arrived becomes `retry` and may be sent again. A create that could be made twice becomes `retry`
    only after the target's `write_timeout`; until then, or where the target cannot be asked, it stays `unknown`. A write
    that had not arrived when last asked for may have arrived late: it is asked for once more within LATE_ARRIVALS.
    """
    key_setting = project.delivery(delivery).key
    key, recorder = key_setting.field if key_setting else None, OutcomeRecorder(project, delivery, target)
    late = _outcomes_at_target(
        target, project.ledger.operations.retryable(delivery, NEVER_ARRIVED, datetime.now(UTC) - LATE_ARRIVALS), key
    )
    recorder.settle(pair for pair in late if pair[1].status in DONE)
    recorder.settle(_outcomes_at_target(target, project.ledger.operations.unsettled(delivery), key))


def _outcomes_at_target(
    target: Target, operations: Sequence[Operation], key: str | None
) -> Iterator[tuple[Operation, Outcome]]:
    creates = [operation for operation in operations if operation.action == "create"]
    others = [operation for operation in operations if operation.action != "create" and operation.record_id]
    if others:
        fields = sorted({name for operation in others for name in operation.after})
        records = fetch_records(target, sorted({str(operation.record_id) for operation in others}), fields)
        yield from (
            (operation, _outcome_of_change(operation, records.get(operation.record_id or ""))) for operation in others
        )
    if creates:
        yield from zip(creates, _outcomes_of_creates(target, creates, key), strict=True)


def _outcome_of_change(operation: Operation, record: TargetRecord | None) -> Outcome:
    """Return the outcome of an update or delete, judged by what the target holds now."""
    if operation.action == "delete":
        if record is None:
            return Outcome(operation.op_id, "applied", operation.record_id, message=SEEN_AT_TARGET)
        return Outcome(operation.op_id, "retry", operation.record_id, message=NEVER_ARRIVED)
    if record is not None and _shows(record, operation):
        return applied_outcome(operation, record)
    if record is not None and holds(record, operation.before):
        return Outcome(operation.op_id, "retry", operation.record_id, message=NEVER_ARRIVED)
    reason = (
        "the record is gone from the target" if record is None else "the target holds neither the old nor the new value"
    )
    return Outcome(operation.op_id, "conflict", operation.record_id, message=reason)


def _shows(record: TargetRecord, operation: Operation) -> bool:
    """Return whether a record shows that a write arrived; writes are atomic, so one changed field proves all."""
    changed = [name for name, value in operation.after.items() if not is_same(operation.before.get(name), value)]
    return any(is_same(record.values.get(name), operation.after[name]) for name in changed)


def _outcomes_of_creates(target: Target, creates: Sequence[Operation], key: str | None) -> list[Outcome]:
    fields = sorted({name for operation in creates for name in operation.after})
    names = [str(operation.key) for operation in creates if operation.key]
    existing = find_records(target, key, names, fields) if key and target.finds else {}
    return [_outcome_of_create(target, operation, existing.get(operation.key or "", []), key) for operation in creates]


def _outcome_of_create(target: Target, operation: Operation, twins: Sequence[TargetRecord], key: str | None) -> Outcome:
    if len(twins) == 1:
        return applied_outcome(operation, twins[0])
    if twins:
        return Outcome(
            operation.op_id,
            "conflict",
            message=f"{len(twins)} records of the target have its key: merge or delete all but one there",
        )
    if target.creates_once(key):
        return Outcome(operation.op_id, "retry", message=NEVER_ARRIVED)
    settled = (
        operation.intended_at is not None and datetime.now(UTC) - operation.intended_at > target.writing.write_timeout
    )
    if target.finds is not None and settled:
        return Outcome(operation.op_id, "retry", message=NEVER_ARRIVED)
    reason = (
        "it may still arrive"
        if target.finds is not None
        else "the target cannot be searched: look there whether the record exists"
    )
    return Outcome(operation.op_id, "unknown", message=reason)
