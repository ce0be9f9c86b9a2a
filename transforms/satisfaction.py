"""Satisfaction: seven components, each shrunk to the portfolio by how little is known, and the confidence of it all."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from hashlib import sha256
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaln

from transforms.reasons import listed, reason, whole

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
HALF_LIFE_DAYS, WINDOW_DAYS = 180, 730
LN2 = 0.6931471805599453
FALLBACK = {"csat": 10.0, "nps": 10.0, "ces": 10.0, "sla_first": 20.0, "sla_resolution": 20.0, "reopen": 20.0}
FEWEST = 30  # customers with data: below this the strength of the prior is not fitted
STRENGTH = (2.0, 200.0)
URGENCY = {"urgent": 4.0, "high": 3.0, "normal": 2.0, "low": 1.0}
BANDS = ((85, "A"), (75, "B"), (65, "C"), (50, "D"))
CONFIDENCE = ((0.6, "high"), (0.3, "medium"), (0.1, "low"))
Z = 1.959964


@dataclass(frozen=True)
class Priors:
    """Hold for each component the portfolio's mean `pi` and how many observations `m` it weighs.

    For nps the mean is of -1, 0 and 1; `backlog` is a value from 0 to 100. What the organisation does not have is absent.
    """

    pi: Mapping[str, float]
    m: Mapping[str, float]
    backlog: float | None = None
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)

    @property
    def version(self) -> str:
        """Name the priors by what they are."""
        said = repr((sorted(_rounded(self.pi)), sorted(_rounded(self.m)), self.backlog, sorted(self.active().items())))
        return f"sat-{sha256(said.encode()).hexdigest()[:8]}"

    def active(self) -> dict[str, float]:
        """Share the weights among the components that the organisation has."""
        has = [name for name in WEIGHTS if name in self.pi or (name == "backlog" and self.backlog is not None)]
        held = {name: self.weights.get(name, WEIGHTS[name]) for name in has}
        total = sum(held.values())
        return {name: weight / total for name, weight in held.items() if weight > 0} if total else {}

    def value(self, name: str) -> float:
        """Give the portfolio's own value of a component, 0 to 100."""
        if name == "backlog":
            return float(self.backlog or 0.0)
        return {"nps": 50 + 50 * self.pi[name], "reopen": 100 * (1 - self.pi[name])}.get(name, 100 * self.pi[name])


def satisfaction_observations(
    crosswalk: ir.Table,
    tickets: ir.Table,
    ratings: ir.Table,
    *,
    as_of: date,
    targets: Mapping[str, Mapping[str, float]],
) -> ir.Table:
    """Sum by customer what was observed of each component: decayed weights, weighted outcomes, plain counts.

    `targets` holds minutes by priority for `first_reply` and `resolution`. An observation loses half its weight in
    180 days and counts for 730.
    """
    end = ibis.literal(datetime.combine(as_of, time.max, UTC), "timestamp('UTC')")
    known = crosswalk.select("connection", "account_id", "customer_id")
    owned = tickets.filter(tickets.created_at <= end).inner_join(known, ["connection", "account_id"])
    seen = ibis.union(_rated(ratings.filter(ratings.rated_at <= end), tickets, known), *_served(owned, targets))
    aged = seen.mutate(age=_days(end, seen.at)).filter(lambda t: t.age <= WINDOW_DAYS)
    aged = aged.mutate(w=(aged.age * (-LN2 / HALF_LIFE_DAYS)).exp())
    sums = {}
    for name in COUNTED:
        is_it = aged.component == name
        sums[f"w_{name}"] = aged.w.sum(where=is_it).coalesce(0.0)
        sums[f"wy_{name}"] = (aged.w * aged.y).sum(where=is_it).coalesce(0.0)
        sums[f"k_{name}"] = aged.y.sum(where=is_it).coalesce(0.0)
        sums[f"n_{name}"] = is_it.sum().cast("int64")
    counted = aged.group_by("customer_id").agg(**sums)
    queue = _backlog(owned, end, targets["resolution"])
    everyone = ibis.union(counted.select("customer_id"), queue.select("customer_id"), distinct=True)
    joined = everyone.left_join(counted, "customer_id").drop("customer_id_right").left_join(queue, "customer_id")
    return joined.drop("customer_id_right")


