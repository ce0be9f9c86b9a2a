"""`belvedere state`, `customer`, `quarantine` and `fields`: look at what is stored."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from datetime import datetime

    from connectors.kit.stream import Stream
    from engine.config.project import Project
    from engine.extract.schema_drift.field_usage import FieldUsage
    from engine.storage.source_fields import FieldRecord


def state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("show", help="show it (default)")
    reset = actions.add_parser("reset", help="forget what has been read, so that it is read again; rows held stay")
    reset.add_argument("connection", help="whose state")
    reset.add_argument("stream", nargs="?", help="only this stream")
    unpin = actions.add_parser("unpin", help="read and write the account that a connection opens from now on")
    unpin.add_argument("connection", help="whose account")


def state_command(args: argparse.Namespace) -> Exit:
    """Show, reset or unpin."""
    from engine.config.pins import pin_of
    from engine.config.project import Project
    from orchestration.cli.output import say

    project = Project.load()
    if args.action == "reset":
        project.chosen([args.connection], [args.stream] if args.stream else ())
        count = project.ledger.sync.reset(args.connection, args.stream)
        say(f"{count} streams of {args.connection} will be read again from the beginning")
        return Exit.DONE
    if args.action == "unpin":
        project.connection(args.connection)
        project.ledger.pins.unpin(pin_of(args.connection))
        say(f"{args.connection}: the account that is found next is the one that is read and written from then on")
        return Exit.DONE
    return _show_state(project)


def _show_state(project: "Project") -> Exit:
    from orchestration.cli.output import heading, say, table

    heading("read")
    rows = []
    for name in project.connections:
        for stream in (one.name for one in project.streams(name)):
            spans = project.ledger.sync.intervals(name, stream)
            left = project.ledger.sync.open_slices(name, stream)
            read = ", ".join(f"{_day(span.start) or 'beginning'} to {_day(span.end) or 'end'}" for span in spans)
            files = project.ledger.files.for_asset(f"raw/{name}/{stream}")
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
    current = project.ledger.snapshots.current()
    say(f"snapshot {current.id} as of {current.as_of}" if current else "nothing yet")
    heading("delivered")
    for name in project.deliveries:
        plan = project.ledger.plans.newest(name)
        say(
            f"{name}: plan {plan.digest[:12]} of {_day(plan.created_at)}: {plan.status}"
            if plan
            else f"{name}: nothing yet"
        )
    return Exit.DONE


def _day(moment: "datetime | None") -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def customer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "show", metavar="NAME_OR_ID", help="customer id, account id, tax id, domain or part of the name"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write the page to a file")


def customer_command(args: argparse.Namespace) -> Exit:
    """Show the customer, or the choices when several fit."""
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import fail, say, say_lines, table
    from pages.customer import customer_page, find_customers
    from pages.render import as_html, as_text

    tables = Tables(Project.load())
    found = find_customers(tables, args.show)
    if not found:
        fail(f"no customer fits {args.show!r}; try a part of the name, an account's id or a domain")
        return Exit.FAILED
    if len(found) > 1:
        say(f"{len(found)} customers fit {args.show!r}; name one by its id:")
        table(
            ("customer", "name", "country"),
            [(row["customer_id"], row["name"], row["country"]) for row in found[:20]],
        )
        return Exit.USAGE
    page = customer_page(tables, found[0]["customer_id"])
    say_lines(as_text(page))
    if args.html:
        args.html.write_text(as_html(page), "utf-8")
        say(f"page written to {args.html}")
    return Exit.DONE


def quarantine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="count rows by connection, stream and reason (default)")
    show = actions.add_parser("show", help="show rows with all their reasons")
    show.add_argument("connection", nargs="?", help="only of this connection")
    show.add_argument("stream", nargs="?", help="only of this stream")
    show.add_argument("--id", help="only this record, with its payload as the source sent it")
    show.add_argument("--limit", type=int, default=50, help="rows at most (default: %(default)s)")
    actions.add_parser("replay", help="check all rows again by today's rules: runs a build")


def quarantine_command(args: argparse.Namespace) -> Exit:
    """List, show or replay."""
    if args.action == "replay":
        from orchestration.cli import run

        return run.build()
    return _show_quarantine(args) if args.action == "show" else _list_quarantine()


def _list_quarantine() -> Exit:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import say, table

    counts = Tables(Project.load()).query(
        "SELECT connection, stream, reason, count(*) AS n FROM (SELECT connection, stream, "
        "unnest(string_split(reasons, '; ')) AS reason FROM quarantine) GROUP BY ALL ORDER BY 1, 2, n DESC, 3"
    )
    if not counts:
        say("nothing is in quarantine")
        return Exit.DONE
    table(("connection", "stream", "reason", "rows"), [tuple(row.values()) for row in counts], right=("rows",))
    return Exit.DONE


def _show_quarantine(args: argparse.Namespace) -> Exit:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import say_lines, table

    project = Project.load()
    if args.connection:
        project.chosen([args.connection], [args.stream] if args.stream else ())
    asked = {"connection": args.connection, "stream": args.stream, "record_id": args.id}
    where = {column: value for column, value in asked.items() if value}
    clause = " AND ".join(f"{column} = ?" for column in where) or "true"
    rows = Tables(project).query(
        f"SELECT * FROM quarantine WHERE {clause} ORDER BY connection, stream, record_id LIMIT ?",  # noqa: S608 - column names are ours
        [*where.values(), args.limit],
    )
    table(
        ("connection", "stream", "record", "reasons"),
        [(row["connection"], row["stream"], row["record_id"], row["reasons"]) for row in rows],
    )
    if args.id:
        for row in rows:
            say_lines(_spelt(row["payload"]))
    return Exit.DONE if rows else Exit.FAILED


def _spelt(payload: str) -> str:
    """Spell a record line by line; one that is nested too deeply, or is no JSON, as it came."""
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except (RecursionError, ValueError):
        return payload


FIELD_COLUMNS = ("connection", "stream", "field", "type", "label", "status")


def fields_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="list the fields as the last runs saw them (default)")
    listing.add_argument("connection", nargs="?", help="only of this connection")
    listing.add_argument("stream", nargs="?", help="only of this stream")
    listing.add_argument("--new", action="store_true", help="only what is new, gone or retyped, or never was there")
    accept = actions.add_parser("accept", help="take what a source shows now as right: freeze goes on, warnings end")
    accept.add_argument("connection", help="whose fields")
    accept.add_argument("stream", nargs="?", help="only of this stream")


def fields_command(args: argparse.Namespace) -> Exit:
    """List, or accept."""
    from engine.config.project import Project

    project = Project.load()
    chosen = _chosen_streams(project, getattr(args, "connection", None), getattr(args, "stream", None))
    if args.action == "accept":
        return _accept_fields(project, args.connection, args.stream)
    return _list_fields(project, chosen, only_new=getattr(args, "new", False))


def _accept_fields(project: "Project", connection: str, stream: str | None) -> Exit:
    from orchestration.cli.output import say

    accepted = project.ledger.source_fields.accept(connection, stream)
    for one in accepted:
        say(f"{one.connection} {one.stream}: {one.path} is accepted as {one.change}")
    if not accepted:
        say(f"there is nothing to accept: the fields of {stream or connection} are as they were")
    return Exit.DONE


def _list_fields(project: "Project", chosen: list[tuple[str, "Stream"]], *, only_new: bool) -> Exit:
    from orchestration.cli.output import say, table

    rows = [row for connection, stream in chosen for row in _field_rows(project, connection, stream, only_new)]
    if rows:
        table(FIELD_COLUMNS, rows)
    else:
        say("nothing is new, gone or retyped" if only_new else "nothing was looked at yet: run `belvedere extract`")
    return Exit.DONE


def _field_rows(project: "Project", connection: str, stream: "Stream", only_new: bool) -> Iterator[tuple[str, ...]]:
    from engine.extract.schema_drift.field_usage import FieldUsage, covering

    use, seen = FieldUsage(project, connection, stream), project.ledger.source_fields.records(connection, stream.name)
    for one in use.tracked(seen):
        if one.change or not only_new:
            yield connection, stream.name, one.path, one.type, one.label, _field_status(one, use)
    if not seen:
        return
    for path in use.mapped:
        if not covering(path, {one.path for one in seen}):
            yield connection, stream.name, path, "", "", f"never seen; {_feeds(path, use)}"
    for path in sorted(use.ignored - {*use.mapped}) if not only_new else ():
        yield connection, stream.name, path, "", "", "ignored"


def _field_status(one: "FieldRecord", use: "FieldUsage") -> str:
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


def _feeds(path: str, use: "FieldUsage") -> str:
    fed = use.feeds(path)
    return f"mapped: {', '.join(fed)}" if fed else ""


def _chosen_streams(project: "Project", connection: str | None, stream: str | None) -> list[tuple[str, "Stream"]]:
    chosen = project.chosen([connection] if connection else list(project.connections), [stream] if stream else ())
    return [(name, one) for name, some in chosen.items() for one in project.streams(name) if one.name in some]
