"""Calibration: anchors from the portfolio itself, so that scores spread, and stay put until the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ibis.expr.types as ir

from transforms.scores.criteria import Criterion

SHARES = tuple(round(0.05 + 0.1 * step, 2) for step in range(10))  # 5, 15, ... 95 %
FEWEST = 30  # active customers with a value: of fewer no quantiles are taken
DIGITS = 3


@dataclass(frozen=True)
class Anchors:
    """Say what became of one criterion: its new anchors, or why it keeps the old ones."""

    criterion: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    values: int
    kept: str | None = None


def calibrated(
    key_account_criteria: ir.Table, customers: ir.Table, criteria: Sequence[Criterion], fixed: Mapping[str, str]
) -> list[Anchors]:
    """Take the quantiles 5, 15, ... 95 % of what active customers measure as the ten anchors of each criterion.

    Equal quantiles become equal anchors, which score their mean. `fixed` names criteria that keep their anchors, and
    why. Anchors are rounded to three digits: nobody owes a score to the fourth.
    """
    active = customers.filter(customers.status == "active").select("customer_id")
    known = key_account_criteria.filter(key_account_criteria.measured.notnull()).semi_join(active, "customer_id")
    found = known.group_by("criterion").agg(n=known.count(), at=known.measured.quantile(list(SHARES)))
    rows = {row["criterion"]: row for row in found.to_pyarrow().to_pylist()}
    return [_anchors(one, rows.get(one.name), fixed.get(one.name)) for one in criteria]


def rescored(key_account_criteria: ir.Table, criteria: Sequence[Criterion]) -> ir.Table:
    """Put what was measured back into a column a criterion, for scoring with other anchors."""
    long = key_account_criteria
    columns = {one.name: long.measured.max(where=long.criterion == one.name) for one in criteria}
    return long.group_by("customer_id").agg(**columns)


def with_anchors(criteria: Sequence[Criterion], found: Sequence[Anchors]) -> tuple[Criterion, ...]:
    """Give the criteria their new anchors."""
    after = {one.criterion: one.after for one in found}
    return tuple(replace(one, anchors=after[one.name]) for one in criteria)


def moved(before: ir.Table, after: ir.Table, customers: ir.Table) -> ir.Table:
    """List the customers whose suggested tier another calibration changes, by how much their total moves."""
    old = before.select("customer_id", before="value_effective", band_before="band")
    new = after.select("customer_id", after="value_effective", band_after="band")
    joined = old.inner_join(new, "customer_id").inner_join(customers.select("customer_id", "name"), "customer_id")
    changed = joined.filter(joined.band_before != joined.band_after)
    return changed.order_by(changed.band_after, changed.after.desc(), changed.customer_id)


def spread(before: ir.Table, after: ir.Table) -> ir.Table:
    """Tell by criterion the mean score before and after, and how much scores move on average."""
    old = before.select("customer_id", "criterion", before="score_effective")
    new = after.select("customer_id", "criterion", after="score_effective")
    t = old.inner_join(new, ["customer_id", "criterion"])
    return t.group_by("criterion").agg(
        before=t.before.mean().round(2), after=t.after.mean().round(2), moves=(t.after - t.before).abs().mean().round(2)
    )


def _anchors(one: Criterion, row: Mapping[str, Any] | None, fixed: str | None) -> Anchors:
    n = int(row["n"]) if row else 0
    if fixed or row is None or n < FEWEST:
        why = fixed or f"only {n} active customers have a value, {FEWEST} are needed"
        return Anchors(one.name, one.anchors, one.anchors, n, why)
    values = tuple(float(f"{value:.{DIGITS}g}") for value in row["at"])
    if values[0] == values[-1]:
        return Anchors(one.name, one.anchors, one.anchors, n, "nearly all active customers have the same value")
    return Anchors(one.name, one.anchors, values[::-1] if one.is_falling else values, n)
