"""Read-back: read what was written again, because a target may confirm a write and not do it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.outcomes import SEEN_AT_TARGET
from engine.deliver.target import Target, opened
from engine.deliver.target_state import fetch_records
from engine.storage.stores.write_operations import Operation
from transforms.delivery.field_diff import SyncedValue
from transforms.delivery.value_equality import is_same

GONE, LEFT = "is gone from the target", "was not deleted, although the target confirmed it"
CLOCKS_DIFFER = timedelta(seconds=5)  # tolerance between our clock and the target's


@dataclass(frozen=True)
class ReadBack:
    """How many records were read again, and a message for each difference."""

    records: int
    differences: tuple[str, ...] = ()


def read_back(project: Project, name: str) -> ReadBack:
    """Read up to `read_back` written records again, newest first, once the target's lag is over.

    Records written within the lag are read back by the next run. Where the target confirmed a write and still holds the
    old value, the outcome becomes `rejected` and the change returns in the next plan. Where it stores a value in its own
    format and nobody else changed the record, that format is stored as equal to ours.
    """
    config = project.delivery(name)
    if not project.ledger.operations.to_verify(name, datetime.now(UTC), 1):
        return ReadBack(0)
    with opened(project, config) as target:
        before = datetime.now(UTC) - target.writing.lag
        written = project.ledger.operations.to_verify(name, before, config.read_back)
        if not written:
            return ReadBack(0)
        newest = {str(operation.record_id): operation for operation in written}
        records = fetch_records(
            target, list(newest), sorted({field for operation in newest.values() for field in operation.after})
        )
        clock = _Clock(target)
        pairs = [(operation, records.get(record_id)) for record_id, operation in newest.items()]
        project.ledger.synced_values.save(
            name, (form for operation, record in pairs for form in _normalised_values(operation, record, clock))
        )
        refused = {operation.op_id: _unwritten_fields(operation, record) for operation, record in pairs}
        project.ledger.operations.record_outcomes(
            Outcome(
                operation.op_id,
                "rejected",
                operation.record_id,
                message=f"the target confirmed the write but left unchanged: {', '.join(fields)}",
            )
            for operation, _ in pairs
            if (fields := refused[operation.op_id])
        )
        project.ledger.operations.mark_verified(name, before)
    where = f"{config.target.connection} {config.target.stream}"
    wrong = (
        f"{where} {operation.record_id}: {difference}"
        for operation, record in pairs
        for difference in _differences(operation, record, clock)
    )
    return ReadBack(len(newest), tuple(wrong))


@dataclass
class _Clock:
    """Judges by the target's own clock whether anybody changed a record after we wrote to it."""

    target: Target

    def __post_init__(self) -> None:
        self.theirs, self.ours = self.target.connector.now(), datetime.now(UTC)

    def touched_since(self, operation: Operation, record: TargetRecord) -> bool | None:
        if operation.message == SEEN_AT_TARGET:
            return True  # when it was written, and what happened since, is unknown
        if operation.version and operation.version == record.version:
            return False
        if record.changed_at is None or operation.settled_at is None:
            return None
        written_at = self.theirs - (self.ours - operation.settled_at)
        return record.changed_at > written_at + CLOCKS_DIFFER


def _normalised_values(
    operation: Operation, record: TargetRecord | None, clock: _Clock
) -> Iterator[tuple[str, str, SyncedValue]]:
    """Yield values that the target stores in its own format: neither what was sent nor what was there before."""
    if record is None or clock.touched_since(operation, record) is not False:
        return
    for field, wanted in operation.after.items():
        now = record.values.get(field)
        if now is not None and not is_same(now, wanted) and not is_same(now, operation.before.get(field)):
            yield str(operation.record_id), field, SyncedValue(wanted, now)


def _unwritten_fields(operation: Operation, record: TargetRecord | None) -> list[str]:
    """Return the fields that still hold the old value although another was written."""
    if record is None or operation.action == "create":
        return []
    if operation.action == "delete":
        return ["the record"]
    return sorted(
        field
        for field, wanted in operation.after.items()
        if not is_same(record.values.get(field), wanted)
        and is_same(record.values.get(field), operation.before.get(field))
    )


def _differences(operation: Operation, record: TargetRecord | None, clock: _Clock) -> Iterator[str]:
    if operation.action == "delete":
        yield from [LEFT] if record else []
        return
    if record is None:
        yield GONE
        return
    confirmed = operation.confirmed or {}
    ignored = _unwritten_fields(operation, record)
    for field, wanted in operation.after.items():
        now: Any = record.values.get(field)
        if is_same(now, wanted) or (field in confirmed and is_same(now, confirmed[field])):
            continue
        if field in ignored:
            yield f"{field} was not written, although the target confirmed it"
        elif clock.touched_since(operation, record) is None:
            yield f"{field} has another value than was written"
