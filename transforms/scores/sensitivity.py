"""Sensitivity: would the list of key accounts be another one, had a criterion weighed a tenth more or less?"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from transforms.scores.criteria import Criterion
from transforms.scores.key_accounts import with_totals
from transforms.scores.tiers import places, ranked

STEP = 10  # percent
SHOWN = 10  # customers named in each direction


def key_account_sensitivity(
    key_account_criteria: ir.Table,
    customers: ir.Table,
    *,
    as_of: date,
    criteria: Sequence[Criterion],
    missing: str = "neutral",
    min_total: float = 6.0,
    min_coverage: float = 0.6,
    capacity: int | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> ir.Table:
    """Rank anew with each weight 10 % lower and higher, and name who would enter and leave the suggested tier A."""
    limits: dict[str, Any] = {"min_total": min_total, "min_coverage": min_coverage}
    t = ranked(with_totals(key_account_criteria, customers, missing, overrides, as_of), **limits)
    near = _near_threshold(t.cross_join(places(t, capacity)), criteria, missing)
    new = ranked(
        _with_changed_weights(near, key_account_criteria, missing), **limits, group=("criterion", "change_pct")
    )
    new = new.mutate(would=(new["rank"] <= new.places).coalesce(False))
    new = new.mutate(enters=new.would & ~new.is_in, leaves=new.is_in & ~new.would)
    listed = new.group_by("criterion", "change_pct", "criterion_weight", "places").agg(
        members=new.is_in.sum(),
        entering=new.enters.sum(),
        leaving=new.leaves.sum(),
        enter=_customer_names(new, new.enters),
        leave=_customer_names(new, new.leaves),
    )
    is_stable = (listed.entering == 0) & (listed.leaving == 0)
    return listed.rename(weight="criterion_weight").mutate(is_stable=is_stable, as_of=ibis.literal(as_of))


def _near_threshold(t: ir.Table, criteria: Sequence[Criterion], missing: str) -> ir.Table:
    """Keep those near enough to the cut that a tenth of a weight can carry them over it: sorting all is dear."""
    weights = [criterion.weight for criterion in criteria]
    total_weight = sum(weights) if missing != "renormalise" else 0.0
    moved = [weight * STEP / 100 for weight in weights if weight and total_weight]
    reach = [9 * weight / (total_weight - weight) for weight in moved]
    t = t.mutate(is_in=(t["rank"] <= t.places).coalesce(False))
    if not reach:
        return t
    cut = t.agg(cut=t.total.min(where=t.is_in))
    joined = t.cross_join(cut)
    return joined.filter(joined.is_in | (joined.total >= joined.cut.coalesce(0.0) - 2 * max(reach)))


def _with_changed_weights(near: ir.Table, long: ir.Table, missing: str) -> ir.Table:
    """Give each customer a total and a coverage for each weight that is moved up or down."""
    has = long.measured.notnull() | long.override_id.notnull()
    weighed = long.mutate(has=has).filter(long.weight > 0)
    weights = long.mutate(has=has).group_by("customer_id")
    weights = weights.agg(all_weight=lambda t: t.weight.sum(), known_weight=lambda t: t.weight.sum(where=t.has))
    weighed = weighed.select("customer_id", "criterion", "has", score="score_effective", criterion_weight="weight")
    t = near.inner_join(weighed, "customer_id").inner_join(weights, "customer_id")
    t = t.mutate(known_weight=t.known_weight.coalesce(0.0), change_pct=ibis.array([-STEP, STEP]).unnest())
    more = t.criterion_weight * t.change_pct / 100.0
    covered = ibis.ifelse(t.has, more, 0.0)
    added, weight = (covered, t.known_weight) if missing == "renormalise" else (more, t.all_weight)
    total = (t.computed * weight + added * t.score) / (weight + added).nullif(0.0)
    return t.mutate(
        total=t.forced_key_account.coalesce(total.round(4)).coalesce(t.total),
        coverage=((t.known_weight + covered) / (t.all_weight + more)).round(4),
    )


def _customer_names(t: ir.Table, where: ir.BooleanValue) -> ir.StringValue:
    ids = t.customer_id.collect(where=where, order_by=t.customer_id)
    return ids[:SHOWN].join(", ").nullif("")
