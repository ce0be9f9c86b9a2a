"""Find out what became of writes whose answer was lost: the target is asked, nothing is guessed."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.outcomes import SEEN, OutcomeRecorder, seen
from engine.deliver.sender import holds
from engine.deliver.target import Target
from engine.deliver.target_state import ask, found
from engine.storage.write_operations import DONE, Operation
from transforms.delivery.value_equality import is_same

NEVER = "it never arrived"
DAYS = timedelta(days=2)  # what has not arrived by then will not


def settle(project: Project, target: Target, delivery: str) -> None:
    """Ask for every operation of a delivery that is open.

    What never arrived becomes `retry`: it may be sent again. A create that could be made twice is that only when the
    target has had the time that it may need; until then, or where nobody can be asked, it stays unknown. What had not
    arrived when it was last asked for, and was not done since, may have come late: it is asked for once more.
    """
    given = project.delivery(delivery).key
    key, concluding = given.field if given else None, OutcomeRecorder(project, delivery, target)
    late = _found(target, project.ledger.operations.retryable(delivery, NEVER, datetime.now(UTC) - DAYS), key)
    concluding.settle(pair for pair in late if pair[1].status in DONE)
    concluding.settle(_found(target, project.ledger.operations.unsettled(delivery), key))


def _found(target: Target, left: Sequence[Operation], key: str | None) -> Iterator[tuple[Operation, Outcome]]:
    creates = [one for one in left if one.action == "create"]
    others = [one for one in left if one.action != "create" and one.record_id]
    if others:
        fields = sorted({name for one in others for name in one.after})
        held = ask(target, sorted({str(one.record_id) for one in others}), fields)
        yield from ((one, _of_change(one, held.get(one.record_id or ""))) for one in others)
    if creates:
        yield from zip(creates, _of_creates(target, creates, key), strict=True)


def _of_change(operation: Operation, held: TargetRecord | None) -> Outcome:
    """Tell from what the target holds whether a write arrived; one that did not may be sent again."""
    if operation.action == "delete":
        if held is None:
            return Outcome(operation.op_id, "applied", operation.record_id, message=SEEN)
        return Outcome(operation.op_id, "retry", operation.record_id, message=NEVER)
    if held is not None and _shows(held, operation):
        return seen(operation, held)
    if held is not None and holds(held, operation.before):
        return Outcome(operation.op_id, "retry", operation.record_id, message=NEVER)
    why = "the record is gone" if held is None else "the target holds a third value"
    return Outcome(operation.op_id, "conflict", operation.record_id, message=why)


def _shows(held: TargetRecord, operation: Operation) -> bool:
    """Tell whether a record shows that a write arrived: it is done as a whole, so one field proves the others."""
    changed = [name for name, value in operation.after.items() if not is_same(operation.before.get(name), value)]
    return any(is_same(held.values.get(name), operation.after[name]) for name in changed)


def _of_creates(target: Target, creates: Sequence[Operation], key: str | None) -> list[Outcome]:
    fields = sorted({name for one in creates for name in one.after})
    names = [str(one.key) for one in creates if one.key]
    there = found(target, key, names, fields) if key and target.finds else {}
    return [_of_create(target, one, there.get(one.key or "", []), key) for one in creates]


def _of_create(target: Target, operation: Operation, twins: Sequence[TargetRecord], key: str | None) -> Outcome:
    if len(twins) == 1:
        return seen(operation, twins[0])
    if twins:
        return Outcome(operation.op_id, "conflict", message=f"{len(twins)} records of the target have its key")
    if target.creates_once(key):
        return Outcome(operation.op_id, "retry", message=NEVER)
    settled = (
        operation.intended_at is not None and datetime.now(UTC) - operation.intended_at > target.writing.write_timeout
    )
    if target.finds is not None and settled:
        return Outcome(operation.op_id, "retry", message=NEVER)
    why = "it may still arrive" if target.finds is not None else "the target cannot be asked: a person must look"
    return Outcome(operation.op_id, "unknown", message=why)
