"""`belvedere check`: prove that connections work."""

import argparse
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from connectors.kit.base import Connector


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--fields", action="store_true", help="also list fields that are neither mapped nor ignored")


def run(args: argparse.Namespace) -> Exit:
    """Check each connection; one line each."""
    from connectors.kit.errors import ConnectorError
    from orchestration.cli.console import fail, say
    from orchestration.project import Project

    project = Project.load()
    failed = 0
    for name in args.connections or project.connections:
        try:
            connector = project.open(name)
            found = connector.check()
            say(f"{name}: works; account {found.account}, its clock says {found.now:%Y-%m-%d %H:%M:%S} UTC")
            for note in found.notes:
                say(f"  {note}")
            if args.fields:
                for stream, new in new_fields(connector).items():
                    say(f"  {stream}: {len(new)} new fields: {', '.join(new)}")
        except ConnectorError as error:
            failed += 1
            fail(error)
    return Exit.FAILED if failed else Exit.DONE


def new_fields(connector: "Connector") -> dict[str, list[str]]:
    """List by stream what a source offers that is neither mapped nor ignored on purpose."""
    from schemas.mapping import paths

    offered = connector.discover()
    found = {}
    for stream in connector.streams:
        known = {*paths(stream.fields), *stream.ignores, stream.primary_key, stream.cursor}
        new = sorted(field.path for field in offered.get(stream.name, ()) if field.path not in known)
        if new:
            found[stream.name] = new
    return found
