"""`belvedere backtest` and `calibrate`: how well the retention models forecast, and the anchors of criteria."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from engine.build.current_tables import Tables


MEASURES = ("auc", "log_loss", "brier", "calibration_error", "gain", "gain_error")


def backtest_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--show", action="store_true", help="print the last backtest instead of running one")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also write the calibration plot to this file")


def backtest_command(args: argparse.Namespace) -> Exit:
    """Run a backtest and print its measures."""
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import print_line

    ended = Exit.DONE if args.show else _run_backtest()
    if ended is not Exit.DONE:
        return ended
    tables = Tables(Project.load())
    if not tables.has("backtest"):
        print_line("there is no backtest yet: run `belvedere backtest`")
        return Exit.FAILED
    if _print_backtest(tables) and args.svg:
        args.svg.write_text(_calibration_plot(tables), "utf-8")
        print_line(f"plot written to {args.svg}")
    return Exit.DONE


def _run_backtest() -> Exit:
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import print_line
    from orchestration.cli.run import print_failures, spinner

    with spinner("backtest"):
        ran = run_job("backtest")
    print_failures(ran)
    for meta in list(ran.metadata.values())[:1]:
        print_line(f"{'backtest':<10} {meta['summary']}")
    return ran.exit


def _print_backtest(tables: "Tables") -> bool:
    """Print mean measures and the calibration by tenths; return whether there are any."""
    from orchestration.cli.output import heading, table

    rows = tables.query("SELECT * FROM backtest WHERE slice = 'all' ORDER BY log_loss, model")
    if not rows:
        return False
    heading(f"Means over past dates: forecasts of an order within {rows[0]['horizon_months']} months")
    heads = ("model", "dates", "customers", *(name.replace("_", " ") for name in MEASURES), "")
    table(heads, [_backtest_row(row) for row in rows], right=heads[1:-1])
    chosen = next(row["model"] for row in rows if row["is_chosen"])
    parts = tables.query("SELECT * FROM calibration WHERE model = ? ORDER BY tenth", [chosen])
    heading(f"Calibration of {chosen}: share forecast and share that ordered, by tenths of customers")
    lines = [
        (row["tenth"], row["customers"], f"{row['promised']:.3f}", f"{row['came']:.3f}", _interval(row))
        for row in parts
    ]
    heads = ("tenth", "forecasts", "forecast", "ordered", "95 % interval")
    table(heads, lines, right=heads)
    return True


def _backtest_row(row: dict[str, Any]) -> tuple[object, ...]:
    marks = ", ".join(word for word, is_it in (("default", row["is_default"]), ("chosen", row["is_chosen"])) if is_it)
    measures = ("-" if row[name] is None else f"{row[name]:.4f}" for name in MEASURES)
    return (row["model"], row["origins"], row["customers"], *measures, marks)


def _interval(row: dict[str, Any]) -> str:
    return f"{row['came_low']:.3f} to {row['came_high']:.3f}"


def _calibration_plot(tables: "Tables") -> str:
    from pages.calibration import calibration_svg

    chosen = tables.query("SELECT model FROM backtest WHERE is_chosen LIMIT 1")
    return calibration_svg(tables.query("SELECT * FROM calibration"), chosen[0]["model"] if chosen else "")


MAX_ROWS = 30


def calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("criteria", nargs="*", metavar="CRITERION", help="criteria to calibrate (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="print the changes, but save no new anchors")


def calibrate_command(args: argparse.Namespace) -> Exit:
    """Calibrate, print what changes, and save the new anchors."""
    from engine.config.project import Project
    from engine.evaluate.calibrate import calibrate
    from orchestration.cli.output import heading, print_line, table

    done = calibrate(Project.load(), args.criteria, keep=not args.dry_run)
    heading(f"Anchors as of {done.as_of}")
    table(
        ("criterion", "values", "mean score before", "after", "mean change", "anchors before", "anchors after"),
        [_anchor_line(anchors, done.spread.get(anchors.criterion, {})) for anchors in done.anchors],
    )
    heading(f"Customers whose suggested tier changes: {len(done.moved)}")
    table(
        ("customer", "name", "total before", "after", "tier before", "after"),
        [
            tuple(row[key] for key in ("customer_id", "name", "before", "after", "band_before", "band_after"))
            for row in done.moved[:MAX_ROWS]
        ],
    )
    if len(done.moved) > MAX_ROWS:
        print_line(f"... and {len(done.moved) - MAX_ROWS} more")
    if done.is_kept:
        print_line(f"saved as {done.version}: scores follow with the next build, tiers at the next review")
    else:
        print_line("nothing was saved (--dry-run)")
    return Exit.DONE


def _anchor_line(anchors: Any, spread: Mapping[str, Any]) -> tuple[object, ...]:
    after = f"unchanged: {anchors.unchanged_reason}" if anchors.unchanged_reason else _anchors_text(anchors.after)
    moved = (spread.get(key) for key in ("before", "after", "moves"))
    return (anchors.criterion, anchors.values, *moved, _anchors_text(anchors.before), after)


def _anchors_text(anchors: Sequence[float]) -> str:
    return " ".join(f"{anchor:g}" for anchor in anchors)
