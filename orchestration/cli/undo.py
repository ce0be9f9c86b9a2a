"""`belvedere undo`: plan to take back what a run wrote."""

import argparse
from uuid import uuid4

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run", nargs="?", help="the run to take back; without it, the runs that wrote something")
    parser.add_argument("deliveries", nargs="*", metavar="DELIVERY", help="only what these wrote (default: all)")


def run(args: argparse.Namespace) -> Exit:
    """Plan the inverse of a run, or list the runs."""
    from orchestration.cli.console import say
    from orchestration.deliver.undo import undo
    from orchestration.project import Project

    project = Project.load()
    if not args.run:
        return _list(project)
    names = [project.delivery(name) and name for name in args.deliveries]
    for plan in undo(project, _whole(project, args.run), f"undo-{uuid4().hex[:12]}", names):
        say(f"{plan.delivery}: {plan.summary()}")
        for line in plan.violations:
            say(f"  {line}")
        if plan.fields:
            say(f"  look: belvedere plan --show {plan.digest[:12]}; write: belvedere apply {plan.digest[:12]}")
    return Exit.DONE


def _whole(project: object, begun: str) -> str:
    """Take the beginning of a run's id for the run, if there is one such."""
    known = {row["run_id"] for row in project.ledger.writing_runs(most=1000)}  # type: ignore[attr-defined]
    found = [name for name in known if name.startswith(begun)]
    return str(found[0]) if len(found) == 1 else begun


def _list(project: object) -> Exit:
    from orchestration.cli.console import table

    rows = project.ledger.writing_runs()  # type: ignore[attr-defined]
    shown = [(row["run_id"], f"{row['at']:%Y-%m-%d %H:%M}", row["delivery"], row["records"]) for row in rows]
    table(("run", "at, UTC", "delivery", "records"), shown, right=("records",))
    return Exit.DONE
