"""Fitted parameters: learnt now and then, kept in the ledger, used every night, so that scores do not move by themselves."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from orchestration.config import RetentionConfig, SatisfactionConfig
from orchestration.storage.models import Models, Parameters
from transforms import bgbb
from transforms.measured import median_revenue
from transforms.retention import retention_counts
from transforms.satisfaction import WEIGHTS, Priors, fit_priors


@dataclass(frozen=True)
class Retention:
    """Hold what the retention score needs: the table of the fitted model, the horizon in months, the version."""

    lookup: pa.Table
    horizon: int
    version: str
    notes: dict[str, Any]


def retention_for(ledger: Models, statistics: ir.Table, as_of: date, config: RetentionConfig) -> Retention:
    """Use the stored fit while it is young enough, else fit anew; with too little data there is an empty table."""
    held = _young(ledger.parameters("retention", as_of), as_of, config.refit_days)
    if held is None:
        held = _fit_retention(ledger, statistics, as_of, config)
    values = held.values
    if not values.get("parameters"):
        empty = bgbb.table(bgbb.Parameters(1, 1, 1, 1), 3).slice(0, 0)
        return Retention(empty, values["horizon"], held.version, {"fit": "too few customers or repeat orders"})
    fitted = bgbb.Parameters(**values["parameters"])
    notes = {
        "fitted_on": held.as_of.isoformat(),
        **{name: round(value, 4) for name, value in vars(fitted).items()},
    }
    return Retention(bgbb.table(fitted, values["horizon"]), values["horizon"], held.version, notes)


def priors_for(ledger: Models, observations: ir.Table, as_of: date, config: SatisfactionConfig) -> Priors:
    """Use the stored priors while they are young enough, else learn them anew; the weights are always today's."""
    held = _young(ledger.parameters("satisfaction", as_of), as_of, config.refit_days)
    if held is None:
        made = fit_priors(observations, config.weights)
        values = {"pi": dict(made.pi), "m": dict(made.m), "backlog": made.backlog}
        ledger.save_parameters("satisfaction", made.version, as_of, values)
        return made
    return Priors(**held.values, weights=_weights(config))


def revenue_for(ledger: Models, customers: ir.Table, as_of: date) -> float:
    """Give the median revenue that the criteria compare with: frozen when it was first seen."""
    held = ledger.parameters("key_accounts", as_of)
    if held is None:
        value = median_revenue(customers)
        ledger.save_parameters("key_accounts", "median", as_of, {"median_revenue": value})
        return value
    return float(held.values["median_revenue"])


def _weights(config: SatisfactionConfig) -> dict[str, float]:
    return {**WEIGHTS, **config.weights}


def _fit_retention(ledger: Models, statistics: ir.Table, as_of: date, config: RetentionConfig) -> Parameters:
    rows = retention_counts(statistics).to_pyarrow().to_pylist()
    counts = [(row["x"], row["tx"], row["n"], row["customers"]) for row in rows]
    fitted = bgbb.fit(counts) if counts else None
    horizon = config.horizon_months
    if horizon == "auto":
        horizon = bgbb.choose_horizon(fitted, counts) if fitted else 6
    version = f"{fitted.version}-h{horizon}" if fitted else f"none-h{horizon}"
    values = {"parameters": vars(fitted) if fitted else None, "horizon": horizon}
    ledger.save_parameters("retention", version, as_of, values)
    return Parameters("retention", version, as_of, values)


def _young(held: Parameters | None, as_of: date, days: int) -> Parameters | None:
    return held if held and (as_of - held.as_of).days <= max(days - 1, 0) else None
