"""Fitted parameters: fitted every few days and stored, so that scores do not move between fits."""

from dataclasses import dataclass
from datetime import date
from math import isclose
from typing import Any, Literal, Protocol

import ibis.expr.types as ir

from engine.config.customer_model import RetentionConfig, SatisfactionConfig
from engine.storage.stores.model_parameters import Parameters
from transforms.scores.criteria_measures import median_revenue
from transforms.scores.models.base import PRIOR, Columns, Fit, Model, fit_version
from transforms.scores.models.bgbb import choose_horizon
from transforms.scores.models.find import DEFAULT, find
from transforms.scores.order_events import Event
from transforms.scores.retention_statistics import (
    RENEWALS,
    contracts,
    months_later,
    numbers,
    retention_counts,
    retention_statistics,
    with_outcome,
)
from transforms.scores.satisfaction_priors import WEIGHTS, Priors, fit_priors, prior_statistics

RETENTION, CHOICE, SATISFACTION = "retention", "retention_choice", "satisfaction"
PROVISIONAL = 6  # months, as long as there is too little data to choose a horizon
SAME_LOGLIK = 1e-4  # two searches on the same data differ by less; a customer more in a cell moves it by far more
SAME_PRIOR = 1e-3  # relative
FITTED = ("parameters", "prior", "revision", "loglik", "customers")  # the stored values that come of a fit


class ParameterStore(Protocol):
    """Where fitted parameters are: in the ledger, or in a build that is not current yet."""

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters of a model that were fitted as of a date or before."""

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Store what was fitted as of a date."""


class Fits:
    """Reads parameters from a store, and collects those that a build fits."""

    def __init__(self, store: ParameterStore) -> None:
        self._store = store
        self.new: dict[str, Parameters] = {}

    def newest(self, model: str, as_of: date) -> Parameters | None:
        """Return the newest parameters of a model that were fitted as of a date or before."""
        return self.new.get(model) or self._store.newest(model, as_of)

    def save(self, model: str, version: str, as_of: date, values: dict[str, Any]) -> None:
        """Keep parameters until the build stores them."""
        self.new[model] = Parameters(model, version, as_of, values)

    def store(self) -> None:
        """Store what was fitted."""
        for fit in self.new.values():
            self._store.save(fit.model, fit.version, fit.as_of, fit.values)


@dataclass(frozen=True)
class Retention:
    """What the retention score needs: the model, its fit (None: too little data), the horizon in months, the version."""

    model: Model
    fit: Fit | None
    horizon: int
    version: str
    fitted_on: date

    @property
    def contract_months(self) -> int | None:
        """The term of contracts in months, for models that use it."""
        return self.horizon if set(RENEWALS) <= set(self.model.cells) else None

    @property
    def notes(self) -> dict[str, Any]:
        """What was fitted, for the metadata of the table."""
        shared = {"model": self.model.name, "horizon_months": self.horizon}
        if self.fit is None:
            return {**shared, "fit": "too few customers or repeat orders"}
        values = {name: round(value, 4) for name, value in self.fit.values.items()}
        return {**shared, "fitted_on": self.fitted_on.isoformat(), **values}


def retention_for(
    fits: ParameterStore, events: ir.Table, as_of: date, config: RetentionConfig, event: Event
) -> Retention:
    """Return the stored fit while it is recent and of the configured kind, else a new one."""
    model = find(wanted_model(fits, as_of, config))
    last = fits.newest(RETENTION, as_of)
    stored = _young(last, as_of, config.refit_days)
    if stored is None or not _is_wanted(stored.values, model, config, event):
        stored = _fit_retention(fits, events, as_of, config, event)
    parameters = stored.values["parameters"]
    fit = Fit(model.name, parameters, stored.values["loglik"], stored.values["customers"]) if parameters else None
    return Retention(model, fit, stored.values["horizon"], stored.version, stored.as_of)


def event_for(config: RetentionConfig, orders: ir.Table) -> Event:
    """Return what counts as an order: orders where any was confirmed, else invoices."""
    if config.event != "auto":
        return config.event
    confirmed = orders.filter(orders.status == "confirmed").count().to_pyarrow().as_py()
    return "order" if confirmed else "invoice"


def wanted_model(fits: ParameterStore, as_of: date, config: RetentionConfig) -> str:
    """Return the name of the model to score by: the configured one, else the one the last backtest chose, else the default."""
    if config.model != "auto":
        return config.model
    chosen = fits.newest(CHOICE, as_of)
    return str(chosen.values["model"]) if chosen else DEFAULT


def horizon_for(fits: ParameterStore, events: ir.Table, as_of: date, config: RetentionConfig) -> tuple[int, bool]:
    """Return the horizon in months, and whether it is frozen: once chosen, later fits keep it."""
    if config.horizon_months != "auto":
        return config.horizon_months, False
    if config.contract_months:
        return config.contract_months, False
    last = fits.newest(RETENTION, as_of)
    if last and last.values.get("is_frozen"):
        return int(last.values["horizon"]), True
    counts = counted(events, find(DEFAULT), as_of, config, PROVISIONAL)
    fit = find(DEFAULT).fit(counts)
    return (choose_horizon(fit, counts), True) if fit else (PROVISIONAL, False)


