"""Undo: plan the reverse of what a run wrote, with the same guards and approval as any plan."""

from collections.abc import Iterable, Iterator
from typing import Any

from connectors.kit.base import TargetRecord
from connectors.kit.errors import SettingsError
from engine.config.project import Project
from engine.deliver.plan import save
from engine.deliver.plan_store import Plan, Row
from engine.deliver.target import Target, opened
from engine.deliver.target_state import fetch_records
from engine.storage.lease import lease
from engine.storage.stores.write_operations import Operation
from transforms.delivery.field_diff import as_json
from transforms.delivery.value_equality import is_same, plain


def undo(project: Project, undone: str, run_id: str, deliveries: Iterable[str] = ()) -> list[Plan]:
    """Plan to restore every field that a run wrote to its earlier value, and to delete what it created.

    Nothing is written yet: each plan waits for `belvedere apply DIGEST`. Fields that were changed since the run are
    listed and left alone. Once applied, the undone values are not delivered there again.
    Raises SettingsError when the run wrote nothing.
    """
    written = [
        operation for operation in project.ledger.operations.query(run_id=undone) if operation.outcome == "applied"
    ]
    chosen = {*deliveries} or {operation.delivery for operation in written}
    plans = []
    for name in sorted(chosen & {operation.delivery for operation in written}):
        with lease(project.ledger, f"delivery:{name}", run_id), opened(project, project.delivery(name)) as target:
            mine = [operation for operation in written if operation.delivery == name]
            plans.append(_planned(project, name, target, mine, undone, run_id))
    if not plans:
        raise SettingsError(f"run {undone!r} wrote nothing to a target; `belvedere undo` lists the runs that did")
    return plans


def _planned(project: Project, name: str, target: Target, mine: list[Operation], undone: str, run_id: str) -> Plan:
    fields = sorted({field for operation in mine for field in operation.after})
    records = fetch_records(target, sorted({str(operation.record_id) for operation in mine}), fields)
    rows = [row for operation in reversed(mine) for row in _inverse(operation, records.get(str(operation.record_id)))]
    filled = sum(plain(value) is not None for record in records.values() for value in record.values.values())
    whole = [
        plan.summary.get("held", 0) for plan in project.ledger.plans.recent(name) if not plan.summary.get("undoes")
    ]
    return save(project, name, rows, run_id, {"held": max([filled, *whole[:1]]), "undoes": undone}, None)


def _inverse(operation: Operation, record: TargetRecord | None) -> Iterator[Row]:
    if record is None:
        yield _row(operation, record, "*", "conflict", None, None, "the record is gone from the target")
    elif operation.action == "create" and not _is_as_written(operation, record):
        yield _row(operation, record, "*", "conflict", None, None, "somebody changed it since the run; it stays")
    elif operation.action == "create":
        yield _row(operation, record, "*", "delete", None, None, f"created by run {operation.run_id}")
    else:
        for field, wrote in operation.after.items():
            yield from _field(operation, record, field, wrote)


def _is_as_written(operation: Operation, record: TargetRecord) -> bool:
    confirmed = operation.confirmed or {}
    return all(
        is_same(record.values.get(field), value) or is_same(record.values.get(field), confirmed.get(field, value))
        for field, value in operation.after.items()
    )


def _field(operation: Operation, record: TargetRecord, field: str, wrote: Any) -> Iterator[Row]:
    now, old = record.values.get(field), operation.before.get(field)
    confirmed = (operation.confirmed or {}).get(field, wrote)
    if is_same(now, old):
        return
    if is_same(now, wrote) or is_same(now, confirmed):
        yield _row(operation, record, field, "update", now, old, f"value from before run {operation.run_id}")
    else:
        yield _row(operation, record, field, "conflict", now, old, "somebody changed it since the run; it stays")


def _row(
    operation: Operation,
    target_record: TargetRecord | None,
    field: str,
    action: str,
    before: Any,
    after: Any,
    reason: str,
) -> Row:
    location = {"delivery": operation.delivery, "connection": operation.connection, "stream": operation.stream}
    record = {"record_id": operation.record_id, "customer_id": operation.customer_id, "key": None}
    values = {"before": as_json(before), "after": as_json(after), "policy": "owner", "owner": None}
    version = target_record.version if target_record else None
    return {**location, **record, "field": field, "action": action, **values, "reason": reason, "version": version}
