"""`belvedere match`: which accounts may be one customer, and what people say of them."""

import argparse
import getpass
from typing import TYPE_CHECKING, Any

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from engine.storage.judgements import Account

SUGGESTED = """
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
    listing = actions.add_parser("list", help="list the accounts that may be one customer, surest first (default)")
    listing.add_argument("--limit", type=int, default=50, help="pairs at most (default: %(default)s)")
    listing.add_argument("--judged", action="store_true", help="the judgements in force instead: who said so, and why")
    for action, summary in (
        ("same", "two accounts are the same customer, whatever the rules say"),
        ("different", "two accounts are different customers, whatever the rules say"),
        ("forget", "take back what was said of two accounts, as if it never was"),
    ):
        judging = actions.add_parser(action, help=summary)
        judging.add_argument("left", help="one account: CONNECTION/ACCOUNT_ID")
        judging.add_argument("right", help="the other account")
        judging.add_argument("--by", default=getpass.getuser(), help="who says so (default: %(default)s)")
        judging.add_argument("--why", required=True, help="why")


def match_command(args: argparse.Namespace) -> Exit:
    """List, judge or forget."""
    from engine.config.project import Project

    project = Project.load()
    if args.action in (None, "list"):
        return _judged(project) if getattr(args, "judged", False) else _suggested(project, getattr(args, "limit", 50))
    return _judge(project, args)


def _suggested(project: "Project", limit: int) -> Exit:
    from engine.build.current_tables import Tables
    from orchestration.cli.output import say, table

    rows = Tables(project).query(SUGGESTED, [limit])
    if not rows:
        say("no two customers look like one")
        return Exit.DONE
    shown = [(*_described(row), row["rule"], f"{row['score']:.4f}") for row in rows]
    table(("left", "", "right", "", "rule", "score"), shown, right=("score",))
    return Exit.DONE


def _described(row: dict[str, Any]) -> tuple[str, ...]:
    names = {side: ", ".join(filter(None, (row[f"{side}_name"], row[f"{side}_city"]))) for side in ("left", "right")}
    return row["left"], names["left"], row["right"], names["right"]


def _judged(project: "Project") -> Exit:
    from orchestration.cli.output import say, table

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
        table(("left", "", "right", "by", "on", "why"), rows)
    else:
        say("nothing was judged yet")
    return Exit.DONE


def _judge(project: "Project", args: argparse.Namespace) -> Exit:
    from connectors.kit.errors import SettingsError
    from engine.build.current_tables import Tables
    from orchestration.cli.output import say

    known = Tables(project)
    left, right = (_account(project, known, text) for text in (args.left, args.right))
    try:
        if args.action == "forget":
            is_news = project.ledger.judgements.withdraw(left, right, args.by, args.why)
        else:
            is_news = project.ledger.judgements.add(left, right, args.action, args.by, args.why)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if args.action == "forget":
        say("it is forgotten: the next build knows nothing of it" if is_news else "nothing was said of the two")
    else:
        say("it counts from the next build on" if is_news else "that was said already")
    return Exit.DONE


def _account(project: "Project", known: "Tables", text: str) -> "Account":
    """Read CONNECTION/ACCOUNT_ID; raises SettingsError where the last build knew no such account."""
    from connectors.kit.errors import SettingsError

    connection, slash, account_id = text.partition("/")
    if not slash:
        raise SettingsError(f"{text!r} is no account: write CONNECTION/ACCOUNT_ID, such as hubspot/8001")
    project.connection(connection)
    where = "SELECT 1 FROM crosswalk WHERE connection = ? AND account_id = ?"
    if not known.query(where, [connection, account_id]):
        raise SettingsError(f"{connection} has no account {account_id!r}")
    return connection, account_id
