"""`belvedere plan`, `apply`, `undo` and `conflicts`: what is written to the targets."""

import argparse
import getpass
from typing import TYPE_CHECKING
from uuid import uuid4

from connectors.kit.errors import SettingsError
from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from engine.config.project import Project
    from engine.deliver.plan_store import Plan
    from engine.storage.plans import PlanRow


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="which ones (default: all)")
    parser.add_argument("--diff", action="store_true", help="print every change, old -> new")
    parser.add_argument("--list", action="store_true", help="list the plans that were made, and plan nothing")
    parser.add_argument("--show", metavar="DIGEST", help="print a plan that was made, and plan nothing")


def plan_command(args: argparse.Namespace) -> Exit:
    """Plan each delivery and print the difference."""
    from engine.config.project import Project

    project = Project.load()
    names = [project.delivery(name) and name for name in args.deliveries] or list(project.deliveries)
    if args.list:
        return _list_plans(project, names)
    if args.show:
        return _show_plan(project, args.show)
    return _plan(project, names, args.diff)


def _plan(project: "Project", names: list[str], diff: bool) -> Exit:
    from engine.deliver.plan_store import find
    from orchestration.assets.deliver import plan_key
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import heading
    from orchestration.cli.run import tell_deliver

    ran = run_job("deliver", assets=[plan_key(name) for name in names])
    tell_deliver(ran)
    for name in names if diff else ():
        if f"plan/{name}" in ran.metadata:
            heading(name)
            _diff(find(project, name))
    return Exit.PARTS_MISSING if any(not passed for _, _, passed, _ in ran.checks) else ran.exit


def _list_plans(project: "Project", names: list[str]) -> Exit:
    from orchestration.cli.output import table

    plans = [plan for name in names for plan in project.ledger.plans.recent(name)]
    rows = [
        (
            plan.delivery,
            plan.digest[:12],
            f"{plan.created_at:%Y-%m-%d %H:%M}",
            plan.status,
            plan.changes,
            _plan_note(project, plan),
        )
        for plan in plans
    ]
    table(("delivery", "digest", "planned, UTC", "status", "records", ""), rows, right=("records",))
    return Exit.DONE


def _plan_note(project: "Project", plan: "PlanRow") -> str:
    undoes = f"takes run {plan.summary['undoes'][:8]} back" if plan.summary.get("undoes") else ""
    approvals = project.ledger.approvals.by_digest(plan.digest).get(plan.digest, ())
    return "; ".join(filter(None, [undoes, *map(str, approvals), *plan.summary.get("violations", ())]))


def _show_plan(project: "Project", digest: str) -> Exit:
    from engine.deliver.plan_store import find
    from orchestration.cli.output import say

    plan = find(project, digest)
    say(f"{plan.delivery}: {plan.summary()} ({plan.head.status})")
    for approval in project.ledger.approvals.by_digest(plan.digest).get(plan.digest, ()):
        say(f"  {approval}")
    _diff(plan)
    return Exit.DONE


def _diff(plan: "Plan") -> None:
    from orchestration.cli.output import table

    columns = ("record", "field", "held", "wanted", "action", "owner", "why")
    table(columns, [_change_line(row) for row in plan.rows()])


def _change_line(row: dict[str, str | None]) -> tuple[str | None, ...]:
    record = row["record_id"] or f"new: {row['key']}"
    return (
        *(record, row["field"], _shown(row["before"]), _shown(row["after"]), row["action"]),
        *(row["owner"] or "", row["reason"]),
    )


def _shown(value: str | None) -> str:
    from transforms.delivery.field_diff import from_json

    planned = from_json(value)
    return "(empty)" if planned in (None, "") else str(planned)


def apply_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "plan",
        help="digest of a plan (its first 12 characters do), or a delivery that needs no approval: its newest plan",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="GUARD",
        choices=["max_changes", "max_change_pct", "max_creates", "max_blanks", "max_deletes"],
        help="let the plan with this digest through one guard",
    )
    parser.add_argument("--by", default=getpass.getuser(), help="who approves it (default: %(default)s)")


