"""`belvedere backtest` and `calibrate`: how well models predict, and the anchors of criteria."""

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
    parser.add_argument("--show", action="store_true", help="print the last one, without a new run")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also write the calibration plot to a file")


def backtest_command(args: argparse.Namespace) -> Exit:
    """Backtest, and print what came of it."""
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import say

    ended = Exit.DONE if args.show else _run_backtest()
    if ended is not Exit.DONE:
        return ended
    tables = Tables(Project.load())
    if not tables.has("backtest"):
        say("nothing was backtested yet: run `belvedere backtest`")
        return Exit.FAILED
    if _print_backtest(tables) and args.svg:
        args.svg.write_text(_calibration_plot(tables), "utf-8")
        say(f"plot written to {args.svg}")
    return Exit.DONE


def _run_backtest() -> Exit:
    from orchestration.cli.launch import run as run_job
    from orchestration.cli.output import say
    from orchestration.cli.run import spinner, tell_failures

    with spinner("backtest"):
        ran = run_job("backtest")
    tell_failures(ran)
    for meta in list(ran.metadata.values())[:1]:
        say(f"{'backtest':<10} {meta['summary']}")
    return ran.exit


def _print_backtest(tables: "Tables") -> bool:
    """Print the means and the tenths; answers whether there are any."""
    from orchestration.cli.output import heading, table

    rows = tables.query("SELECT * FROM backtest WHERE slice = 'all' ORDER BY log_loss, model")
    if not rows:
        return False
    heading(f"Mean over past dates, an order within {rows[0]['horizon_months']} months")
    heads = ("model", "dates", "customers", *(name.replace("_", " ") for name in MEASURES), "")
    table(heads, [_backtest_row(row) for row in rows], right=heads[1:-1])
    chosen = next(row["model"] for row in rows if row["is_chosen"])
    parts = tables.query("SELECT * FROM calibration WHERE model = ? ORDER BY tenth", [chosen])
    heading(f"What {chosen} promised, and what came")
    shown = [
        (row["tenth"], row["customers"], f"{row['promised']:.3f}", f"{row['came']:.3f}", _interval(row))
        for row in parts
    ]
    heads = ("tenth", "predictions", "promised", "came", "95 % interval")
    table(heads, shown, right=heads)
    return True


def _backtest_row(row: dict[str, Any]) -> tuple[object, ...]:
    said = ", ".join(word for word, is_it in (("default", row["is_default"]), ("chosen", row["is_chosen"])) if is_it)
    measures = ("-" if row[name] is None else f"{row[name]:.4f}" for name in MEASURES)
    return (row["model"], row["origins"], row["customers"], *measures, said)


def _interval(row: dict[str, Any]) -> str:
    return f"{row['came_low']:.3f} to {row['came_high']:.3f}"


def _calibration_plot(tables: "Tables") -> str:
    from pages.calibration import calibration_svg

    chosen = tables.query("SELECT model FROM backtest WHERE is_chosen LIMIT 1")
    return calibration_svg(tables.query("SELECT * FROM calibration"), chosen[0]["model"] if chosen else "")


SHOWN = 30


def calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("criteria", nargs="*", metavar="CRITERION", help="calibrate only these (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="report, but keep the anchors that are in force")


def calibrate_command(args: argparse.Namespace) -> Exit:
    """Calibrate and say what changes."""
    from engine.config.project import Project
    from engine.evaluate.calibrate import calibrate
    from orchestration.cli.output import heading, say, table

    done = calibrate(Project.load(), args.criteria, keep=not args.dry_run)
    heading(f"Anchors as of {done.as_of}")
    table(
        ("criterion", "values", "mean before", "after", "scores move", "anchors before", "anchors after"),
        [_anchor_line(one, done.spread.get(one.criterion, {})) for one in done.anchors],
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


def _anchor_line(one: Any, spread: Mapping[str, Any]) -> tuple[object, ...]:
    after = f"kept: {one.kept}" if one.kept else _anchors_text(one.after)
    moved = (spread.get(key) for key in ("before", "after", "moves"))
    return (one.criterion, one.values, *moved, _anchors_text(one.before), after)


def _anchors_text(anchors: Sequence[float]) -> str:
    return " ".join(f"{anchor:g}" for anchor in anchors)
