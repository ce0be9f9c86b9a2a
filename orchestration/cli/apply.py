"""`belvedere apply`: write what was planned."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "plan", help="digest of a plan (its first characters do), or the delivery whose newest plan it is"
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="GUARD",
        choices=["max_changes", "max_change_pct", "max_creates", "max_blanks", "max_deletes"],
        help="let this plan through one guard, once",
    )


def run(args: argparse.Namespace) -> Exit:
    """Apply one plan."""
    from orchestration.assets.deliver import delivered_key, delivered_op
    from orchestration.cli.beats import delivered_exit, tell_deliver
    from orchestration.cli.runs import run as run_job
    from orchestration.deliver.saved import find
    from orchestration.project import Project

    project = Project.load()
    planned = find(project, args.plan)
    config = {"ops": {delivered_op(planned.delivery): {"config": {"digest": planned.digest, "allow": args.allow}}}}
    ran = run_job("deliver", assets=[delivered_key(planned.delivery)], config=config)
    tell_deliver(ran)
    return delivered_exit(ran)