def apply_command(args: argparse.Namespace) -> Exit:
    """Approve one plan and apply it; then run the deliveries that depend on the accounts it creates."""
    from engine.config.project import Project
    from engine.deliver.approve import approve, needs_approval
    from engine.deliver.plan_store import find
    from engine.extract.run import failed_required
    from orchestration.assets.deliver import after_creates, delivered_key, delivered_op
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import say
    from orchestration.cli.run import delivered_exit, tell_deliver

    project = Project.load()
    plan = find(project, args.plan)
    if args.plan in project.deliveries and (args.allow or needs_approval(project, plan)):
        raise SettingsError(_by_digest(plan))
    digest = plan.digest if args.plan in project.deliveries else args.plan
    approve(project, plan.delivery, digest, by=args.by, via=f"command line ({getpass.getuser()})", allow=args.allow)
    say(f"{plan.delivery}: {plan.summary()} ({plan.head.status})")
    config = {"ops": {delivered_op(plan.delivery): {"config": {"digest": plan.digest}}}}
    others = after_creates(project, plan.delivery) if plan.creates and not failed_required(project) else []
    ran = run_job("deliver", assets=[delivered_key(plan.delivery), *others], config=config)
    tell_deliver(ran)
    return delivered_exit(ran)


def _by_digest(plan: "Plan") -> str:
    digest = plan.digest[:12]
    return (
        f"a plan is approved, and a guard lifted, by the digest of what was looked at, not by the delivery's name. "
        f"The newest plan of {plan.delivery!r}: {plan.summary()}. "
        f"Look at it: belvedere plan --show {digest}; write it: belvedere apply {digest}"
    )


def undo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", nargs="?", help="the run to take back; without it, the runs that wrote something")
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="only what these wrote (default: all)")


def undo_command(args: argparse.Namespace) -> Exit:
    """Plan the inverse of a run, or list the runs."""
    from engine.config.project import Project
    from engine.deliver.undo import undo
    from orchestration.cli.output import say

    project = Project.load()
    if not args.run:
        return _list_runs(project)
    names = [project.delivery(name) and name for name in args.deliveries]
    for plan in undo(project, _whole_run_id(project, args.run), f"undo-{uuid4().hex[:12]}", names):
        say(f"{plan.delivery}: {plan.summary()}")
        for line in plan.violations:
            say(f"  {line}")
        if plan.fields:
            say(f"  look: belvedere plan --show {plan.digest[:12]}; write: belvedere apply {plan.digest[:12]}")
    return Exit.DONE


def _whole_run_id(project: object, begun: str) -> str:
    """Take the beginning of a run's id for the run, if there is one such."""
    known = {row["run_id"] for row in project.ledger.operations.writing_runs(most=1000)}  # type: ignore[attr-defined]
    found = [name for name in known if name.startswith(begun)]
    return str(found[0]) if len(found) == 1 else begun


def _list_runs(project: object) -> Exit:
    from orchestration.cli.output import table

    rows = project.ledger.operations.writing_runs()  # type: ignore[attr-defined]
    shown = [(row["run_id"], f"{row['at']:%Y-%m-%d %H:%M}", row["delivery"], row["records"]) for row in rows]
    table(("run", "at, UTC", "delivery", "records"), shown, right=("records",))
    return Exit.DONE


SIDES = {"theirs": "keep_target", "ours": "keep_ours"}


def conflicts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", help="list what waits for a decision (default)")
    listed.add_argument("--all", action="store_true", help="also what stays as it is by the settings")
    decide = actions.add_parser("decide", help="decide one; it holds until one of the two values changes")
    decide.add_argument("conflict", help="its number, as the list has it")
    decide.add_argument("side", choices=[*SIDES], help="whose value counts: the target's (theirs), or ours")
    decide.add_argument("--by", default=getpass.getuser(), help="who decides (default: %(default)s)")
    decide.add_argument("--why", default="", help="why")


def conflicts_command(args: argparse.Namespace) -> Exit:
    """List or decide."""
    from engine.config.project import Project
    from engine.deliver.conflicts import decide
    from orchestration.cli.output import say

    project = Project.load()
    if args.action != "decide":
        return _list_conflicts(project, everything=getattr(args, "all", False))
    row = decide(project, args.conflict, SIDES[args.side], args.by, args.why)  # type: ignore[arg-type]
    say(f"{row['delivery']} {row['record_id']} {row['field']}: {args.side} counts; the next plan follows")
    return Exit.DONE


def _list_conflicts(project: object, *, everything: bool) -> Exit:
    from engine.deliver.conflicts import conflicts
    from orchestration.cli.output import say, table

    rows = conflicts(project, open_only=not everything)  # type: ignore[arg-type]
    if not rows:
        say("nothing waits for a decision")
        return Exit.DONE
    shown = ("conflict_id", "delivery", "record_id", "field", "held", "wanted", "reason")
    heads = ("conflict", "delivery", "record", "field", "theirs", "ours", "why")
    table(heads, [tuple(row[name] for name in shown) for row in rows])
    return Exit.DONE
