"""Backtest of the retention models: forecasts from past dates, compared with the orders that followed."""

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
YARDSTICK = "recency"  # only ranks customers, gives no calibrated chance: never chosen
TRAINING_MONTHS = 3  # months of orders needed to fit a model, before the first horizon
SPREAD_MONTHS = 24  # months over which the origins are spread
DIGITS = 9
Row = dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """The forecasts of one model from one date."""

    model: str
    origin: date
    version: str
    forecasts: Forecasts


@dataclass
class BacktestResult:
    """The result of a backtest: rows by table, the model chosen, and a note where nothing could be chosen.

    `horizon` is in months; `broken` counts, by table, the rows that break its schema.
    """

    as_of: date
    horizon: int
    chosen: str = DEFAULT
    note: str = ""
    rows: dict[str, list[Row]] = field(default_factory=lambda: {table: [] for table in TABLES})
    broken: dict[str, int] = field(default_factory=dict)


def backtest(project: Project, run_id: str) -> BacktestResult:
    """Backtest every model on the orders of the current build, and add the tables to its snapshot.

    Raises SettingsError when there is no build yet, LeaseTaken when a build is running.
    """
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    con, config = backend.connect(), project.model.retention
    tables = [project.lake.read(con, name, schema=arrow_schema(name)) for name in ("crosswalk", "orders", "invoices")]
    event: Event = event_for(config, tables[1])
    events = backend.keep(con, order_events(*tables, event=event))
    result = compare_models(
        events, horizon_for(project.ledger.model_parameters, events, current.as_of, config)[0], current.as_of, config
    )
    with lease(project.ledger, "build", run_id):
        for table, rows in result.rows.items():
            data = pa.Table.from_pylist(rows, arrow_schema(table))
            broken = check_result(backend.table(con, data), schema_of(table)).count().to_pyarrow().as_py()
            result.broken[table] = int(broken)
            newest = project.ledger.snapshots.current() or current
            project.ledger.snapshots.add_table(newest.id, project.lake.write(table, data), run_id)
        if result.rows["backtest"]:
            parameters = {"model": result.chosen, "horizon": result.horizon, "event": event}
            project.ledger.model_parameters.save(CHOICE, result.chosen, current.as_of, parameters)
    return result


def compare_models(events: ir.Table, horizon: int, as_of: date, config: RetentionConfig) -> BacktestResult:
    """Forecast from each origin with each model, and compare with what followed."""
    result = BacktestResult(as_of, horizon)
    dates = origins(events, horizon, as_of, config.backtest_origins)
    predicted = [prediction for origin in dates for prediction in _predict(events, origin, horizon, config)]
    if not any(prediction.model == DEFAULT for prediction in predicted):
        result.note = _missing_history(dates, horizon)
        return result
    result.rows["backtest"] = _measure(predicted, result, _independent(dates, horizon))
    result.rows["calibration"] = list(_calibration_rows(predicted, as_of))
    return result


def origins(events: ir.Table, horizon: int, as_of: date, most: int) -> list[date]:
    """Choose up to `most` month ends, evenly spread, with enough orders before and a full horizon after each."""
    first = events.filter(events.on <= as_of).agg(first=events.on.min()).to_pyarrow().to_pylist()[0]["first"]
    last = month_end(months_later(month_end(as_of), -horizon))
    if months_later(last, horizon) > as_of:
        last = month_end(months_later(last, -1))
    if first is None:
        return []
    earliest = max(
        month_end(months_later(month_end(first), horizon + TRAINING_MONTHS)), months_later(last, -SPREAD_MONTHS)
    )
    months = (last.year - earliest.year) * 12 + last.month - earliest.month
    steps = min(months, most - 1)
    if months < 0:
        return []
    back = {round(months * step / steps) if steps else 0 for step in range(steps + 1)}
    return [months_later(last, -count) for count in sorted(back, reverse=True)]


def _predict(events: ir.Table, origin: date, horizon: int, config: RetentionConfig) -> Iterable[Prediction]:
    statistics = retention_statistics(events, as_of=origin, contract_months=config.contract_months, with_gaps=True)
    statistics = with_outcome(
        statistics.filter(statistics.n.notnull()), events, after=origin, until=months_later(origin, horizon)
    )
    for model in _candidates(config):
        counts = counted(events, model, origin, config, horizon)
        fit = model.fit(counts)
        if fit is None:
            continue
        groups = numbers(retention_counts(statistics, model, for_fit=False).to_pyarrow())
        with np.errstate(all="ignore"):
            promised = model.chances(fit, groups, horizon=horizon).p
        forecasts = Forecasts(promised, groups["customers"], groups["ordered"])
        yield Prediction(model.name, origin, fit_version(model, counts, horizon), forecasts)


