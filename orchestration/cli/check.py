"""`belvedere check` and `reconcile`: prove that connections work, and that what is stored is what they hold."""

import argparse
from uuid import uuid4

from orchestration.cli.exits import Exit


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--fields", action="store_true", help="also list fields that are neither mapped nor ignored")


def check_command(args: argparse.Namespace) -> Exit:
    """Check each connection: one line each, then what to know of its fields."""
    from connectors.kit.errors import ConnectorError
    from engine.config.project import Project
    from engine.extract.schema_drift.drift import glance
    from orchestration.cli.output import fail, say

    project = Project.load()
    failed = 0
    for name in args.connections or project.connections:
        try:
            connector = project.open(name)
            found = connector.check()
            shapes = glance(project, connector, found.now)
            say(f"{name}: works; account {found.account}, its clock says {found.now:%Y-%m-%d %H:%M:%S} UTC")
            for note in (*found.notes, *(note for shape in shapes for note in shape.notes)):
                say(f"  {note}")
            for shape in shapes:
                if shape.drift:
                    say(f"  {shape.stream.name}: {shape.drift} (belvedere fields accept {name} {shape.stream.name})")
                if args.fields and (unused := shape.unused):
                    say(f"  {shape.stream.name}: {len(unused)} fields are not mapped: {', '.join(unused)}")
        except ConnectorError as error:
            failed += 1
            fail(error)
    return Exit.FAILED if failed else Exit.DONE


def reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; may be given more than once")


def reconcile_command(args: argparse.Namespace) -> Exit:
    """Read what changed, read all of it apart, and tell the differences."""
    from engine.build.compare_full_read import Compared, reconcile
    from engine.config.project import Project
    from orchestration.cli import run
    from orchestration.cli.output import say, table

    project = Project.load()
    names = args.connections or list(project.connections)
    extracted = run.extract(names, args.stream)
    if extracted in (Exit.FAILED, Exit.LOCKED):
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
