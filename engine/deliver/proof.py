"""Proof of a plan before its target is opened: its rows, and the tables it was made from."""

from collections.abc import Callable, Iterator

from connectors.kit.errors import ReplyError
from engine.config.delivery import DeliveryConfig
from engine.config.project import Project
from engine.deliver.desired_sql import sources
from engine.deliver.plan import basis_of
from engine.deliver.plan_store import FOLLOWS, WRITTEN, Plan, Row, refused
from engine.storage.stores.write_operations import Operation
from transforms.delivery.field_diff import as_json, from_json


def prove_plan(project: Project, plan: Plan) -> None:
    """Raise SettingsError unless an open plan may be sent as it is.

    File and digest are proven when a plan is loaded. A plan made on another build or other settings is
    never sent, so it needs no proof.
    Every row to write must lie within the delivery's own target, fields and operations; in a plan that
    reverses a run, within what that run wrote. The tables it was made from must be the files that the
    manifest recorded.
    """
    if plan.head.status != "planned" or not is_current(project, plan):
        return
    if FOLLOWS not in plan.head.summary:
        raise refused(plan.head, "an earlier version of Belvedere saved it, so its digest cannot be checked")
    allows = _undone(project, plan) if plan.undoes else _planned(project, plan)
    for row in plan.rows(*WRITTEN):
        for problem in _row_problems(project.delivery(plan.delivery), plan, row, allows):
            subject = row["record_id"] or row["key"]
            raise refused(plan.head, f"{plan.head.path}: {row['action']} of {subject}: {problem}")
    if not plan.undoes:
        _prove_tables(project, plan)


def is_current(project: Project, plan: Plan) -> bool:
    """Return whether a plan was made on the current build and settings; always so if it reverses a run."""
    return bool(plan.undoes) or plan.head.summary.get("basis") == basis_of(project, plan.delivery)


def _prove_tables(project: Project, plan: Plan) -> None:
    for table in sorted(sources(project.delivery(plan.delivery))):
        try:
            project.lake.proven(project.ledger.files.for_asset(table), reread=True)
        except ReplyError as error:
            reason = f"a table it was made from has changed: {error}; `belvedere build` makes it again"
            raise refused(plan.head, reason) from None


def _row_problems(config: DeliveryConfig, plan: Plan, row: Row, allows: Callable[[Row], bool]) -> Iterator[str]:
    target = {"delivery": plan.delivery, "connection": config.target.connection, "stream": config.target.stream}
    for name, wanted in target.items():
        if row[name] != wanted:
            yield f"its {name} is {row[name]!r}, but the delivery's is {wanted!r}"
    if not allows(row):
        yield f"the delivery's settings allow no {row['action']} of field {row['field']!r} there"


def _planned(project: Project, plan: Plan) -> Callable[[Row], bool]:
    """Return which rows the delivery's settings allow in a plan."""
    config = project.delivery(plan.delivery)
    created = {record for record, _ in project.ledger.operations.created_by_key(plan.delivery).values()}
    updated = {name for name, setting in config.fields.items() if not setting.only_new}
    key = config.key.field if config.key and config.match != "update_only" else None

    def allows(row: Row) -> bool:
        if row["action"] == "create":
            is_key = row["field"] == key and from_json(row["after"]) == row["key"]
            is_field = row["field"] in config.fields and row["field"] != key
            return bool(key and row["key"] and not row["record_id"]) and (is_key or is_field)
        if row["action"] != "update" or not row["record_id"]:
            return False
        if config.match != "create_only":
            return row["field"] in updated
        is_closed = row["record_id"] in created and row["field"] in config.gone
        return is_closed and row["after"] == as_json(config.gone[row["field"]])

    return allows


def _undone(project: Project, plan: Plan) -> Callable[[Row], bool]:
    """Return which rows a plan that reverses a run may have: those that its operations wrote."""
    written: dict[str | None, list[Operation]] = {}
    for operation in project.ledger.operations.query(delivery=plan.delivery, run_id=plan.undoes):
        if operation.outcome == "applied":
            written.setdefault(operation.record_id, []).append(operation)

    def allows(row: Row) -> bool:
        mine = written.get(row["record_id"], [])
        if row["action"] == "delete":
            return any(operation.action == "create" for operation in mine)
        values = [as_json(operation.before.get(row["field"])) for operation in mine if row["field"] in operation.after]
        return row["action"] == "update" and row["after"] in values

    return allows
