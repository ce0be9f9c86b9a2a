"""`belvedere reconcile`: compare what is held with a fresh reading of everything."""

import argparse
from uuid import uuid4

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; may be given more than once")


def run(args: argparse.Namespace) -> Exit:
    """Read what changed, read all of it apart, and tell the differences."""
    from orchestration.cli import beats
    from orchestration.cli.console import say, table
    from orchestration.project import Project
    from orchestration.reconcile import Compared, reconcile

    project = Project.load()
    names = args.connections or list(project.connections)
    extracted = beats.extract(names, args.stream)
    if extracted in (Exit.FAILED, Exit.HELD):
        return extracted
    found: list[Compared] = []
    for name, wanted in project.chosen(names, args.stream).items():
        found += reconcile(project, name, f"reconcile-{uuid4().hex[:12]}", streams=wanted)
    counts = ("here", "source", "missing", "surplus", "differing", "newer")
    rows = [(one.connection, one.stream, *(getattr(one, count) for count in counts)) for one in found]
    table(("connection", "stream", *counts), rows, right=counts)
    for one in found:
        for record, what in one.examples:
            say(f"  {one.connection} {one.stream} {record}: {what}")
    for one in found:
        if not one.is_equal:
            say(f"to mend {one.stream}: belvedere extract {one.connection} --stream {one.stream} --full")
    return Exit.DONE if all(one.is_equal for one in found) else Exit.PARTS_MISSING
