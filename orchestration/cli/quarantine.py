"""`belvedere quarantine`: the rows that broke their table's rules."""

import argparse
import json

from orchestration.cli.exits import Exit


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="count rows by connection, stream and reason (default)")
    show = actions.add_parser("show", help="show rows with all their reasons")
    show.add_argument("connection", nargs="?", help="only of this connection")
    show.add_argument("stream", nargs="?", help="only of this stream")
    show.add_argument("--id", help="only this record, with its payload as the source sent it")
    show.add_argument("--limit", type=int, default=50, help="rows at most (default: %(default)s)")
    actions.add_parser("replay", help="check all rows again by today's rules: runs a build")


def run(args: argparse.Namespace) -> Exit:
    """List, show or replay."""
    if args.action == "replay":
        from orchestration.cli import beats

        return beats.build()
    return _show(args) if args.action == "show" else _list()


def _list() -> Exit:
    from orchestration.cli.console import say, table
    from orchestration.project import Project
    from orchestration.tables import Tables

    counts = Tables(Project.load()).query(
        "SELECT connection, stream, reason, count(*) AS n FROM (SELECT connection, stream, "
        "unnest(string_split(reasons, '; ')) AS reason FROM quarantine) GROUP BY ALL ORDER BY 1, 2, n DESC, 3"
    )
    if not counts:
        say("nothing is in quarantine")
        return Exit.DONE
    table(("connection", "stream", "reason", "rows"), [tuple(row.values()) for row in counts], right=("rows",))
    return Exit.DONE


def _show(args: argparse.Namespace) -> Exit:
    from orchestration.cli.console import say_lines, table
    from orchestration.project import Project
    from orchestration.tables import Tables

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
