"""`belvedere check` and `reconcile`: whether connections work, and whether the lake agrees with the sources."""

import argparse
from typing import TYPE_CHECKING
from uuid import uuid4

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from engine.config.project import Project


def check_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="connections to check (default: all)")
    parser.add_argument(
        "--fields", action="store_true", help="also list the fields that are neither mapped nor ignored"
    )


def check_command(args: argparse.Namespace) -> Exit:
    """Check each connection: print one line each, then notes on its fields."""
    from connectors.kit.errors import ConnectorError
    from engine.config.project import Project
    from orchestration.cli.output import print_error

    project = Project.load()
    failed = 0
    for name in args.connections or project.connections:
        try:
            _check_connection(project, name, with_unused=args.fields)
        except ConnectorError as error:
            failed += 1
            print_error(error)
    return Exit.FAILED if failed else Exit.DONE


def _check_connection(project: "Project", name: str, *, with_unused: bool) -> None:
    from engine.extract.schema_drift.drift import compare_fields
    from orchestration.cli.output import print_line

    connector = project.open(name)
    result = connector.check()
    trackers = compare_fields(project, connector, result.now)
    print_line(f"{name}: works; account {result.account}, source clock {result.now:%Y-%m-%d %H:%M:%S} UTC")
    for note in (*result.notes, *(note for tracker in trackers for note in tracker.notes)):
        print_line(f"  {note}")
    for tracker in trackers:
        stream = tracker.stream.name
        if tracker.drift:
            print_line(f"  {stream}: {tracker.drift}; to accept: belvedere fields accept {name} {stream}")
        if with_unused and (unused := tracker.unused):
            print_line(f"  {stream}: {len(unused)} fields neither mapped nor ignored: {', '.join(unused)}")


def reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="connections to compare (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; repeat for several")


def reconcile_command(args: argparse.Namespace) -> Exit:
    """Extract, then read everything once more, store nothing of it, and print the differences."""
    from engine.build.compare_full_read import Compared, reconcile
    from engine.config.project import Project
    from orchestration.cli import run
    from orchestration.cli.output import print_line, table

    project = Project.load()
    names = args.connections or list(project.connections)
    extracted = run.extract(names, args.stream)
    if extracted in (Exit.FAILED, Exit.LOCKED):
        return extracted
    comparisons: list[Compared] = []
    for name, wanted in project.chosen(names, args.stream).items():
        comparisons += reconcile(project, name, f"reconcile-{uuid4().hex[:12]}", streams=wanted)
    counts = ("stored_rows", "source", "missing", "surplus", "differing", "newer")
    rows = [
        (comparison.connection, comparison.stream, *(getattr(comparison, count) for count in counts))
        for comparison in comparisons
    ]
    heads = ("records stored", "at the source", "missing", "surplus", "differing", "changed since")
    table(("connection", "stream", *heads), rows, right=heads)
    for comparison in comparisons:
        for record, what in comparison.examples:
            print_line(f"  {comparison.connection} {comparison.stream} {record}: {what}")
    for comparison in comparisons:
        if not comparison.is_equal:
            stream = f"{comparison.connection} --stream {comparison.stream}"
            print_line(f"to repair {comparison.connection} {comparison.stream}: belvedere extract {stream} --full")
    return Exit.DONE if all(comparison.is_equal for comparison in comparisons) else Exit.PARTS_MISSING
