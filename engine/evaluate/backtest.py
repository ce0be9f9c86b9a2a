"""Backtest the models of retention: predict from past dates what is known by now, on the company's own orders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from statistics import fmean
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from connectors.kit.errors import SettingsError
from engine.build.model_parameters import CHOICE, counted, event_for, horizon_for
from engine.config.customer_model import RetentionConfig
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.lease import lease
from engine.storage.table_schema import arrow_schema
from schemas.find import model as schema_of
from transforms.conform.check import check_result
from transforms.scores.forecasts import (
    Forecasts,
    auc,
    brier,
    calibration_error,
    choose,
    gain,
    log_loss,
    tenths,
    wilson,
)
from transforms.scores.models.base import Model, fit_version
from transforms.scores.models.find import DEFAULT, find, models
from transforms.scores.order_events import Event, order_events
from transforms.scores.retention_statistics import (
    RENEWALS,
    month_end,
    months_later,
    numbers,
    retention_counts,
    retention_statistics,
    with_outcome,
)

TABLES = ("backtest", "calibration")
ALL = "all"
YARDSTICK = "recency"  # ranks, and tells nothing of a customer: never chosen
LEARNT = 3  # months of orders to learn from, before a model that is taught looks ahead for the first time
SPREAD = 24  # months over which the dates are spread
DIGITS = 9
Row = dict[str, Any]


@dataclass(frozen=True)
class Predicted:
    """Hold what one model predicted from one date."""

    model: str
    origin: date
    version: str
    forecasts: Forecasts


@dataclass
class Backtested:
    """Say what a backtest came to: rows of each table, what was chosen, and why nothing was, where nothing was."""

    as_of: date
    horizon: int
    chosen: str = DEFAULT
    note: str = ""
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    broken: dict[str, int] = field(default_factory=dict)


def backtest(project: Project, run_id: str) -> Backtested:
    """Backtest every model on the orders of the current build, and put the tables beside its own.

    Raises SettingsError when nothing was built yet, LeaseHeld when a build is at work.
    """
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    con, config = backend.connect(), project.model.retention
    tables = [project.lake.read(con, name, schema=arrow_schema(name)) for name in ("crosswalk", "orders", "invoices")]
    event: Event = event_for(config, tables[1])
    events = backend.keep(con, order_events(*tables, event=event))
    made = compared(events, horizon_for(project.ledger, events, current.as_of, config)[0], current.as_of, config)
    with lease(project.ledger, "build", run_id):
        for table, rows in made.rows.items():
            held = pa.Table.from_pylist(rows, arrow_schema(table))
            broken = check_result(backend.table(con, held), schema_of(table)).count().to_pyarrow().as_py()
            made.broken[table] = int(broken)
            newest = project.ledger.snapshots.current() or current
            project.ledger.snapshots.add_table(newest.id, project.lake.write(table, held), run_id)
        if made.rows["backtest"]:
            kept = {"model": made.chosen, "horizon": made.horizon, "event": event}
            project.ledger.model_parameters.save(CHOICE, made.chosen, current.as_of, kept)
    return made


def compared(events: ir.Table, horizon: int, as_of: date, config: RetentionConfig) -> Backtested:
    """Predict from each origin by each model, and compare."""
    made = Backtested(as_of, horizon)
    dates = origins(events, horizon, as_of, config.backtest_origins)
    predicted = [one for origin in dates for one in _predicted(events, origin, horizon, config)]
    if not any(one.model == DEFAULT for one in predicted):
        made.note = _too_little(dates, horizon)
        return made
    made.rows["backtest"] = _measured(predicted, made, _independent(dates, horizon))
    made.rows["calibration"] = list(_calibrated(predicted, as_of))
    return made


def origins(events: ir.Table, horizon: int, as_of: date, most: int) -> list[date]:
    """Choose ends of months, evenly spread, of which the horizon has passed and before which there is enough to learn from."""
    first = events.filter(events.on <= as_of).agg(first=events.on.min()).to_pyarrow().to_pylist()[0]["first"]
    last = month_end(months_later(month_end(as_of), -horizon))
    if months_later(last, horizon) > as_of:
        last = month_end(months_later(last, -1))
    if first is None:
        return []
    earliest = max(month_end(months_later(month_end(first), horizon + LEARNT)), months_later(last, -SPREAD))
    months = (last.year - earliest.year) * 12 + last.month - earliest.month
    steps = min(months, most - 1)
    if months < 0:
        return []
    back = {round(months * step / steps) if steps else 0 for step in range(steps + 1)}
    return [months_later(last, -count) for count in sorted(back, reverse=True)]


def _predicted(events: ir.Table, origin: date, horizon: int, config: RetentionConfig) -> Iterable[Predicted]:
    known = retention_statistics(events, as_of=origin, contract_months=config.contract_months, with_gaps=True)
    known = with_outcome(known.filter(known.n.notnull()), events, after=origin, until=months_later(origin, horizon))
    for model in _candidates(config):
        counts = counted(events, model, origin, config, horizon)
        fit = model.fit(counts)
        if fit is None:
            continue
        groups = numbers(retention_counts(known, model, for_fit=False).to_pyarrow())
        with np.errstate(all="ignore"):
            promised = model.chances(fit, groups, horizon=horizon).p
        forecasts = Forecasts(promised, groups["customers"], groups["ordered"])
        yield Predicted(model.name, origin, fit_version(model, counts, horizon), forecasts)


def _candidates(config: RetentionConfig) -> list[Model]:
    found = [find(name) for name in models()]
    return [model for model in found if config.contract_months or not {*RENEWALS} <= {*model.cells}]


def _measured(predicted: list[Predicted], made: Backtested, independent: float) -> list[Row]:
    """Measure each prediction, then the mean of each model; the choice is by the mean."""
    singles = [_row(one.model, one.origin.isoformat(), one.forecasts, made, one.version) for one in predicted]
    losses: dict[str, dict[str, float]] = {}
    for row in singles:
        losses.setdefault(row["model"], {})[row["slice"]] = row["log_loss"]
    gains = {name: gain(losses[DEFAULT], mine, independent) for name, mine in losses.items()}
    made.chosen = choose(DEFAULT, {name: one for name, one in gains.items() if name not in (DEFAULT, YARDSTICK)})
    rows = [_mean(name, [row for row in singles if row["model"] == name]) for name in losses]
    rows += singles
    for row in rows:
        row |= {"is_default": row["model"] == DEFAULT, "is_chosen": row["model"] == made.chosen}
        mean, error = gains[row["model"]]
        if row["slice"] == ALL:
            row |= {"gain": round(mean, DIGITS), "gain_error": None if error is None else round(error, DIGITS)}
        elif row["slice"] in losses[DEFAULT]:
            row |= {"gain": round(losses[DEFAULT][row["slice"]] - row["log_loss"], DIGITS)}
    return sorted(rows, key=lambda row: (row["model"], row["slice"]))


def _row(name: str, slice_: str, forecasts: Forecasts, made: Backtested, version: str) -> Row:
    ranks = auc(forecasts)
    row = {"model": name, "slice": slice_, "origins": 1, "horizon_months": made.horizon, "as_of": made.as_of}
    row |= {"customers": int(forecasts.customers.sum()), "ordered": int(forecasts.ordered.sum())}
    row |= {"promised": round(forecasts.mean, DIGITS), "came": round(forecasts.rate, DIGITS)}
    row |= {"log_loss": round(log_loss(forecasts), DIGITS), "brier": round(brier(forecasts), DIGITS)}
    row |= {"auc": None if ranks is None else round(ranks, DIGITS), "model_version": version}
    return row | {"calibration_error": round(calibration_error(tenths(forecasts)), DIGITS)}


def _mean(name: str, rows: list[Row]) -> Row:
    ranks = [row["auc"] for row in rows if row["auc"] is not None]
    means = ("promised", "came", "log_loss", "brier", "calibration_error")
    made = {column: round(fmean(row[column] for row in rows), DIGITS) for column in means}
    made |= {column: sum(row[column] for row in rows) for column in ("origins", "customers", "ordered")}
    made |= {"auc": round(fmean(ranks), DIGITS) if ranks else None}
    return made | {"model": name, "slice": ALL} | {column: rows[0][column] for column in ("horizon_months", "as_of")}


def _calibrated(predicted: list[Predicted], as_of: date) -> Iterable[Row]:
    by_model: Mapping[str, list[Forecasts]] = {one.model: [] for one in predicted}
    for one in predicted:
        by_model[one.model].append(one.forecasts)
    for name, parts in sorted(by_model.items()):
        for one in tenths(Forecasts.together(parts)):
            low, high = wilson(round(one.came * one.customers), one.customers)
            row = {"model": name, "tenth": one.tenth, "customers": one.customers, "as_of": as_of}
            shares = {"promised": one.promised, "came": one.came, "came_low": low, "came_high": high}
            yield row | {column: round(value, DIGITS) for column, value in shares.items()}


def _independent(dates: list[date], horizon: int) -> float:
    """Count how many horizons fit between the first date and the last without overlap."""
    months = (dates[-1].year - dates[0].year) * 12 + dates[-1].month - dates[0].month
    return 1 + months / horizon


def _too_little(dates: list[date], horizon: int) -> str:
    if dates:
        return "too few customers order again: no model can be fitted"
    return f"too little history: to predict {horizon} months takes {2 * horizon + LEARNT} months of orders"
