"""`belvedere state`: what has been read, built and delivered."""

import argparse
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from datetime import datetime

    from orchestration.project import Project


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("show", help="show it (default)")
    reset = actions.add_parser("reset", help="forget what has been read, so that it is read again; rows held stay")
    reset.add_argument("connection", help="whose state")
    reset.add_argument("stream", nargs="?", help="only this stream")
    unpin = actions.add_parser("unpin", help="read and write the account that a connection opens from now on")
    unpin.add_argument("connection", help="whose account")


def run(args: argparse.Namespace) -> Exit:
    """Show, reset or unpin."""
    from orchestration.cli.console import say
    from orchestration.pin import pin_of
    from orchestration.project import Project

    project = Project.load()
    if args.action == "reset":
        project.chosen([args.connection], [args.stream] if args.stream else ())
        count = project.ledger.reset(args.connection, args.stream)
        say(f"{count} streams of {args.connection} will be read again from the beginning")
        return Exit.DONE
    if args.action == "unpin":
        project.connection(args.connection)
        project.ledger.unpin(pin_of(args.connection))
        say(f"{args.connection}: the account that is found next is the one that is read and written from then on")
        return Exit.DONE
    return _show(project)


def _show(project: "Project") -> Exit:
    from orchestration.cli.console import heading, say, table

    heading("read")
    rows = []
    for name in project.connections:
        for stream in (one.name for one in project.streams(name)):
            spans = project.ledger.intervals(name, stream)
            left = project.ledger.open_slices(name, stream)
            read = ", ".join(f"{_day(span.start) or 'beginning'} to {_day(span.end) or 'end'}" for span in spans)
            files = project.ledger.files(f"raw/{name}/{stream}")
            rows.append(
                (
                    name,
                    stream,
                    read or "nothing yet",
                    "stopped in a slice" if left else "",
                    sum(f.rows for f in files),
                )
            )
    table(("connection", "stream", "read", "", "rows held"), rows, right=("rows held",))
    heading("built")
    current = project.ledger.current()
    say(f"snapshot {current.id} as of {current.as_of}" if current else "nothing yet")
    heading("delivered")
    for name in project.deliveries:
        plan = project.ledger.newest_plan(name)
        say(
            f"{name}: plan {plan.digest[:12]} of {_day(plan.created_at)}: {plan.status}"
            if plan
            else f"{name}: nothing yet"
        )
    return Exit.DONE


def _day(moment: "datetime | None") -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""
