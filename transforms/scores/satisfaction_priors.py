"""What the portfolio as a whole says of each component of satisfaction: where a customer stands of whom little is known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import ibis
import ibis.expr.types as ir
import numpy as np

from transforms.scores.models.base import Floats, digest

WEIGHTS = {
    "csat": 0.35,
    "nps": 0.15,
    "ces": 0.10,
    "sla_first": 0.10,
    "sla_resolution": 0.15,
    "reopen": 0.05,
    "backlog": 0.10,
}
COUNTED = ("csat", "nps", "ces", "sla_first", "sla_resolution", "reopen")
FALLBACK = {"csat": 10.0, "nps": 10.0, "ces": 10.0, "sla_first": 20.0, "sla_resolution": 20.0, "reopen": 20.0}
FEWEST = 30  # customers with data: below this the strength of the prior is not fitted
STRENGTH = (2.0, 200.0)
DIGITS = 9
REVISION = 1  # raise it when the same data gives other priors than before


@dataclass(frozen=True)
class Priors:
    """Hold for each component the portfolio's mean `pi` and how many observations `m` it weighs.

    For nps the mean is of -1, 0 and 1; `backlog` is a value from 0 to 100. What the organisation does not have is absent.
    """

    pi: Mapping[str, float]
    m: Mapping[str, float]
    backlog: float | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    statistics: str | None = None

    @property
    def version(self) -> str:
        """Name the priors by the digest of the data they were fitted on (`statistics`) and by the weights.

        Priors that an earlier version stored have no digest: they keep the name that was made from their values.
        """
        basis: tuple[object, ...] = (self.statistics,)
        if self.statistics is None:
            backlog = None if self.backlog is None else f"{self.backlog:.6g}"
            basis = (sorted(_rounded(self.pi)), sorted(_rounded(self.m)), backlog)
        text = repr((*basis, sorted(_rounded(self.active()))))
        return f"sat-{sha256(text.encode()).hexdigest()[:8]}"

    def active(self) -> dict[str, float]:
        """Share the weights among the components that the organisation has."""
        has = [name for name in WEIGHTS if name in self.pi or (name == "backlog" and self.backlog is not None)]
        active_weights = {name: self.weights.get(name, WEIGHTS[name]) for name in has}
        total = sum(active_weights.values())
        return {name: weight / total for name, weight in active_weights.items() if weight > 0} if total else {}

    def value(self, name: str) -> float:
        """Give the portfolio's own value of a component, 0 to 100."""
        if name == "backlog":
            return float(self.backlog or 0.0)
        return {"nps": 50 + 50 * self.pi[name], "reopen": 100 * (1 - self.pi[name])}.get(name, 100 * self.pi[name])


@dataclass(frozen=True)
class PriorStatistics:
    """Hold what priors are fitted on: by component the columns k, n, customers, and of the backlog its sum and number."""

    counts: Mapping[str, Floats]
    backlog_sum: float
    backlogs: int

    @property
    def digest(self) -> str:
        """Name the data, and with it what is fitted on it."""
        columns = {name: counts.ravel() for name, counts in self.counts.items()}
        return digest(columns | {"backlog": np.array([REVISION, self.backlog_sum, self.backlogs])})[:16]


def prior_statistics(observations: ir.Table) -> PriorStatistics:
    """Group customers by successes and observations of each component, undecayed; components without any are absent."""
    counts = {name: _counts(observations, name) for name in COUNTED}
    points = observations.backlog.round(3).cast("decimal(38, 3)")
    (row,) = observations.agg(total=points.sum(), n=points.count()).to_pyarrow().to_pylist()
    return PriorStatistics(
        {name: rows for name, rows in counts.items() if len(rows)}, float(row["total"] or 0), int(row["n"])
    )


def fit_priors(statistics: PriorStatistics, weights: Mapping[str, float] | None = None) -> Priors:
    """Learn the portfolio's mean and strength of each component.

    With 30 customers or more both by beta-binomial likelihood, with fewer the pooled mean and a fixed strength. Answers
    on nps and ces count by parts: a passive one is half a promoter.
    """
    pi, m = {}, {}
    for name, counts in statistics.counts.items():
        mean, strength = _fitted(counts, FALLBACK[name])
        pi[name] = round(2 * mean - 1 if name == "nps" else mean, DIGITS)
        m[name] = round(strength, DIGITS)
    backlog = round(statistics.backlog_sum / statistics.backlogs, DIGITS) if statistics.backlogs else None
    return Priors(pi, m, backlog, {**WEIGHTS, **(weights or {})}, statistics.digest)


def _counts(observations: ir.Table, name: str) -> Floats:
    """Group customers by successes and observations: columns k, n, customers."""
    has = observations.filter(observations[f"n_{name}"] > 0)
    n, k = has[f"n_{name}"], has[f"k_{name}"]
    good = (k + n) / 2 if name == "nps" else k
    rows = has.group_by(k=good.round(6), n=n).agg(customers=ibis._.count()).order_by("k", "n")
    return np.array([[row["k"], row["n"], row["customers"]] for row in rows.to_pyarrow().to_pylist()], float)


def _fitted(counts: Floats, fallback: float) -> tuple[float, float]:
    """Fit the mean and how many observations the portfolio weighs (beta-binomial)."""
    from scipy.optimize import minimize
    from scipy.special import betaln

    k, n, customers = counts.T
    pooled = float(np.dot(k, customers) / np.dot(n, customers))
    if customers.sum() < FEWEST or not 0 < pooled < 1:
        return pooled, fallback

    def cost(point: Floats) -> float:
        mean, strength = 1 / (1 + np.exp(-point[0])), np.exp(point[1])
        a, b = strength * mean, strength * (1 - mean)
        return -float(np.dot(customers, betaln(a + k, b + n - k) - betaln(a, b)))

    start = np.array([np.log(pooled / (1 - pooled)), np.log(fallback)])
    bounds = [(-12.0, 12.0), (float(np.log(STRENGTH[0])), float(np.log(STRENGTH[1])))]
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 2000}
    best = minimize(cost, start, method="Nelder-Mead", bounds=bounds, options=options).x
    return float(1 / (1 + np.exp(-best[0]))), float(np.exp(best[1]))


def _rounded(values: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{value:.6g}") for name, value in values.items()]