def fit_priors(observations: ir.Table, weights: Mapping[str, float] | None = None) -> Priors:
    """Learn the portfolio's mean and strength of each component from grouped counts."""
    pi, m = {}, {}
    for name in COUNTED:
        has = observations.filter(observations[f"n_{name}"] > 0)
        rows = has.group_by(k=has[f"k_{name}"].round(6), n=has[f"n_{name}"]).agg(customers=ibis._.count())
        counts = np.array(
            [[row["k"], row["n"], row["customers"]] for row in rows.order_by("k", "n").to_pyarrow().to_pylist()],
            float,
        )
        if len(counts):
            pi[name] = float(np.dot(counts[:, 0], counts[:, 2]) / np.dot(counts[:, 1], counts[:, 2]))
            m[name] = FALLBACK[name] if name in ("nps", "ces") else _strength(counts, pi[name], FALLBACK[name])
    waiting = observations.agg(mean=observations.backlog.mean()).to_pyarrow().to_pylist()[0]["mean"]
    return Priors(pi, m, None if waiting is None else float(waiting), {**WEIGHTS, **(weights or {})})


def satisfaction(customers: ir.Table, observations: ir.Table, *, as_of: date, priors: Priors) -> ir.Table:
    """Score every customer: the weighted sum of its components, each between its own data and the portfolio's."""
    weights = priors.active()
    joined = customers.select("customer_id").left_join(observations, "customer_id").drop("customer_id_right")
    values = {name: _value(joined, name, priors) for name in weights}
    sure = {name: _sure(joined, name, priors) for name in weights}
    score = sum((ibis.literal(weight) * values[name] for name, weight in weights.items()), ibis.literal(0.0)).round(2)
    confidence = sum((ibis.literal(weight) * sure[name] for name, weight in weights.items()), ibis.literal(0.0)).round(
        4
    )
    if not weights:
        score = ibis.literal(50.0)
    level = ibis.cases(*((confidence >= low, name) for low, name in CONFIDENCE), else_="insufficient")
    grade = ibis.cases(
        (confidence < CONFIDENCE[-1][0], "unknown"), *((score >= low, name) for low, name in BANDS), else_="F"
    )
    low, high = _wilson(joined)
    empty = ibis.null("float64")
    return joined.select(
        "customer_id",
        value=score,
        value_effective=score,
        confidence=confidence,
        confidence_band=level,
        band=grade,
        **{name: values[name].round(3) if name in values else empty for name in WEIGHTS},
        csat_low=low,
        csat_high=high,
        ratings=sum((joined[f"n_{name}"].coalesce(0) for name in ("csat", "nps", "ces")), ibis.literal(0)).cast(
            "int64"
        ),
        tickets=joined.tickets.coalesce(0).cast("int64"),
        reasons=_reasons(joined, values, weights, priors),
        model_version=ibis.literal(priors.version),
        as_of=ibis.literal(as_of),
    )


def _rated(ratings: ir.Table, tickets: ir.Table, known: ir.Table) -> ir.Table:
    of = tickets.select("connection", "ticket_id", ticket_account=tickets.account_id)
    named = ratings.left_join(of, ["connection", "ticket_id"])
    named = named.mutate(account=named.account_id.coalesce(named.ticket_account))
    named = named.drop("account_id").rename(account_id="account")
    owned = named.inner_join(known, ["connection", "account_id"])
    share = (owned.score - owned.score_min) / (owned.score_max - owned.score_min).nullif(0.0)
    promoter = ibis.cases((share >= 0.9, 1.0), (share >= 0.7, 0.0), else_=-1.0)
    outcome = ibis.cases(
        (owned.kind == "csat", (share >= 0.75).cast("float64")), (owned.kind == "nps", promoter), else_=share
    )
    return owned.select("customer_id", component=owned.kind, at=owned.rated_at, y=outcome).filter(
        lambda t: t.y.notnull()
    )


def _served(owned: ir.Table, targets: Mapping[str, Mapping[str, float]]) -> list[ir.Table]:
    def one(name: str, at: ir.Value, y: ir.Value) -> ir.Table:
        picked = owned.select("customer_id", component=ibis.literal(name), at=at, y=y.cast("float64"))
        return picked.filter(picked.y.notnull(), picked.at.notnull())

    first = owned.first_reply_minutes <= _target(owned, targets["first_reply"])
    solved = owned.resolution_minutes <= _target(owned, targets["resolution"])
    return [
        one("sla_first", owned.created_at, first),
        one("sla_resolution", owned.solved_at, solved),
        one("reopen", owned.solved_at, owned.reopens > 0),
    ]


def _target(owned: ir.Table, minutes: Mapping[str, float]) -> ir.NumericValue:
    return ibis.cases(
        *((owned.priority == name, float(value)) for name, value in minutes.items()),
        else_=float(minutes["normal"]),
    )


