"""`belvedere check`: prove that connections work."""

import argparse

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--fields", action="store_true", help="also list fields that are neither mapped nor ignored")


def run(args: argparse.Namespace) -> Exit:
    """Check each connection: one line each, then what to know of its fields."""
    from connectors.kit.errors import ConnectorError
    from orchestration.cli.console import fail, say
    from orchestration.drift import glance
    from orchestration.project import Project

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
