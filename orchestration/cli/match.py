"""`belvedere match`: accounts that may belong to one customer, and people's judgements about them."""

import argparse
import getpass
from typing import TYPE_CHECKING, Any

from orchestration.cli.exits import Exit
from orchestration.cli.subcommands import add_command

if TYPE_CHECKING:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from engine.storage.stores.judgements import Account

SUGGESTIONS_SQL = """
SELECT s.left_connection || '/' || s.left_account_id AS "left", l.name AS left_name, l.city AS left_city,
    s.right_connection || '/' || s.right_account_id AS "right", r.name AS right_name, r.city AS right_city,
    s.rule, s.score
FROM match_suggestions s
JOIN accounts l ON l.connection = s.left_connection AND l.account_id = s.left_account_id
JOIN accounts r ON r.connection = s.right_connection AND r.account_id = s.right_account_id
ORDER BY s.score DESC, 1, 4 LIMIT ?
"""


def match_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = add_command(
        actions, "list", "list the pairs of accounts that may be one customer, best match first (default)"
    )
    listing.add_argument(
        "--limit", type=int, default=50, metavar="N", help="show at most N pairs (default: %(default)s)"
    )
    listing.add_argument(
        "--judged", action="store_true", help="list the judgements in force instead, with author and reason"
    )
    for action, summary in (
        ("same", "record that two accounts are the same customer; it overrides the match rules"),
        ("different", "record that two accounts are different customers; it overrides the match rules"),
        ("forget", "withdraw the judgement about two accounts; the match rules decide again"),
    ):
        judging = add_command(actions, action, summary)
        judging.add_argument("left", metavar="ACCOUNT", help="one account: CONNECTION/ACCOUNT_ID")
        judging.add_argument("right", metavar="OTHER", help="the other account, written likewise")
        judging.add_argument(
            "--by", default=getpass.getuser(), metavar="NAME", help="who judges (default: %(default)s)"
        )
        judging.add_argument("--why", required=True, metavar="REASON", help="reason, kept with the judgement")


def match_command(args: argparse.Namespace) -> Exit:
    """List suggestions or judgements, record a judgement, or withdraw it."""
    from engine.config.project import Project

    project = Project.load()
    if args.action in (None, "list"):
        return (
            _list_judgements(project)
            if getattr(args, "judged", False)
            else _list_suggestions(project, getattr(args, "limit", 50))
        )
    return _judge(project, args)


def _list_suggestions(project: "Project", limit: int) -> Exit:
    from engine.build.current_tables import Tables
    from orchestration.cli.output import print_line, table

    rows = Tables(project).query(SUGGESTIONS_SQL, [limit])
    if not rows:
        print_line("no two customers look like the same one")
        return Exit.DONE
    lines = [(*_with_names(row), row["rule"], f"{row['score']:.4f}") for row in rows]
    table(("left", "", "right", "", "rule", "score"), lines, right=("score",))
    return Exit.DONE


def _with_names(row: dict[str, Any]) -> tuple[str, ...]:
    names = {side: ", ".join(filter(None, (row[f"{side}_name"], row[f"{side}_city"]))) for side in ("left", "right")}
    return row["left"], names["left"], row["right"], names["right"]


def _list_judgements(project: "Project") -> Exit:
    from orchestration.cli.output import print_line, table

    rows = [
        (
            f"{row['left_connection']}/{row['left_account_id']}",
            row["verdict"],
            f"{row['right_connection']}/{row['right_account_id']}",
            row["by"],
            f"{row['at']:%Y-%m-%d}",
            row["why"],
        )
        for row in project.ledger.judgements.in_force()
    ]
    if rows:
        table(("left", "", "right", "by", "on", "reason"), rows)
    else:
        print_line("no judgement was recorded yet")
    return Exit.DONE


def _judge(project: "Project", args: argparse.Namespace) -> Exit:
    from connectors.kit.errors import SettingsError
    from engine.build.current_tables import Tables
    from orchestration.cli.output import print_line

    tables = Tables(project)
    first, right = (_account(project, tables, text) for text in (args.left, args.right))
    try:
        if args.action == "forget":
            is_news = project.ledger.judgements.withdraw(first, right, args.by, args.why)
        else:
            is_news = project.ledger.judgements.add(first, right, args.action, args.by, args.why)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if args.action == "forget":
        print_line(
            "the judgement is withdrawn from the next build on" if is_news else "there is no judgement about these two"
        )
    else:
        print_line("recorded; it counts from the next build on" if is_news else "this judgement is recorded already")
    return Exit.DONE


def _account(project: "Project", tables: "Tables", text: str) -> "Account":
    """Read CONNECTION/ACCOUNT_ID. Raises SettingsError when the last build has no such account."""
    from connectors.kit.errors import SettingsError

    connection, slash, account_id = text.partition("/")
    if not slash:
        raise SettingsError(f"{text!r} does not name an account: write CONNECTION/ACCOUNT_ID, such as hubspot/8001")
    project.connection(connection)
    where = "SELECT 1 FROM crosswalk WHERE connection = ? AND account_id = ?"
    if not tables.query(where, [connection, account_id]):
        raise SettingsError(
            f"{connection} has no account {account_id!r} in the last build; `belvedere customer NAME` lists a customer's accounts"
        )
    return connection, account_id
