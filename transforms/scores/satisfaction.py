"""Satisfaction: seven components, each shrunk to the portfolio by how little is known, and the confidence of it all."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import ibis
import ibis.expr.types as ir

from transforms.joins import with_customer
from transforms.scores.reasons import listed, reason, whole
from transforms.scores.satisfaction_priors import WEIGHTS, Priors

HALF_LIFE_DAYS, WINDOW_DAYS = 180, 730
ASKED = ("csat", "nps", "ces")
LN2 = 0.6931471805599453
URGENCY = {"urgent": 4.0, "high": 3.0, "normal": 2.0, "low": 1.0}
BANDS = ((85, "A"), (75, "B"), (65, "C"), (50, "D"))
CONFIDENCE = ((0.6, "high"), (0.3, "medium"), (0.1, "low"))
Z = 1.959964


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
    180 days and counts for 730. A ticket that was answered or solved after `as_of` was not yet.
    """
    end = ibis.literal(datetime.combine(as_of, time.max, UTC), "timestamp('UTC')")
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    heard = ratings.filter(ratings.rated_at <= end)
    rated = _rating_outcomes(heard, tickets, account_customers)
    answers = _component_sums(
        rated, {name: (rated.at, ibis.ifelse(rated.kind == name, rated.y, None)) for name in ASKED}, end
    )
    owned = _rated_tickets(tickets.filter(tickets.created_at <= end), account_customers, heard)
    aside = _backlog(owned, end, targets["resolution"]) | _rating_coverage(owned, end)
    service = _component_sums(owned, _service_outcomes(owned, targets, end), end, **aside)
    service = service.mutate(backlog=ibis.literal(100.0) * (-service.late).exp()).drop("late")
    both = answers.outer_join(service, "customer_id")
    return both.mutate(customer_id=both.customer_id.coalesce(both.customer_id_right)).drop("customer_id_right")


def satisfaction(customers: ir.Table, observations: ir.Table, *, as_of: date, priors: Priors) -> ir.Table:
    """Score every customer: the weighted sum of its components, each between its own data and the portfolio's."""
    weights = priors.active()
    joined = customers.select("customer_id").left_join(observations, "customer_id").drop("customer_id_right")
    values = {name: _value(joined, name, priors) for name in weights}
    sure = {name: _own_weight_share(joined, name, priors) for name in weights}
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
    low, high = _wilson(joined.wy_csat, joined.w_csat)
    rated, solved = (joined[name].cast("float64") for name in ("rated", "solved"))
    response_low, response_high = _wilson(rated, solved)
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
        response_rate=(rated / solved.nullif(0.0)).round(4),
        response_low=response_low,
        response_high=response_high,
        ratings=sum((joined[f"n_{name}"].coalesce(0) for name in ASKED), ibis.literal(0)).cast("int64"),
        tickets=joined.tickets.coalesce(0).cast("int64"),
        reasons=_reasons(joined, score, values, priors),
        model_version=ibis.literal(priors.version),
        as_of=ibis.literal(as_of),
    )


def _component_sums(
    rows: ir.Table, observed: Mapping[str, tuple[ir.Value, ir.NumericValue]], end: ir.Value, **aside: ir.Value
) -> ir.Table:
    """Sum up by customer what each component observed, (when, outcome), and whatever else is asked of the same rows."""
    sums: dict[str, ir.Value] = {}
    for name, (at, y) in observed.items():
        age = _days(end, at)
        counts = (y.notnull() & (at <= end) & (age <= WINDOW_DAYS)).coalesce(False)
        w = (age * (-LN2 / HALF_LIFE_DAYS)).exp()
        sums[f"w_{name}"] = w.sum(where=counts).coalesce(0.0)
        sums[f"wy_{name}"] = (w * y).sum(where=counts).coalesce(0.0)
        sums[f"k_{name}"] = y.sum(where=counts).coalesce(0.0)
        sums[f"n_{name}"] = counts.sum().cast("int64")
    return rows.group_by("customer_id").agg(**sums, **aside)


def _rating_outcomes(ratings: ir.Table, tickets: ir.Table, account_customers: ir.Table) -> ir.Table:
    of = tickets.select("connection", "ticket_id", ticket_account=tickets.account_id)
    named = ratings.left_join(of, ["connection", "ticket_id"])
    named = named.mutate(account=named.account_id.coalesce(named.ticket_account))
    named = named.drop("account_id").rename(account_id="account")
    owned = named.inner_join(account_customers, ["connection", "account_id"])
    share = ((owned.score - owned.score_min) / (owned.score_max - owned.score_min).nullif(0.0)).round(9)
    promoter = ibis.cases((share >= 0.9, 1.0), (share >= 0.7, 0.0), else_=-1.0)
    outcome = ibis.cases(
        (owned.kind == "csat", (share >= 0.75).cast("float64")), (owned.kind == "nps", promoter), else_=share
    )
    answers = owned.select("customer_id", kind=owned.kind, at=owned.rated_at, share=share, y=outcome)
    return answers.filter(answers.share >= 0, answers.share <= 1).drop("share")


def _rated_tickets(tickets: ir.Table, account_customers: ir.Table, ratings: ir.Table) -> ir.Table:
    """Give each ticket its customer, and whether it was rated."""
    rated = ratings.filter(ratings.kind == "csat", ratings.ticket_id.notnull())
    rated = rated.select("connection", "ticket_id").distinct().mutate(is_rated=True)
    owned = with_customer(tickets, account_customers).left_join(rated, ["connection", "ticket_id"])
    return owned.select(*tickets.columns, "customer_id", is_rated=owned.is_rated.coalesce(False))


