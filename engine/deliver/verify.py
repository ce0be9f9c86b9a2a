"""Read again what was written: a yes from a target is no proof."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.kit.base import Outcome, TargetRecord
from engine.config.project import Project
from engine.deliver.outcomes import SEEN
from engine.deliver.target import Target, opened
from engine.deliver.target_state import ask
from engine.storage.write_operations import Operation
from transforms.delivery.field_diff import SyncedValue
from transforms.delivery.value_equality import is_same

GONE, LEFT = "is not there any more", "was not removed, though the target said so"
CLOCKS_DIFFER = timedelta(seconds=5)


@dataclass(frozen=True)
class ReadBack:
    """Say how many records were read again, and where the target holds something else than was written."""

    records: int
    differences: tuple[str, ...] = ()


def read_back(project: Project, name: str) -> ReadBack:
    """Read what was written again, newest first, up to `read_back` records; once the target's lag is over.

    What a target with a lag was sent just now is read back by the next run. A target that said yes and still holds the
    old value has refused: the change returns in the next plan. One that keeps a value in a form of its own, with nobody
    else at work on the record, is understood, and the form is remembered.
    """
    config = project.delivery(name)
    if not project.ledger.operations.to_verify(name, datetime.now(UTC), 1):
        return ReadBack(0)
    with opened(project, config) as target:
        before = datetime.now(UTC) - target.writing.lag
        written = project.ledger.operations.to_verify(name, before, config.read_back)
        if not written:
            return ReadBack(0)
        newest = {str(one.record_id): one for one in written}
        held = ask(target, list(newest), sorted({field for one in newest.values() for field in one.after}))
        clock = _Clock(target)
        seen = [(one, held.get(record)) for record, one in newest.items()]
        project.ledger.synced_values.save(name, (form for one, there in seen for form in _forms(one, there, clock)))
        refused = {one.op_id: _ignored(one, there) for one, there in seen}
        project.ledger.operations.record_outcomes(
            Outcome(one.op_id, "rejected", one.record_id, message=f"the target said yes and left {', '.join(left)}")
            for one, _ in seen
            if (left := refused[one.op_id])
        )
        project.ledger.operations.mark_verified(name, before)
    where = f"{config.target.connection} {config.target.stream}"
    wrong = (f"{where} {one.record_id}: {said}" for one, there in seen for said in _differences(one, there, clock))
    return ReadBack(len(newest), tuple(wrong))


@dataclass
class _Clock:
    """Tell whether anybody changed a record after we wrote to it, by the target's own clock."""

    target: Target

    def __post_init__(self) -> None:
        self.theirs, self.ours = self.target.connector.now(), datetime.now(UTC)

    def touched_since(self, operation: Operation, held: TargetRecord) -> bool | None:
        if operation.message == SEEN:
            return True  # nobody knows what happened before it was seen
        if operation.version and operation.version == held.version:
            return False
        if held.changed_at is None or operation.settled_at is None:
            return None
        written_at = self.theirs - (self.ours - operation.settled_at)
        return held.changed_at > written_at + CLOCKS_DIFFER


def _forms(one: Operation, held: TargetRecord | None, clock: _Clock) -> Iterator[tuple[str, str, SyncedValue]]:
    """List values that the target keeps in a form of its own: neither what was sent nor what was there."""
    if held is None or clock.touched_since(one, held) is not False:
        return
    for field, wanted in one.after.items():
        now = held.values.get(field)
        if now is not None and not is_same(now, wanted) and not is_same(now, one.before.get(field)):
            yield str(one.record_id), field, SyncedValue(wanted, now)


def _ignored(one: Operation, held: TargetRecord | None) -> list[str]:
    """Name the fields that still hold what they held before, though something else was written."""
    if held is None or one.action == "create":
        return []
    if one.action == "delete":
        return ["the record"]
    return sorted(
        field
        for field, wanted in one.after.items()
        if not is_same(held.values.get(field), wanted) and is_same(held.values.get(field), one.before.get(field))
    )


def _differences(one: Operation, held: TargetRecord | None, clock: _Clock) -> Iterator[str]:
    if held is None or one.action == "delete":
        is_as_meant = (held is None) == (one.action == "delete")
        yield from () if is_as_meant else [LEFT if held else GONE]
        return
    told = one.confirmed or {}
    ignored = _ignored(one, held)
    for field, wanted in one.after.items():
        now: Any = held.values.get(field)
        if is_same(now, wanted) or (field in told and is_same(now, told[field])):
            continue
        if field in ignored:
            yield f"{field} was not written, though the target said so"
        elif clock.touched_since(one, held) is None:
            yield f"{field} holds another value than was written"
