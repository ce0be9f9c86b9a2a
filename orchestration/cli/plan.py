"""`belvedere plan`: what would be written, field by field."""

import argparse
import json
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from orchestration.project import Project


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="which ones (default: all)")
    parser.add_argument("--diff", action="store_true", help="print every change, old -> new")


def run(args: argparse.Namespace) -> Exit:
    """Plan each delivery and print the difference."""
    from orchestration.assets.deliver import plan_key
    from orchestration.cli.beats import tell_deliver
    from orchestration.cli.runs import run as run_job
    from orchestration.project import Project

    project = Project.load()
    names = [project.delivery(name) and name for name in args.deliveries] or list(project.deliveries)
    ran = run_job("deliver", assets=[plan_key(name) for name in names])
    tell_deliver(ran)
    if args.diff:
        for name in names:
            _diff(project, name)
    return Exit.PARTS_MISSING if any(not passed for _, _, passed, _ in ran.checks) else ran.exit


def _diff(project: "Project", name: str) -> None:
    from orchestration.cli.console import heading, table
    from orchestration.plan import saved

    heading(name)
    rows = saved(project, name).rows()
    table(
        ("record", "field", "held", "wanted", "action", "why"),
        [
            (
                row["record_id"],
                row["field"],
                _shown(row["before"]),
                _shown(row["after"]),
                row["action"],
                row["reason"],
            )
            for row in rows
        ],
    )


def _shown(value: str | None) -> str:
    held = json.loads(value) if value is not None else None
    return "(empty)" if held in (None, "") else str(held)
