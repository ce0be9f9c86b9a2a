"""Key accounts: every criterion of every customer, the totals, and who is in the front row."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from transforms.criteria import GROUPS, NEUTRAL, Criterion, version
from transforms.reasons import listed

STAY = 1.5  # a member stays while its rank is within 1.5 times the places
MOST = 35
PER_MANAGER = 8
OVERRIDE = {
    "customer_id": "string",
    "criterion": "string",
    "score": "float64",
    "override_id": "string",
    "created_on": "date",
    "expires_on": "date",
}


def key_account_criteria(
    measured: ir.Table,
    *,
    as_of: date,
    criteria: Sequence[Criterion],
    missing: str = "neutral",
    overrides: Sequence[Mapping[str, Any]] = (),
) -> ir.Table:
    """Score every criterion of every customer: 5.5 where there is no data, unless `missing` says zero (1)."""
    total = sum(criterion.weight for criterion in criteria)
    rows = [
        measured.select(
            "customer_id",
            criterion=ibis.literal(criterion.name),
            group=ibis.literal(criterion.group),
            weight=ibis.literal(float(criterion.weight)),
            measured=measured[criterion.name].cast("float64").round(9),
            raw=criterion.score(measured[criterion.name]),
        )
        for criterion in criteria
    ]
    long = ibis.union(*rows) if len(rows) > 1 else rows[0]
    long = long.mutate(score=long.raw.coalesce(1.0 if missing == "zero" else NEUTRAL))
    long = _overridden(long, overrides, as_of)
    effective = long.forced.coalesce(long.score)
    return long.select(
        "customer_id",
        "criterion",
        "group",
        "weight",
        "measured",
        "score",
        score_effective=effective,
        contribution=(long.weight * (effective - NEUTRAL) / total).round(9),
        override_id=long.override_id,
        as_of=ibis.literal(as_of),
    )


def key_accounts(
    key_account_criteria: ir.Table,
    customers: ir.Table,
    previous: ir.Table,
    *,
    as_of: date,
    criteria: Sequence[Criterion],
    missing: str = "neutral",
    min_total: float = 6.0,
    min_coverage: float = 0.6,
    capacity: int | None = None,
    is_review: bool = True,
) -> ir.Table:
    """Total the criteria, rank the eligible and give tiers; a tier changes on review dates only.

    `previous` is the last key_accounts table. Members keep their place while they are eligible and rank within 1.5
    times the places; free places are filled by rank. B is the next 15 % of the eligible, C the rest.
    """
    t = _totals(key_account_criteria, missing)
    t = t.inner_join(customers.select("customer_id", "status", "account_manager", "revenue_l12_amount"), "customer_id")
    is_eligible = (t.status == "active") & (t.coverage >= min_coverage) & (t.total >= min_total)
    t = t.mutate(is_eligible=is_eligible)
    order = [
        t.is_eligible.desc(),
        t.total.desc(),
        t.revenue_l12_amount.desc(),
        t.coverage.desc(),
        t.customer_id,
    ]
    t = t.mutate(place=ibis.row_number().over(order_by=order) + 1)
    t = t.mutate(rank=ibis.ifelse(t.is_eligible, t.place, None).cast("int64"))
    t = t.cross_join(_places(t, capacity))
    band = ibis.cases((t["rank"] <= t.places, "A"), (t["rank"] <= t.places + t.second, "B"), else_="C")
    t = _tiers(t.mutate(band=band), previous, is_review)
    t = t.left_join(_reasons(key_account_criteria, criteria), "customer_id").drop("customer_id_right")
    reach = (t.growth.coalesce(NEUTRAL) + t.value_creation.coalesce(NEUTRAL)) / 2 >= NEUTRAL
    close = t.harmony.coalesce(NEUTRAL) >= NEUTRAL
    quadrant = ibis.cases((reach & close, "key"), (reach, "development"), (close, "maintenance"), else_="opportunistic")
    return t.select(
        "customer_id",
        value=t.total,
        value_effective=t.total,
        **{group: t[group] for group in GROUPS},
        coverage=t.coverage,
        is_eligible=t.is_eligible,
        rank=t["rank"],
        band=t.band,
        tier=t.tier,
        quadrant=quadrant,
        reasons=t.reasons,
        model_version=ibis.literal(version(criteria, missing)),
        as_of=ibis.literal(as_of),
    )


def review_due(previous: date | None, as_of: date, months: int) -> bool:
    """Tell whether a review date lies between two builds: the first day of every so many months."""
    if previous is None:
        return True
    period = (as_of.year * 12 + as_of.month - 1) // months
    return (previous.year * 12 + previous.month - 1) // months < period


def _overridden(long: ir.Table, overrides: Sequence[Mapping[str, Any]], as_of: date) -> ir.Table:
    """Lay the overrides in force over the computed scores; of several the newest wins."""
    if not overrides:
        return long.mutate(forced=ibis.null("float64"), override_id=ibis.null("string"))
    given = ibis.memtable([{name: row[name] for name in OVERRIDE} for row in overrides], schema=ibis.schema(OVERRIDE))
    given = given.filter(given.created_on <= as_of, given.expires_on > as_of)
    newest = ibis.row_number().over(
        group_by=["customer_id", "criterion"], order_by=[given.created_on.desc(), given.override_id.desc()]
    )
    given = given.mutate(nth=newest).filter(lambda t: t.nth == 0)
    chosen = given.select("customer_id", "criterion", "override_id", forced=given.score)
    return long.left_join(chosen, ["customer_id", "criterion"]).drop("customer_id_right", "criterion_right")


def _totals(criteria: ir.Table, missing: str) -> ir.Table:
    has = criteria.measured.notnull() | criteria.override_id.notnull()
    counted = has if missing == "renormalise" else ibis.literal(True)
    worth = criteria.weight * criteria.score_effective

    def mean(where: ir.BooleanValue) -> ir.NumericValue:
        return worth.sum(where=where & counted) / criteria.weight.sum(where=where & counted).nullif(0.0)

    everything = ibis.literal(True)
    return criteria.group_by("customer_id").agg(
        total=mean(everything).coalesce(NEUTRAL).round(4),
        coverage=(criteria.weight.sum(where=has).coalesce(0.0) / criteria.weight.sum()).round(4),
        **{group: mean(criteria.group == group).round(4) for group in GROUPS},
    )


def _places(t: ir.Table, capacity: int | None) -> ir.Table:
    active = (t.status == "active").sum()
    fewest = ibis.greatest((active * 0.05).ceil().cast("int64"), 1)
    managed = t.account_manager.nunique(where=t.status == "active") * PER_MANAGER
    chosen = (
        ibis.literal(capacity, "int64") if capacity else ibis.ifelse(managed > 0, ibis.least(managed, MOST), fewest)
    )
    counted = t.agg(places=chosen.cast("int64"), eligible=t.is_eligible.sum())
    return counted.select("places", second=(counted.eligible * 0.15).ceil().cast("int64"))


def _tiers(t: ir.Table, previous: ir.Table, is_review: bool) -> ir.Table:
    last = previous.select("customer_id", last_tier="tier")
    t = t.left_join(last, "customer_id").drop("customer_id_right")
    if not is_review:
        return t.mutate(tier=t.last_tier.coalesce(t.band))
    stays_a = (t.last_tier == "A") & t.is_eligible & (t["rank"] <= (t.places * STAY).floor())
    stays_b = t.last_tier.isin(["A", "B"]) & t.is_eligible & (t["rank"] <= ((t.places + t.second) * STAY).floor())
    t = t.mutate(stays_a=stays_a.coalesce(False), stays_b=stays_b.coalesce(False))
    others = ibis.row_number().over(order_by=[t.stays_a, t["rank"].fill_null(1_000_000), t.customer_id]) + 1
    t = t.mutate(queue=others, members=t.stays_a.sum().over())
    is_a = t.stays_a | (t.is_eligible & (t.queue <= t.places - t.members))
    return t.mutate(tier=ibis.cases((is_a, "A"), (t.stays_b | (t.band != "C"), "B"), else_="C"))


def _reasons(scored: ir.Table, criteria: Sequence[Criterion]) -> ir.Table:
    """Name the three criteria that add most and the three that take most, and sum up the rest."""
    best = ibis.row_number().over(group_by="customer_id", order_by=[scored.contribution.desc(), scored.criterion])
    worst = ibis.row_number().over(group_by="customer_id", order_by=[scored.contribution, scored.criterion])
    t = scored.mutate(best=best, worst=worst)
    t = t.mutate(named=((t.best < 3) & (t.contribution > 0)) | ((t.worst < 3) & (t.contribution < 0)))
    label = ibis.cases(*((t.criterion == one.name, one.label) for one in criteria), else_=t.criterion)
    shown = ibis.ifelse(t.measured.isnull(), "no data", t.measured.round(2).cast("string"))
    points = t.contribution.round(2)
    text = (
        ibis.literal('{"code":"')
        + t.criterion.upper()
        + '","text":"'
        + label
        + ": "
        + shown
        + '","points":'
        + points.cast("string")
        + "}"
    )
    t = t.mutate(text=text, points=points)
    grouped = t.group_by("customer_id").agg(
        said=t.text.group_concat(",", where=t.named, order_by=[t.contribution.abs().desc(), t.criterion]),
        rest=(t.contribution.sum().round(2) - t.points.sum(where=t.named).coalesce(0.0)).round(2),
    )
    others = ibis.literal('{"code":"OTHERS","text":"All other criteria","points":') + grouped.rest.cast("string") + "}"
    joined = ibis.ifelse(grouped.said.isnull(), others, grouped.said + "," + others)
    return grouped.select("customer_id", reasons=listed([joined]))
