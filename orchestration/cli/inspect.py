"""`belvedere state`, `customer`, `quarantine` and `fields`: show what is stored."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit
from orchestration.cli.subcommands import add_command

if TYPE_CHECKING:
    from datetime import datetime

    from connectors.kit.stream import Stream
    from engine.config.project import Project
    from engine.extract.schema_drift.field_usage import FieldUsage
    from engine.storage.stores.source_fields import FieldRecord


def state_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    add_command(actions, "show", "show what has been read, built and delivered (default)")
    reset = add_command(
        actions, "reset", "read a connection again from the beginning with the next extract; rows stored stay"
    )
    reset.add_argument("connection", metavar="CONNECTION", help="connection to read again")
    reset.add_argument("stream", nargs="?", metavar="STREAM", help="only this stream (default: all)")
    unpin = add_command(actions, "unpin", "let a connection use another account: the next one it opens is pinned")
    unpin.add_argument("connection", metavar="CONNECTION", help="connection whose account changes")


def state_command(args: argparse.Namespace) -> Exit:
    """Show the state, reset a connection's, or unpin its account."""
    from engine.config.pins import pin_of
    from engine.config.project import Project
    from orchestration.cli.output import print_line

    project = Project.load()
    if args.action == "reset":
        project.chosen([args.connection], [args.stream] if args.stream else ())
        count = len(project.ledger.sync.begin_full_refresh(args.connection, args.stream, "state reset"))
        print_line(f"{count} streams of {args.connection} will be read again from the beginning; rows stored stay")
        return Exit.DONE
    if args.action == "unpin":
        project.connection(args.connection)
        project.ledger.pins.unpin(pin_of(args.connection))
        print_line(
            f"{args.connection}: unpinned; the account that it opens next is the one that is read and written from then on"
        )
        return Exit.DONE
    return _show_state(project)


