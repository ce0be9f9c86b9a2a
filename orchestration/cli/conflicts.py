"""`belvedere conflicts`: where a target holds something else than we want, and what a person decides."""

import argparse
import getpass

from orchestration.cli.exits import Exit

SIDES = {"theirs": "keep_target", "ours": "keep_ours"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", help="list what waits for a decision (default)")
    listed.add_argument("--all", action="store_true", help="also what stays as it is by the settings")
    decide = actions.add_parser("decide", help="decide one; it holds until one of the two values changes")
    decide.add_argument("conflict", help="its number, as the list has it")
    decide.add_argument("side", choices=[*SIDES], help="whose value counts: the target's (theirs), or ours")
    decide.add_argument("--by", default=getpass.getuser(), help="who decides (default: %(default)s)")
    decide.add_argument("--why", default="", help="why")


def run(args: argparse.Namespace) -> Exit:
    """List or decide."""
    from orchestration.cli.console import say
    from orchestration.deliver.conflicts import decide
    from orchestration.project import Project

    project = Project.load()
    if args.action != "decide":
        return _list(project, everything=getattr(args, "all", False))
    row = decide(project, args.conflict, SIDES[args.side], args.by, args.why)  # type: ignore[arg-type]
    say(f"{row['delivery']} {row['record_id']} {row['field']}: {args.side} counts; the next plan follows")
    return Exit.DONE


def _list(project: object, *, everything: bool) -> Exit:
    from orchestration.cli.console import say, table
    from orchestration.deliver.conflicts import conflicts

    rows = conflicts(project, open_only=not everything)  # type: ignore[arg-type]
    if not rows:
        say("nothing waits for a decision")
        return Exit.DONE
    shown = ("conflict_id", "delivery", "record_id", "field", "held", "wanted", "reason")
    heads = ("conflict", "delivery", "record", "field", "theirs", "ours", "why")
    table(heads, [tuple(row[name] for name in shown) for row in rows])
    return Exit.DONE
