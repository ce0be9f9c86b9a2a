"""`belvedere backtest`: how well each model of retention would have predicted."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from orchestration.tables import Tables

MEASURES = ("auc", "log_loss", "brier", "calibration_error", "gain", "gain_error")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--show", action="store_true", help="print the last one, without a new run")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also write the calibration plot to a file")


def run(args: argparse.Namespace) -> Exit:
    """Backtest, and print what came of it."""
    from orchestration.cli.console import say
    from orchestration.project import Project
    from orchestration.tables import Tables

    ended = Exit.DONE if args.show else _run()
    if ended is not Exit.DONE:
        return ended
    tables = Tables(Project.load())
    if not tables.has("backtest"):
        say("nothing was backtested yet: run `belvedere backtest`")
        return Exit.FAILED
    if _tell(tables) and args.svg:
        args.svg.write_text(_svg(tables), "utf-8")
        say(f"plot written to {args.svg}")
    return Exit.DONE


def _run() -> Exit:
    from orchestration.cli.beats import spinner, tell_failures
    from orchestration.cli.console import say
    from orchestration.cli.runs import run as run_job

    with spinner("backtest"):
        ran = run_job("backtest")
    tell_failures(ran)
    for meta in list(ran.metadata.values())[:1]:
        say(f"{'backtest':<10} {meta['summary']}")
    return ran.exit


def _tell(tables: "Tables") -> bool:
    """Print the means and the tenths; answers whether there are any."""
    from orchestration.cli.console import heading, table

    rows = tables.query("SELECT * FROM backtest WHERE slice = 'all' ORDER BY log_loss, model")
    if not rows:
        return False
    heading(f"Mean over past dates, an order within {rows[0]['horizon_months']} months")
    heads = ("model", "dates", "customers", *(name.replace("_", " ") for name in MEASURES), "")
    table(heads, [_row(row) for row in rows], right=heads[1:-1])
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


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    said = ", ".join(word for word, is_it in (("default", row["is_default"]), ("chosen", row["is_chosen"])) if is_it)
    measures = ("-" if row[name] is None else f"{row[name]:.4f}" for name in MEASURES)
    return (row["model"], row["origins"], row["customers"], *measures, said)


def _interval(row: dict[str, Any]) -> str:
    return f"{row['came_low']:.3f} to {row['came_high']:.3f}"


def _svg(tables: "Tables") -> str:
    from pages.calibration import calibration_svg

    chosen = tables.query("SELECT model FROM backtest WHERE is_chosen LIMIT 1")
    return calibration_svg(tables.query("SELECT * FROM calibration"), chosen[0]["model"] if chosen else "")