def _candidates(config: RetentionConfig) -> list[Model]:
    candidates = [find(name) for name in models()]
    return [model for model in candidates if config.contract_months or not {*RENEWALS} <= {*model.cells}]


def _measure(predicted: list[Prediction], result: BacktestResult, independent: float) -> list[Row]:
    """Measure each prediction and the mean of each model, and choose the model by its mean."""
    singles = [
        _row(prediction.model, prediction.origin.isoformat(), prediction.forecasts, result, prediction.version)
        for prediction in predicted
    ]
    losses: dict[str, dict[str, float]] = {}
    for row in singles:
        losses.setdefault(row["model"], {})[row["slice"]] = row["log_loss"]
    gains = {name: gain(losses[DEFAULT], mine, independent) for name, mine in losses.items()}
    result.chosen = choose(
        DEFAULT, {name: prediction for name, prediction in gains.items() if name not in (DEFAULT, YARDSTICK)}
    )
    rows = [_mean(name, [row for row in singles if row["model"] == name]) for name in losses]
    rows += singles
    for row in rows:
        row |= {"is_default": row["model"] == DEFAULT, "is_chosen": row["model"] == result.chosen}
        mean, error = gains[row["model"]]
        if row["slice"] == ALL:
            row |= {"gain": round(mean, DIGITS), "gain_error": None if error is None else round(error, DIGITS)}
        elif row["slice"] in losses[DEFAULT]:
            row |= {"gain": round(losses[DEFAULT][row["slice"]] - row["log_loss"], DIGITS)}
    return sorted(rows, key=lambda row: (row["model"], row["slice"]))


def _row(name: str, slice_: str, forecasts: Forecasts, result: BacktestResult, version: str) -> Row:
    ranks = auc(forecasts)
    row = {"model": name, "slice": slice_, "origins": 1, "horizon_months": result.horizon, "as_of": result.as_of}
    row |= {"customers": int(forecasts.customers.sum()), "ordered": int(forecasts.ordered.sum())}
    row |= {"promised": round(forecasts.mean, DIGITS), "came": round(forecasts.rate, DIGITS)}
    row |= {"log_loss": round(log_loss(forecasts), DIGITS), "brier": round(brier(forecasts), DIGITS)}
    row |= {"auc": None if ranks is None else round(ranks, DIGITS), "model_version": version}
    return row | {"calibration_error": round(calibration_error(tenths(forecasts)), DIGITS)}


def _mean(name: str, rows: list[Row]) -> Row:
    ranks = [row["auc"] for row in rows if row["auc"] is not None]
    means = ("promised", "came", "log_loss", "brier", "calibration_error")
    row_values: Row = {column: round(fmean(row[column] for row in rows), DIGITS) for column in means}
    row_values |= {column: sum(row[column] for row in rows) for column in ("origins", "customers", "ordered")}
    row_values |= {"auc": round(fmean(ranks), DIGITS) if ranks else None}
    return (
        row_values | {"model": name, "slice": ALL} | {column: rows[0][column] for column in ("horizon_months", "as_of")}
    )


def _calibration_rows(predicted: list[Prediction], as_of: date) -> Iterable[Row]:
    by_model: Mapping[str, list[Forecasts]] = {prediction.model: [] for prediction in predicted}
    for prediction in predicted:
        by_model[prediction.model].append(prediction.forecasts)
    for name, parts in sorted(by_model.items()):
        for group in tenths(Forecasts.together(parts)):
            low, high = wilson(round(group.came * group.customers), group.customers)
            row = {"model": name, "tenth": group.tenth, "customers": group.customers, "as_of": as_of}
            shares = {"promised": group.promised, "came": group.came, "came_low": low, "came_high": high}
            yield row | {column: round(value, DIGITS) for column, value in shares.items()}


def _independent(dates: list[date], horizon: int) -> float:
    """Return how many horizons fit between the first date and the last without overlap."""
    months = (dates[-1].year - dates[0].year) * 12 + dates[-1].month - dates[0].month
    return 1 + months / horizon


def _missing_history(dates: list[date], horizon: int) -> str:
    if dates:
        return "too few customers ordered again to fit a model"
    return (
        f"too little history: a backtest over {horizon} months needs {2 * horizon + TRAINING_MONTHS} months of orders"
    )
