"""`belvedere plan`, `apply`, `undo` and `conflicts`: plan, approve, write and reverse changes of the targets."""

import argparse
import getpass
from typing import TYPE_CHECKING
from uuid import uuid4

from connectors.kit.errors import SettingsError
from orchestration.cli.exits import Exit
from orchestration.cli.subcommands import add_command

if TYPE_CHECKING:
    from engine.config.project import Project
    from engine.deliver.plan_store import Plan
    from engine.storage.stores.plans import PlanRow


def plan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="deliveries to plan (default: all)")
    parser.add_argument("--diff", action="store_true", help="print every planned field, with the old and the new value")
    parser.add_argument("--list", action="store_true", help="list the saved plans, newest first, and make none")
    parser.add_argument("--show", metavar="DIGEST", help="print a saved plan, and make none")


def plan_command(args: argparse.Namespace) -> Exit:
    """Plan each delivery and print its summary; or list or show saved plans."""
    from engine.config.project import Project

    project = Project.load()
    names = project.named_deliveries(args.deliveries) or list(project.deliveries)
    if args.list:
        return _list_plans(project, names)
    if args.show:
        return _show_plan(project, args.show)
    return _plan(project, names, args.diff)


def _plan(project: "Project", names: list[str], diff: bool) -> Exit:
    from engine.deliver.plan_store import find
    from orchestration.assets.keys import plan_key
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import heading
    from orchestration.cli.run import print_delivery

    ran = run_job("deliver", assets=[plan_key(name) for name in names])
    print_delivery(ran)
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
    table(("delivery", "digest", "planned, UTC", "status", "records", "notes"), rows, right=("records",))
    return Exit.DONE


def _plan_note(project: "Project", plan: "PlanRow") -> str:
    undoes = f"reverses run {plan.summary['undoes'][:8]}" if plan.summary.get("undoes") else ""
    approvals = project.ledger.approvals.by_digest(plan.digest).get(plan.digest, ())
    return "; ".join(filter(None, [undoes, *map(str, approvals), *plan.summary.get("violations", ())]))


def _show_plan(project: "Project", digest: str) -> Exit:
    from engine.deliver.plan_store import find
    from orchestration.cli.output import print_line

    plan = find(project, digest)
    print_line(f"{plan.delivery}: {plan.summary()} ({plan.head.status})")
    for approval in project.ledger.approvals.by_digest(plan.digest).get(plan.digest, ()):
        print_line(f"  {approval}")
    _diff(plan)
    return Exit.DONE


def _diff(plan: "Plan") -> None:
    from orchestration.cli.output import table

    columns = ("record", "field", "target value", "wanted", "action", "owner", "reason")
    table(columns, [_change_line(row) for row in plan.rows()])


def _change_line(row: dict[str, str | None]) -> tuple[str | None, ...]:
    record = row["record_id"] or f"new: {row['key']}"
    return (
        *(record, row["field"], _value_text(row["before"]), _value_text(row["after"]), row["action"]),
        *(row["owner"] or "", row["reason"]),
    )


def _value_text(value: str | None) -> str:
    from transforms.delivery.field_diff import from_json

    planned = from_json(value)
    return "(empty)" if planned in (None, "") else str(planned)


def apply_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "plan",
        help="digest of a plan (its first 12 characters suffice), or the name of a delivery "
        "that needs no approval: then its newest plan",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="GUARD",
        choices=["max_changes", "max_change_pct", "max_creates", "max_blanks", "max_deletes"],
        help="let this plan pass a guard that stops it; repeat for several (choices: %(choices)s)",
    )
    parser.add_argument(
        "--by", default=getpass.getuser(), metavar="NAME", help="who approves the plan (default: %(default)s)"
    )


def apply_command(args: argparse.Namespace) -> Exit:
    """Approve a plan and apply it, then run the deliveries that need the accounts it creates."""
    from engine.config.project import Project
    from engine.deliver.approve import approve, needs_approval
    from engine.deliver.plan_store import find
    from engine.extract.run import failed_required
    from orchestration.assets.deliver import after_creates, delivered_op
    from orchestration.assets.keys import delivered_key
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import print_line
    from orchestration.cli.run import delivered_exit, print_delivery

    project = Project.load()
    plan = find(project, args.plan)
    if args.plan in project.deliveries and (args.allow or needs_approval(project, plan)):
        raise SettingsError(_use_the_digest(plan))
    digest = plan.digest if args.plan in project.deliveries else args.plan
    approve(project, plan.delivery, digest, by=args.by, via=f"command line ({getpass.getuser()})", allow=args.allow)
    print_line(f"{plan.delivery}: {plan.summary()} ({plan.head.status})")
    config = {"ops": {delivered_op(plan.delivery): {"config": {"digest": plan.digest}}}}
    others = after_creates(project, plan.delivery) if plan.creates and not failed_required(project) else []
    ran = run_job("deliver", assets=[delivered_key(plan.delivery), *others], config=config)
    print_delivery(ran)
    return delivered_exit(ran)


