"""`belvedere fields`: what sources show of their fields."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from connectors.kit.stream import Stream
    from orchestration.field_use import Use
    from orchestration.project import Project
    from orchestration.storage.fields import Sighting

COLUMNS = ("connection", "stream", "field", "type", "label", "status")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list the fields as the last runs saw them (default)")
    listing.add_argument("connection", nargs="?", help="only of this connection")
    listing.add_argument("stream", nargs="?", help="only of this stream")
    listing.add_argument("--new", action="store_true", help="only what is new, gone or retyped, or never was there")
    accept = actions.add_parser("accept", help="take what a source shows now as right: freeze goes on, warnings end")
    accept.add_argument("connection", help="whose fields")
    accept.add_argument("stream", nargs="?", help="only of this stream")


def run(args: argparse.Namespace) -> Exit:
    """List, or accept."""
    from orchestration.project import Project

    project = Project.load()
    chosen = _chosen(project, getattr(args, "connection", None), getattr(args, "stream", None))
    if args.action == "accept":
        return _accept(project, args.connection, args.stream)
    return _list(project, chosen, only_new=getattr(args, "new", False))


def _accept(project: "Project", connection: str, stream: str | None) -> Exit:
    from orchestration.cli.console import say

    accepted = project.ledger.accept_sightings(connection, stream)
    for one in accepted:
        say(f"{one.connection} {one.stream}: {one.path} is accepted as {one.change}")
    if not accepted:
        say(f"there is nothing to accept: the fields of {stream or connection} are as they were")
    return Exit.DONE


def _list(project: "Project", chosen: list[tuple[str, "Stream"]], *, only_new: bool) -> Exit:
    from orchestration.cli.console import say, table

    rows = [row for connection, stream in chosen for row in _rows(project, connection, stream, only_new)]
    if rows:
        table(COLUMNS, rows)
    else:
        say("nothing is new, gone or retyped" if only_new else "nothing was looked at yet: run `belvedere extract`")
    return Exit.DONE


def _rows(project: "Project", connection: str, stream: "Stream", only_new: bool) -> Iterator[tuple[str, ...]]:
    from orchestration.field_use import Use, covering

    use, seen = Use(project, connection, stream), project.ledger.sightings(connection, stream.name)
    for one in use.tracked(seen):
        if one.change or not only_new:
            yield connection, stream.name, one.path, one.type, one.label, _status(one, use)
    if not seen:
        return
    for path in use.mapped:
        if not covering(path, {one.path for one in seen}):
            yield connection, stream.name, path, "", "", f"never seen; {_feeds(path, use)}"
    for path in sorted(use.ignored - {*use.mapped}) if not only_new else ():
        yield connection, stream.name, path, "", "", "ignored"


def _status(one: "Sighting", use: "Use") -> str:
    told = {
        "new": f"new since {one.first_seen_at:%Y-%m-%d %H:%M}",
        "gone": f"gone since {one.gone_at:%Y-%m-%d %H:%M}" if one.gone_at else "gone",
        "retyped": f"retyped, was {one.retyped_from}",
    }
    known = "gone, accepted" if one.is_gone and not one.change else told.get(one.change or "", "")
    was = ""
    if one.gone_at and one.back_at and one.back_at > one.gone_at:
        was = f"was gone from {one.gone_at:%Y-%m-%d %H:%M} to {one.back_at:%Y-%m-%d %H:%M}"
    feeds = _feeds(one.path, use) or ("written" if use.is_written(one.path) else "")
    return "; ".join(part for part in (known, was, feeds) if part) or "not mapped"


def _feeds(path: str, use: "Use") -> str:
    fed = use.feeds(path)
    return f"mapped: {', '.join(fed)}" if fed else ""


def _chosen(project: "Project", connection: str | None, stream: str | None) -> list[tuple[str, "Stream"]]:
    chosen = project.chosen([connection] if connection else list(project.connections), [stream] if stream else ())
    return [(name, one) for name, some in chosen.items() for one in project.streams(name) if one.name in some]
