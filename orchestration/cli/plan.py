"""`belvedere plan`: what would be written, field by field."""

import argparse
import json
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from orchestration.deliver.saved import Plan
    from orchestration.project import Project
    from orchestration.storage.plans import PlanRow


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="which ones (default: all)")
    parser.add_argument("--diff", action="store_true", help="print every change, old -> new")
    parser.add_argument("--list", action="store_true", help="list the plans that were made, and plan nothing")
    parser.add_argument("--show", metavar="DIGEST", help="print a plan that was made, and plan nothing")


def run(args: argparse.Namespace) -> Exit:
    """Plan each delivery and print the difference."""
    from orchestration.project import Project

    project = Project.load()
    names = [project.delivery(name) and name for name in args.deliveries] or list(project.deliveries)
    if args.list:
        return _list(project, names)
    if args.show:
        return _show(project, args.show)
    return _plan(project, names, args.diff)


def _plan(project: "Project", names: list[str], diff: bool) -> Exit:
    from orchestration.assets.deliver import plan_key
    from orchestration.cli.beats import tell_deliver
    from orchestration.cli.console import heading
    from orchestration.cli.runs import run as run_job
    from orchestration.deliver.saved import find

    ran = run_job("deliver", assets=[plan_key(name) for name in names])
    tell_deliver(ran)
    for name in names if diff else ():
        if f"plan/{name}" in ran.metadata:
            heading(name)
            _diff(find(project, name))
    return Exit.PARTS_MISSING if any(not passed for _, _, passed, _ in ran.checks) else ran.exit


def _list(project: "Project", names: list[str]) -> Exit:
    from orchestration.cli.console import table

    plans = [plan for name in names for plan in project.ledger.plans(name)]
    rows = [
        (
            plan.delivery,
            plan.digest[:12],
            f"{plan.created_at:%Y-%m-%d %H:%M}",
            plan.status,
            plan.changes,
            _note(project, plan),
        )
        for plan in plans
    ]
    table(("delivery", "digest", "planned, UTC", "status", "records", ""), rows, right=("records",))
    return Exit.DONE


def _note(project: "Project", plan: "PlanRow") -> str:
    undoes = f"takes run {plan.summary['undoes'][:8]} back" if plan.summary.get("undoes") else ""
    approvals = project.ledger.approvals(plan.digest).get(plan.digest, ())
    return "; ".join(filter(None, [undoes, *map(str, approvals), *plan.summary.get("violations", ())]))


def _show(project: "Project", digest: str) -> Exit:
    from orchestration.cli.console import say
    from orchestration.deliver.saved import find

    plan = find(project, digest)
    say(f"{plan.delivery}: {plan.summary()} ({plan.head.status})")
    for approval in project.ledger.approvals(plan.digest).get(plan.digest, ()):
        say(f"  {approval}")
    _diff(plan)
    return Exit.DONE


def _diff(plan: "Plan") -> None:
    from orchestration.cli.console import table

    columns = ("record", "field", "held", "wanted", "action", "owner", "why")
    table(columns, [_line(row) for row in plan.rows()])


def _line(row: dict[str, str | None]) -> tuple[str | None, ...]:
    record = row["record_id"] or f"new: {row['key']}"
    return (
        *(record, row["field"], _shown(row["before"]), _shown(row["after"]), row["action"]),
        *(row["owner"] or "", row["reason"]),
    )


def _shown(value: str | None) -> str:
    held = json.loads(value) if value is not None else None
    return "(empty)" if held in (None, "") else str(held)