def counted(events: ir.Table, model: Model, as_of: date, config: RetentionConfig, horizon: int) -> Columns:
    """Group customers for a fit as of a date; supervised models learn from what followed one horizon earlier."""
    if set(RENEWALS) <= set(model.cells):
        customers = contracts(events, as_of=as_of, months=config.contract_months or horizon)
        return numbers(retention_counts(customers, model).to_pyarrow())
    if not model.is_taught:
        customers = retention_statistics(events, as_of=as_of, with_gaps="log_gaps" in model.sums)
        return numbers(retention_counts(customers, model).to_pyarrow())
    before = months_later(as_of, -horizon)
    customers = with_outcome(retention_statistics(events, as_of=before), events, after=before, until=as_of)
    return numbers(retention_counts(customers, model).to_pyarrow())


def priors_for(fits: ParameterStore, observations: ir.Table, as_of: date, config: SatisfactionConfig) -> Priors:
    """Return the stored priors while they are recent, else new ones; the weights are always those configured now.

    A fit on the same data as the last one keeps its numbers to the last digit.
    """
    last, weights = fits.newest(SATISFACTION, as_of), _weights(config)
    if stored := _young(last, as_of, config.refit_days):
        return Priors(**stored.values, weights=weights)
    statistics = prior_statistics(observations)
    before = Priors(**last.values, weights=weights) if last else None
    if before and before.statistics == statistics.digest:
        priors = before
    else:
        priors = fit_priors(statistics, weights)
        if before and before.statistics is None and _same_priors(before, priors):
            priors = before
    values: dict[str, Any] = {"pi": dict(priors.pi), "m": dict(priors.m), "backlog": priors.backlog}
    values |= {"statistics": priors.statistics} if priors.statistics else {}
    fits.save(SATISFACTION, priors.version, as_of, values)
    return priors


def revenue_for(fits: ParameterStore, customers: ir.Table, as_of: date) -> float:
    """Return the median revenue that criteria compare with, frozen at its first value."""
    stored = fits.newest("key_accounts", as_of)
    if stored is None:
        value = median_revenue(customers)
        fits.save("key_accounts", "median", as_of, {"median_revenue": value})
        return value
    return float(stored.values["median_revenue"])


def _weights(config: SatisfactionConfig) -> dict[str, float]:
    return {**WEIGHTS, **config.weights}


def _is_wanted(values: dict[str, Any], model: Model, config: RetentionConfig, event: Event) -> bool:
    """Whether a stored fit is of the configured model, event and horizon."""
    horizon: int | Literal["auto"] | None = config.horizon_months
    horizon = config.contract_months if horizon == "auto" else horizon
    same = (values.get("model"), values.get("event")) == (model.name, event)
    return same and (values["horizon"] == horizon if horizon else bool(values["is_frozen"]))


def _fit_retention(
    fits: ParameterStore, events: ir.Table, as_of: date, config: RetentionConfig, event: str
) -> Parameters:
    """Fit and store the fit; on the same data and settings as the last one it keeps its numbers to the last digit."""
    model = find(wanted_model(fits, as_of, config))
    horizon, is_frozen = horizon_for(fits, events, as_of, config)
    counts, last = counted(events, model, as_of, config, horizon), fits.newest(RETENTION, as_of)
    version = fit_version(model, counts, horizon)
    if last and last.version == version:
        fitted = {name: last.values[name] for name in FITTED}
    else:
        fit = model.fit(counts)
        fitted = {"parameters": dict(fit.values) if fit else None, "prior": PRIOR, "revision": model.revision}
        fitted |= {"loglik": fit.loglik if fit else 0.0, "customers": fit.customers if fit else 0}
        if fit is None:
            version = f"{model.name}-none-h{horizon}"
        elif last and _same_fit(last.values, fit, horizon):
            version, fitted = last.version, {name: last.values[name] for name in FITTED if name in last.values}
    values = {"model": model.name, "event": event, "horizon": horizon, "is_frozen": is_frozen, **fitted}
    fits.save(RETENTION, version, as_of, values)
    return Parameters(RETENTION, version, as_of, values)


def _same_fit(values: dict[str, Any], fit: Fit, horizon: int) -> bool:
    """Whether a fit that an earlier version stored is of the same data: then it keeps its name."""
    if "revision" in values or (values.get("model"), values["horizon"]) != (fit.model, horizon):
        return False
    return bool(values["customers"] == fit.customers) and abs(values["loglik"] - fit.loglik) < SAME_LOGLIK


def _same_priors(before: Priors, after: Priors) -> bool:
    """Whether priors that an earlier version stored are of the same data."""
    pairs = [(before.pi, after.pi), (before.m, after.m), ({"_": before.backlog or 0.0}, {"_": after.backlog or 0.0})]
    return all(
        old.keys() == new.keys() and all(isclose(old[name], new[name], rel_tol=SAME_PRIOR) for name in old)
        for old, new in pairs
    )


def _young(stored: Parameters | None, as_of: date, days: int) -> Parameters | None:
    return stored if stored and (as_of - stored.as_of).days <= max(days - 1, 0) else None
