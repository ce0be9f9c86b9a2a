"""Take a run back: plan the inverse of what it wrote, for the same guards and eyes as any plan."""

from collections.abc import Iterable, Iterator
from typing import Any

from connectors.kit.base import TargetRecord
from connectors.kit.errors import SettingsError
from engine.config.project import Project
from engine.deliver.plan import save
from engine.deliver.plan_store import Plan, Row
from engine.deliver.target import Target, opened
from engine.deliver.target_state import ask
from engine.storage.lease import lease
from engine.storage.write_operations import Operation
from transforms.delivery.field_diff import as_json
from transforms.delivery.value_equality import is_same, plain


def undo(project: Project, undone: str, run_id: str, deliveries: Iterable[str] = ()) -> list[Plan]:
    """Plan to give every field that a run wrote its value from before, and to remove what it created.

    Nothing is written yet: each plan waits for `belvedere apply DIGEST`. Fields that hold something else by now than
    the run wrote are listed and left alone. Once applied, the same values are not delivered there again.
    Raises SettingsError when the run wrote nothing that could be taken back.
    """
    written = [one for one in project.ledger.operations.query(run_id=undone) if one.outcome == "applied"]
    chosen = {*deliveries} or {one.delivery for one in written}
    plans = []
    for name in sorted(chosen & {one.delivery for one in written}):
        with lease(project.ledger, f"delivery:{name}", run_id), opened(project, project.delivery(name)) as target:
            mine = [one for one in written if one.delivery == name]
            plans.append(_planned(project, name, target, mine, undone, run_id))
    if not plans:
        raise SettingsError(f"run {undone!r} wrote nothing; `belvedere undo` without a run lists those that did")
    return plans


def _planned(project: Project, name: str, target: Target, mine: list[Operation], undone: str, run_id: str) -> Plan:
    fields = sorted({field for one in mine for field in one.after})
    held = ask(target, sorted({str(one.record_id) for one in mine}), fields)
    rows = [row for one in reversed(mine) for row in _inverse(one, held.get(str(one.record_id)))]
    filled = sum(plain(value) is not None for one in held.values() for value in one.values.values())
    whole = [
        plan.summary.get("held", 0) for plan in project.ledger.plans.recent(name) if not plan.summary.get("undoes")
    ]
    return save(project, name, rows, run_id, {"held": max([filled, *whole[:1]]), "undoes": undone}, None)


def _inverse(one: Operation, held: TargetRecord | None) -> Iterator[Row]:
    if held is None:
        yield _row(one, held, "*", "conflict", None, None, "the target holds no such record any more")
    elif one.action == "create" and not _is_as_written(one, held):
        yield _row(one, held, "*", "conflict", None, None, "somebody changed it since; it stays")
    elif one.action == "create":
        yield _row(one, held, "*", "delete", None, None, f"created by run {one.run_id}")
    else:
        for field, wrote in one.after.items():
            yield from _field(one, held, field, wrote)


def _is_as_written(one: Operation, held: TargetRecord) -> bool:
    told = one.confirmed or {}
    return all(
        is_same(held.values.get(field), value) or is_same(held.values.get(field), told.get(field, value))
        for field, value in one.after.items()
    )


def _field(one: Operation, held: TargetRecord, field: str, wrote: Any) -> Iterator[Row]:
    now, old = held.values.get(field), one.before.get(field)
    left = (one.confirmed or {}).get(field, wrote)
    if is_same(now, old):
        return
    if is_same(now, wrote) or is_same(now, left):
        yield _row(one, held, field, "update", now, old, f"as it was before run {one.run_id}")
    else:
        yield _row(one, held, field, "conflict", now, old, "somebody changed it since; it stays")


def _row(
    one: Operation, held: TargetRecord | None, field: str, action: str, before: Any, after: Any, reason: str
) -> Row:
    place = {"delivery": one.delivery, "connection": one.connection, "stream": one.stream}
    record = {"record_id": one.record_id, "customer_id": one.customer_id, "key": None}
    values = {"before": as_json(before), "after": as_json(after), "policy": "owner", "owner": None}
    version = held.version if held else None
    return {**place, **record, "field": field, "action": action, **values, "reason": reason, "version": version}