def _service_outcomes(
    owned: ir.Table, targets: Mapping[str, Mapping[str, float]], end: ir.Value
) -> dict[str, tuple[ir.Value, ir.NumericValue]]:
    answered = owned.first_reply_minutes <= _days(end, owned.created_at) * 1440
    first = owned.first_reply_minutes <= _target(owned, targets["first_reply"])
    solved = owned.resolution_minutes <= _target(owned, targets["resolution"])
    return {
        "sla_first": (owned.created_at, ibis.ifelse(answered, first, None).cast("float64")),
        "sla_resolution": (owned.solved_at, solved.cast("float64")),
        "reopen": (owned.solved_at, (owned.reopens > 0).cast("float64")),
    }


def _target(owned: ir.Table, minutes: Mapping[str, float]) -> ir.NumericValue:
    return ibis.cases(
        *((owned.priority == name, float(value)) for name, value in minutes.items()),
        else_=float(minutes["normal"]),
    )


def _backlog(owned: ir.Table, end: ir.Value, minutes: Mapping[str, float]) -> dict[str, ir.Value]:
    """Weigh open tickets by how far beyond their target they are: nothing is none, or all in time."""
    age, target = _days(end, owned.created_at) * 1440, _target(owned, minutes)
    beyond = ibis.least(ibis.greatest((age - target) / target, 0.0), 3.0) / 3
    urgency = ibis.cases(*((owned.priority == name, value) for name, value in URGENCY.items()), else_=URGENCY["normal"])
    is_open = ~owned.status.isin(["solved", "closed"]) | (owned.solved_at > end).coalesce(False)
    late, recent = ibis.ifelse(is_open, urgency * beyond, 0.0), _days(end, owned.created_at) <= WINDOW_DAYS
    return {
        "late": late.sum(where=recent),
        "open_late": ((late > 0) & recent).sum().cast("int64"),
        "tickets": recent.sum().cast("int64"),
    }


def _rating_coverage(owned: ir.Table, end: ir.Value) -> dict[str, ir.Value]:
    """Count the tickets that were solved, and those of them that were rated; who is silent is never taken for unhappy."""
    solved = ((owned.solved_at <= end) & (_days(end, owned.solved_at) <= WINDOW_DAYS)).coalesce(False)
    return {"solved": solved.sum().cast("int64"), "rated": (solved & owned.is_rated).sum().cast("int64")}


def _days(end: ir.Value, at: ir.Value) -> ir.NumericValue:
    return (end.epoch_seconds() - at.epoch_seconds()).cast("float64") / 86400


def _value(joined: ir.Table, name: str, priors: Priors) -> ir.NumericValue:
    if name == "backlog":
        return joined.backlog.coalesce(priors.value("backlog"))
    m, pi = float(priors.m[name]), float(priors.pi[name])
    # the product is Python's: DuckDB reads both as DECIMAL and overflows
    mean = (joined[f"wy_{name}"].coalesce(0.0) + m * pi) / (joined[f"w_{name}"].coalesce(0.0) + m)
    return {"nps": 50 + 50 * mean, "reopen": 100 * (1 - mean)}.get(name, 100 * mean)


def _own_weight_share(joined: ir.Table, name: str, priors: Priors) -> ir.NumericValue:
    if name == "backlog":
        return joined.backlog.notnull().cast("float64")
    weight = joined[f"w_{name}"].coalesce(0.0)
    return weight / (weight + float(priors.m[name]))


def _wilson(good: ir.NumericValue, total: ir.NumericValue) -> tuple[ir.NumericValue, ir.NumericValue]:
    """Give the score interval of a share (Wilson 1927); counts may be decayed."""
    n = total.nullif(0.0)
    p, z2 = ibis.least(good / n, 1.0), Z * Z
    center = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * (p * (1 - p) / n + z2 / (4 * n * n)).sqrt() / (1 + z2 / n)
    return ibis.greatest(center - half, 0.0).round(4), ibis.least(center + half, 1.0).round(4)


def _reasons(
    joined: ir.Table, score: ir.NumericValue, values: Mapping[str, ir.NumericValue], priors: Priors
) -> ir.StringValue:
    def count(column: str) -> ir.StringValue:
        return whole(joined[column].coalesce(0))

    texts = {
        "csat": count("k_csat") + " of " + count("n_csat") + " ratings good",
        "nps": count("n_nps") + " recommendation scores (NPS)",
        "ces": count("n_ces") + " effort scores (CES)",
        "sla_first": count("k_sla_first") + " of " + count("n_sla_first") + " first replies in time",
        "sla_resolution": count("k_sla_resolution") + " of " + count("n_sla_resolution") + " tickets solved in time",
        "reopen": count("k_reopen") + " of " + count("n_reopen") + " solved tickets reopened",
        "backlog": count("open_late") + " open tickets beyond their target",
    }
    points = _points(score, values, priors)
    if not points:
        return listed([reason("NO_DATA", "No tickets and no ratings anywhere", ibis.literal(0.0))])
    return listed([reason(name.upper(), texts[name], points[name]) for name in points])


def _points(
    score: ir.NumericValue, values: Mapping[str, ir.NumericValue], priors: Priors
) -> dict[str, ir.NumericValue]:
    """Share the distance to the portfolio among the components; the first bears what rounding leaves, so they add up."""
    weights = priors.active()
    points = {name: (weight * (values[name] - priors.value(name))).round(2) for name, weight in weights.items()}
    portfolio = round(sum(weight * priors.value(name) for name, weight in weights.items()), 2)
    first, *others = points or [""]
    if points:
        points[first] = (score - portfolio - sum((points[name] for name in others), ibis.literal(0.0))).round(2)
    return points