def _show_state(project: "Project") -> Exit:
    from orchestration.cli.output import heading, print_line, table

    heading("read")
    rows = []
    for name in project.connections:
        for stream in (readable.name for readable in project.streams(name)):
            spans = project.ledger.sync.intervals(name, stream)
            open_slices = project.ledger.sync.open_slices(name, stream)
            read = ", ".join(f"{_day(span.start) or 'beginning'} to {_day(span.end) or 'end'}" for span in spans)
            files = project.ledger.files.for_asset(f"raw/{name}/{stream}")
            rows.append(
                (
                    name,
                    stream,
                    read or "nothing yet",
                    "stopped within a slice" if open_slices else "",
                    sum(f.rows for f in files),
                )
            )
    table(("connection", "stream", "read", "", "rows stored"), rows, right=("rows stored",))
    heading("built")
    current = project.ledger.snapshots.current()
    print_line(f"snapshot {current.id} as of {current.as_of}" if current else "nothing yet: run `belvedere build`")
    heading("delivered")
    for name in project.deliveries:
        plan = project.ledger.plans.newest(name)
        print_line(
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
        "show", metavar="NAME_OR_ID", help="customer id, account id, tax id, domain, or part of the name"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write the page to this file as HTML")


def customer_command(args: argparse.Namespace) -> Exit:
    """Show the customer, or list the matches when there are several."""
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import print_error, print_line, print_lines, table
    from pages.customer import customer_page, find_customers
    from pages.render import as_html, as_text

    tables = Tables(Project.load())
    matches = find_customers(tables, args.show)
    if not matches:
        print_error(f"no customer matches {args.show!r}; try part of the name, an account id or a domain")
        return Exit.FAILED
    if len(matches) > 1:
        print_line(f"{len(matches)} customers match {args.show!r}; repeat the command with the id of one:")
        table(
            ("customer", "name", "country"),
            [(row["customer_id"], row["name"], row["country"]) for row in matches[:20]],
        )
        return Exit.USAGE
    page = customer_page(tables, matches[0]["customer_id"])
    print_lines(as_text(page))
    if args.html:
        args.html.write_text(as_html(page), "utf-8")
        print_line(f"page written to {args.html}")
    return Exit.DONE


def quarantine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    add_command(actions, "list", "count rows by connection, stream and reason (default)")
    show = add_command(actions, "show", "show the rows with all their reasons")
    show.add_argument("connection", nargs="?", metavar="CONNECTION", help="only this connection")
    show.add_argument("stream", nargs="?", metavar="STREAM", help="only this stream")
    show.add_argument("--id", metavar="RECORD", help="only this record, with the payload that the source sent")
    show.add_argument("--limit", type=int, default=50, metavar="N", help="show at most N rows (default: %(default)s)")
    add_command(actions, "replay", "check all rows again by the current rules (runs a build)")


def quarantine_command(args: argparse.Namespace) -> Exit:
    """Count the quarantined rows, show them, or check them again."""
    if args.action == "replay":
        from orchestration.cli import run

        return run.build()
    return _show_quarantine(args) if args.action == "show" else _list_quarantine()


def _list_quarantine() -> Exit:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import print_line, table

    counts = Tables(Project.load()).query(
        "SELECT connection, stream, reason, count(*) AS n FROM (SELECT connection, stream, "
        "unnest(string_split(reasons, '; ')) AS reason FROM quarantine) GROUP BY ALL ORDER BY 1, 2, n DESC, 3"
    )
    if not counts:
        print_line("no row is in quarantine")
        return Exit.DONE
    table(("connection", "stream", "reason", "rows"), [tuple(row.values()) for row in counts], right=("rows",))
    return Exit.DONE


def _show_quarantine(args: argparse.Namespace) -> Exit:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import print_lines, table

    project = Project.load()
    if args.connection:
        project.chosen([args.connection], [args.stream] if args.stream else ())
    filters = {"connection": args.connection, "stream": args.stream, "record_id": args.id}
    where = {column: value for column, value in filters.items() if value}
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
            print_lines(_pretty_json(row["payload"]))
    return Exit.DONE if rows else Exit.FAILED


def _pretty_json(payload: str) -> str:
    """Return a payload as indented JSON; unchanged when it is not JSON or nested too deeply to parse."""
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except (RecursionError, ValueError):
        return payload


FIELD_COLUMNS = ("connection", "stream", "field", "type", "label", "status")


def fields_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(actions, "list", "list the fields that the last extracts saw (default)")
    listing.add_argument("connection", nargs="?", metavar="CONNECTION", help="only this connection")
    listing.add_argument("stream", nargs="?", metavar="STREAM", help="only this stream")
    listing.add_argument("--new", action="store_true", help="only fields that are new, gone, retyped or never seen")
    accept = add_command(
        actions, "accept", "accept the current fields of a source: a frozen stream is read again, warnings end"
    )
    accept.add_argument("connection", metavar="CONNECTION", help="connection whose fields to accept")
    accept.add_argument("stream", nargs="?", metavar="STREAM", help="only this stream")


def fields_command(args: argparse.Namespace) -> Exit:
    """List the fields of the sources, or accept their changes."""
    from engine.config.project import Project

    project = Project.load()
    chosen = _chosen_streams(project, getattr(args, "connection", None), getattr(args, "stream", None))
    if args.action == "accept":
        return _accept_fields(project, args.connection, args.stream)
    return _list_fields(project, chosen, only_new=getattr(args, "new", False))


def _accept_fields(project: "Project", connection: str, stream: str | None) -> Exit:
    from orchestration.cli.output import print_line

    accepted = project.ledger.source_fields.accept(connection, stream)
    for field in accepted:
        print_line(f"{field.connection} {field.stream}: {field.path} accepted as {field.change}")
    if not accepted:
        print_line(f"nothing to accept: the fields of {connection}{' ' + stream if stream else ''} have not changed")
    return Exit.DONE


def _list_fields(project: "Project", chosen: list[tuple[str, "Stream"]], *, only_new: bool) -> Exit:
    from orchestration.cli.output import print_line, table

    rows = [row for connection, stream in chosen for row in _field_rows(project, connection, stream, only_new)]
    if rows:
        table(FIELD_COLUMNS, rows)
    else:
        print_line(
            "no field is new, gone or retyped" if only_new else "no fields were seen yet: run `belvedere extract`"
        )
    return Exit.DONE


def _field_rows(project: "Project", connection: str, stream: "Stream", only_new: bool) -> Iterator[tuple[str, ...]]:
    from engine.extract.schema_drift.field_usage import FieldUsage, covering

    use, recorded = (
        FieldUsage(project, connection, stream),
        project.ledger.source_fields.records(connection, stream.name),
    )
    for field in use.tracked(recorded):
        if field.change or not only_new:
            yield connection, stream.name, field.path, field.type, field.label, _field_status(field, use)
    if not recorded:
        return
    for path in use.mapped:
        if not covering(path, {field.path for field in recorded}):
            yield connection, stream.name, path, "", "", f"never seen; {_feeds(path, use)}"
    for path in sorted(use.ignored - {*use.mapped}) if not only_new else ():
        yield connection, stream.name, path, "", "", "ignored"


def _field_status(field: "FieldRecord", use: "FieldUsage") -> str:
    changes = {
        "new": f"new since {field.first_seen_at:%Y-%m-%d %H:%M}",
        "gone": f"gone since {field.gone_at:%Y-%m-%d %H:%M}" if field.gone_at else "gone",
        "retyped": f"retyped, was {field.retyped_from}",
    }
    state = "gone, accepted" if field.is_gone and not field.change else changes.get(field.change or "", "")
    was = ""
    if field.gone_at and field.back_at and field.back_at > field.gone_at:
        was = f"was gone from {field.gone_at:%Y-%m-%d %H:%M} to {field.back_at:%Y-%m-%d %H:%M}"
    feeds = _feeds(field.path, use) or ("written" if use.is_written(field.path) else "")
    return "; ".join(part for part in (state, was, feeds) if part) or "not mapped"


def _feeds(path: str, use: "FieldUsage") -> str:
    fed = use.feeds(path)
    return f"mapped: {', '.join(fed)}" if fed else ""


def _chosen_streams(project: "Project", connection: str | None, stream: str | None) -> list[tuple[str, "Stream"]]:
    chosen = project.chosen([connection] if connection else list(project.connections), [stream] if stream else ())
    return [
        (name, readable)
        for name, names in chosen.items()
        for readable in project.streams(name)
        if readable.name in names
    ]
