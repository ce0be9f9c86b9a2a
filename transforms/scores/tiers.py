"""Who is in the front row: rank among the eligible, places, and tiers that change at review dates only."""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

STAY = 1.5  # a member stays while its rank is within 1.5 times the places
MOST = 35
PER_MANAGER = 8


def ranked(t: ir.Table, *, min_total: float, min_coverage: float, group: Sequence[str] = ()) -> ir.Table:
    """Tell who is eligible and rank them: by total, revenue, coverage, then by id, so that nobody ties."""
    is_eligible = (t.status == "active") & (t.coverage >= min_coverage) & (t.total >= min_total)
    t = t.mutate(is_eligible=is_eligible)
    order = [
        t.is_eligible.desc(),
        t.total.desc(),
        t.revenue_l12_amount.desc(),
        t.coverage.desc(),
        t.customer_id,
    ]
    t = t.mutate(place=ibis.row_number().over(group_by=group, order_by=order) + 1)
    return t.mutate(rank=ibis.ifelse(t.is_eligible, t.place, None).cast("int64")).drop("place")


def places(t: ir.Table, capacity: int | None) -> ir.Table:
    """Count the places of tier A and of tier B: as configured, else eight a manager, else 5 % of the active."""
    active = (t.status == "active").sum()
    fewest = ibis.greatest((active * 0.05).ceil().cast("int64"), 1)
    managed = t.account_manager.nunique(where=t.status == "active") * PER_MANAGER
    chosen = (
        ibis.literal(capacity, "int64") if capacity else ibis.least(ibis.ifelse(managed > 0, managed, fewest), MOST)
    )
    counted = t.agg(places=chosen.cast("int64"), eligible=t.is_eligible.sum())
    return counted.select("places", second=(counted.eligible * 0.15).ceil().cast("int64"))


def tiered(t: ir.Table, previous: ir.Table, is_review: bool) -> ir.Table:
    """Give the computed tier: between reviews the last one, at a review by rank, members first."""
    last = previous.select("customer_id", last_tier="tier_computed")
    t = t.left_join(last, "customer_id").drop("customer_id_right")
    if not is_review:
        return t.mutate(tier_computed=t.last_tier.coalesce("C"))
    stays_a = (t.last_tier == "A") & t.is_eligible & (t["rank"] <= (t.places * STAY).floor())
    stays_b = t.last_tier.isin(["A", "B"]) & t.is_eligible & (t["rank"] <= ((t.places + t.second) * STAY).floor())
    t = t.mutate(stays_a=stays_a.coalesce(False), stays_b=stays_b.coalesce(False))
    others = ibis.row_number().over(order_by=[t.stays_a, t["rank"].fill_null(1_000_000_000), t.customer_id]) + 1
    t = t.mutate(queue=others, members=t.stays_a.sum().over())
    is_a = t.stays_a | (t.is_eligible & (t.queue <= t.places - t.members))
    return t.mutate(tier_computed=ibis.cases((is_a, "A"), (t.stays_b | (t.band != "C"), "B"), else_="C"))


def review_due(previous: date | None, as_of: date, months: int) -> bool:
    """Tell whether a review date lies between two builds: the first day of every so many months."""
    return previous is None or _period(previous, months) < _period(as_of, months)


def next_review(as_of: date, months: int) -> date:
    """Name the next day on which tiers may change."""
    month = (_period(as_of, months) + 1) * months
    return date(month // 12, month % 12 + 1, 1)


def _period(day: date, months: int) -> int:
    return (day.year * 12 + day.month - 1) // months