def _backlog(owned: ir.Table, end: ir.Value, minutes: Mapping[str, float]) -> ir.Table:
    """Score open tickets by how far beyond their target they are: 100 is none, or all in time."""
    age, target = _days(end, owned.created_at) * 1440, _target(owned, minutes)
    beyond = ibis.least(ibis.greatest((age - target) / target, 0.0), 3.0) / 3
    urgency = ibis.cases(*((owned.priority == name, value) for name, value in URGENCY.items()), else_=URGENCY["normal"])
    is_open = ~owned.status.isin(["solved", "closed"])
    recent = owned.mutate(late=ibis.ifelse(is_open, urgency * beyond, 0.0), is_open=is_open).filter(
        _days(end, owned.created_at) <= WINDOW_DAYS
    )
    summed = recent.group_by("customer_id").agg(
        late=recent.late.sum(), open_late=((recent.late > 0).sum()).cast("int64"), tickets=recent.count()
    )
    return summed.select("customer_id", "tickets", "open_late", backlog=(ibis.literal(100.0) * (-summed.late).exp()))


def _days(end: ir.Value, at: ir.Value) -> ir.NumericValue:
    return (end.epoch_seconds() - at.epoch_seconds()).cast("float64") / 86400


def _value(joined: ir.Table, name: str, priors: Priors) -> ir.NumericValue:
    if name == "backlog":
        return joined.backlog.coalesce(priors.value("backlog"))
    m, pi = float(priors.m[name]), float(priors.pi[name])
    # the product is Python's: DuckDB reads both as DECIMAL and overflows
    mean = (joined[f"wy_{name}"].coalesce(0.0) + m * pi) / (joined[f"w_{name}"].coalesce(0.0) + m)
    return {"nps": 50 + 50 * mean, "reopen": 100 * (1 - mean)}.get(name, 100 * mean)


def _sure(joined: ir.Table, name: str, priors: Priors) -> ir.NumericValue:
    if name == "backlog":
        return joined.backlog.notnull().cast("float64")
    seen = joined[f"w_{name}"].coalesce(0.0)
    return seen / (seen + float(priors.m[name]))


def _wilson(joined: ir.Table) -> tuple[ir.NumericValue, ir.NumericValue]:
    """Give the score interval of the share of good ratings (Wilson 1927), by decayed counts."""
    n = joined.w_csat.nullif(0.0)
    p, z2 = joined.wy_csat / n, Z * Z
    center, half = (
        (p + z2 / (2 * n)) / (1 + z2 / n),
        Z * (p * (1 - p) / n + z2 / (4 * n * n)).sqrt() / (1 + z2 / n),
    )
    return ibis.greatest(center - half, 0.0).round(4), ibis.least(center + half, 1.0).round(4)


def _reasons(
    joined: ir.Table, values: Mapping[str, Any], weights: Mapping[str, float], priors: Priors
) -> ir.StringValue:
    def count(column: str) -> ir.StringValue:
        return whole(joined[column].coalesce(0))

    said = {
        "csat": count("k_csat") + " of " + count("n_csat") + " ratings good",
        "nps": count("n_nps") + " answers on recommending us",
        "ces": count("n_ces") + " answers on effort",
        "sla_first": count("k_sla_first") + " of " + count("n_sla_first") + " first replies in time",
        "sla_resolution": count("k_sla_resolution") + " of " + count("n_sla_resolution") + " tickets solved in time",
        "reopen": count("k_reopen") + " of " + count("n_reopen") + " solved tickets reopened",
        "backlog": count("open_late") + " open tickets beyond their target",
    }
    points = {name: (weight * (values[name] - priors.value(name))).round(2) for name, weight in weights.items()}
    if not points:
        return listed([reason("NO_DATA", "No tickets and no ratings anywhere", ibis.literal(0.0))])
    return listed([reason(name.upper(), said[name], points[name]) for name in points])


def _strength(counts: "np.ndarray[Any, Any]", pi: float, fallback: float) -> float:
    """Fit how many observations the portfolio weighs: beta-binomial likelihood on grouped counts."""
    if counts[:, 2].sum() < FEWEST or not 0 < pi < 1:
        return fallback

    def cost(log_m: float) -> float:
        a, b = np.exp(log_m) * pi, np.exp(log_m) * (1 - pi)
        k, n, weight = counts.T
        return -float(np.dot(weight, betaln(a + k, b + n - k) - betaln(a, b)))

    best = minimize_scalar(cost, bounds=(np.log(STRENGTH[0]), np.log(STRENGTH[1])), method="bounded")
    return float(np.clip(np.exp(best.x), *STRENGTH))


def _rounded(values: Mapping[str, float]) -> list[tuple[str, str]]:
    return [(name, f"{value:.6g}") for name, value in values.items()]
