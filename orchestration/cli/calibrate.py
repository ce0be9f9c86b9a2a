"""`belvedere calibrate`: new anchors for the criteria of key accounts, with a report of what they change."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.cli.exits import Exit

SHOWN = 30


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("criteria", nargs="*", metavar="CRITERION", help="calibrate only these (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="report, but keep the anchors that are in force")


def run(args: argparse.Namespace) -> Exit:
    """Calibrate and say what changes."""
    from orchestration.calibrate import calibrate
    from orchestration.cli.console import heading, say, table
    from orchestration.project import Project

    done = calibrate(Project.load(), args.criteria, keep=not args.dry_run)
    heading(f"Anchors as of {done.as_of}")
    table(
        ("criterion", "values", "mean before", "after", "scores move", "anchors before", "anchors after"),
        [_line(one, done.spread.get(one.criterion, {})) for one in done.anchors],
    )
    heading(f"Suggested tiers that change: {len(done.moved)}")
    table(
        ("customer", "name", "total before", "after", "tier before", "after"),
        [
            tuple(row[key] for key in ("customer_id", "name", "before", "after", "band_before", "band_after"))
            for row in done.moved[:SHOWN]
        ],
    )
    if len(done.moved) > SHOWN:
        say(f"and {len(done.moved) - SHOWN} more")
    if done.is_kept:
        say(f"kept as {done.version}: counts from the next build; tiers change at the next review")
    else:
        say("nothing was kept")
    return Exit.DONE


def _line(one: Any, spread: Mapping[str, Any]) -> tuple[object, ...]:
    after = f"kept: {one.kept}" if one.kept else _said(one.after)
    moved = (spread.get(key) for key in ("before", "after", "moves"))
    return (one.criterion, one.values, *moved, _said(one.before), after)


def _said(anchors: Sequence[float]) -> str:
    return " ".join(f"{anchor:g}" for anchor in anchors)
