"""Key accounts: the total of the criteria, rank, tier and quadrant of every customer, and why."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from transforms.scores.criteria import GROUPS, NEUTRAL, Criterion, version
from transforms.scores.criteria_scores import reasons, totals
from transforms.scores.overrides import in_force, laid_over
from transforms.scores.tiers import next_review, places, ranked, tiered


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
    review_months: int = 3,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> ir.Table:
    """Total the criteria, rank the eligible and give tiers; a tier changes on review dates only, or by override.

    `previous` is the last key_accounts table. Members keep their place while they are eligible and rank within 1.5
    times the places; free places are filled by rank. B is the next 15 % of the eligible, C the rest. An overridden
    total counts for rank and tier.
    """
    t = with_totals(key_account_criteria, customers, missing, overrides, as_of)
    t = ranked(t, min_total=min_total, min_coverage=min_coverage)
    t = t.cross_join(places(t, capacity))
    band = ibis.cases((t["rank"] <= t.places, "A"), (t["rank"] <= t.places + t.second, "B"), else_="C")
    t = tiered(t.mutate(band=band), previous, is_review)
    t = laid_over(t, in_force(overrides, as_of), "tier", "tier")
    t = t.left_join(reasons(key_account_criteria, criteria), "customer_id").drop("customer_id_right")
    return t.select(
        "customer_id",
        value=t.computed,
        value_effective=t.total,
        **{group: t[group] for group in GROUPS},
        coverage=t.coverage,
        is_eligible=t.is_eligible,
        rank=t["rank"],
        band=t.band,
        tier_computed=t.tier_computed,
        tier=t.forced_tier.coalesce(t.tier_computed),
        quadrant=_quadrant(t),
        override_id=t.override_tier.coalesce(t.override_key_account),
        reasons=t.reasons,
        next_review_on=ibis.literal(next_review(as_of, review_months)),
        model_version=ibis.literal(version(criteria, missing)),
        as_of=ibis.literal(as_of),
    )


def with_totals(
    key_account_criteria: ir.Table,
    customers: ir.Table,
    missing: str,
    overrides: Sequence[Mapping[str, Any]],
    as_of: date,
) -> ir.Table:
    """Put the totals beside what ranking asks of a customer; `computed` is the total without an override of it."""
    t = totals(key_account_criteria, missing)
    t = t.inner_join(customers.select("customer_id", "status", "account_manager", "revenue_l12_amount"), "customer_id")
    t = laid_over(t, in_force(overrides, as_of), "key_account")
    return t.mutate(computed=t.total, total=t.forced_key_account.coalesce(t.total))


def _quadrant(t: ir.Table) -> ir.StringValue:
    """Place a customer by what it is worth (growth, value creation) and how near it is (harmony)."""
    worth = (t.growth.coalesce(NEUTRAL) + t.value_creation.coalesce(NEUTRAL)) / 2 >= NEUTRAL
    near = t.harmony.coalesce(NEUTRAL) >= NEUTRAL
    return ibis.cases((worth & near, "key"), (worth, "development"), (near, "maintenance"), else_="opportunistic")
