"""`belvedere apply`: write what was planned."""

import argparse
import getpass
from typing import TYPE_CHECKING

from connectors.kit.errors import SettingsError
from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from orchestration.deliver.saved import Plan


def arguments(parser: argparse.ArgumentParser) -> None:
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


def run(args: argparse.Namespace) -> Exit:
    """Approve one plan and apply it; then run the deliveries that depend on the accounts it creates."""
    from orchestration.assets.deliver import after_creates, delivered_key, delivered_op
    from orchestration.cli.beats import delivered_exit, tell_deliver
    from orchestration.cli.console import say
    from orchestration.cli.runs import run as run_job
    from orchestration.deliver.approve import approve, needs_approval
    from orchestration.deliver.saved import find
    from orchestration.extract import failed_required
    from orchestration.project import Project

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