def _use_the_digest(plan: "Plan") -> str:
    digest = plan.digest[:12]
    return (
        f"nothing was written: a plan is approved, and a guard lifted, by the plan's digest, not by the delivery's "
        f"name. The newest plan of {plan.delivery!r}: {plan.summary()}. "
        f"Look at it: belvedere plan --show {digest}; approve and write it: belvedere apply {digest}"
    )


def undo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="id of the run to reverse (default: list the runs that wrote something)"
    )
    parser.add_argument(
        "deliveries", nargs="*", metavar="DELIVERY", help="only what these deliveries wrote (default: all)"
    )


def undo_command(args: argparse.Namespace) -> Exit:
    """Plan the reverse of a run, or list the runs that wrote something."""
    from engine.config.project import Project
    from engine.deliver.undo import undo
    from orchestration.cli.output import print_line

    project = Project.load()
    if not args.run:
        return _list_runs(project)
    names = project.named_deliveries(args.deliveries)
    for plan in undo(project, _whole_run_id(project, args.run), f"undo-{uuid4().hex[:12]}", names):
        print_line(f"{plan.delivery}: {plan.summary()}")
        for line in plan.violations:
            print_line(f"  {line}")
        if plan.fields:
            print_line(
                f"  look at it: belvedere plan --show {plan.digest[:12]}; write it: belvedere apply {plan.digest[:12]}"
            )
    return Exit.DONE


def _whole_run_id(project: "Project", begun: str) -> str:
    """Return the id of the only run that begins so, else the text itself."""
    run_ids = {row["run_id"] for row in project.ledger.operations.writing_runs(most=1000)}
    matches = [name for name in run_ids if name.startswith(begun)]
    return str(matches[0]) if len(matches) == 1 else begun


def _list_runs(project: "Project") -> Exit:
    from orchestration.cli.output import table

    rows = project.ledger.operations.writing_runs()
    lines = [(row["run_id"], f"{row['at']:%Y-%m-%d %H:%M}", row["delivery"], row["records"]) for row in rows]
    table(("run", "at, UTC", "delivery", "records"), lines, right=("records",))
    return Exit.DONE


SIDES = {"theirs": "keep_target", "ours": "keep_ours"}


def conflicts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = add_command(actions, "list", "list the values that wait for a decision (default)")
    listed.add_argument("--all", action="store_true", help="also those that the settings decide for the target")
    decide = add_command(actions, "decide", "decide one; the decision holds until either value changes")
    decide.add_argument(
        "conflict", metavar="CONFLICT", help="id of the conflict as listed (its first characters suffice)"
    )
    decide.add_argument(
        "side", choices=[*SIDES], help="whose value counts: theirs (the target's) or ours (the delivery's)"
    )
    decide.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who decides (default: %(default)s)")
    decide.add_argument("--why", default="", metavar="REASON", help="reason, kept with the decision")


def conflicts_command(args: argparse.Namespace) -> Exit:
    """List the conflicts, or decide one."""
    from engine.config.project import Project
    from engine.deliver.conflicts import decide
    from orchestration.cli.output import print_line

    project = Project.load()
    if args.action != "decide":
        return _list_conflicts(project, everything=getattr(args, "all", False))
    row = decide(project, args.conflict, SIDES[args.side], args.by, args.why)  # type: ignore[arg-type]
    print_line(
        f"{row['delivery']} {row['record_id']} {row['field']}: decided: {args.side}; it takes effect with the next plan"
    )
    return Exit.DONE


def _list_conflicts(project: "Project", *, everything: bool) -> Exit:
    from engine.deliver.conflicts import conflicts
    from orchestration.cli.output import print_line, table

    rows = conflicts(project, open_only=not everything)
    if not rows:
        print_line("no conflict waits for a decision")
        return Exit.DONE
    columns = ("conflict_id", "delivery", "record_id", "field", "held", "wanted", "reason")
    heads = ("conflict", "delivery", "record", "field", "theirs", "ours", "reason")
    table(heads, [tuple(row[name] for name in columns) for row in rows])
    return Exit.DONE
