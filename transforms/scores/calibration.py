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
    unchanged_reason: str | None = None


def calibrated(
    key_account_criteria: ir.Table, customers: ir.Table, criteria: Sequence[Criterion], fixed: Mapping[str, str]
) -> list[Anchors]:
    """Take the quantiles 5, 15, ... 95 % of what active customers measure as the ten anchors of each criterion.

    Equal quantiles become equal anchors, which score their mean. `fixed` names criteria that keep their anchors, and
    why. Anchors are rounded to three digits: nobody owes a score to the fourth.
    """
    active = customers.filter(customers.status == "active").select("customer_id")
    values = key_account_criteria.filter(key_account_criteria.measured.notnull()).semi_join(active, "customer_id")
    quantiles = values.group_by("criterion").agg(n=values.count(), at=values.measured.quantile(list(SHARES)))
    rows = {row["criterion"]: row for row in quantiles.to_pyarrow().to_pylist()}
    return [_anchors(criterion, rows.get(criterion.name), fixed.get(criterion.name)) for criterion in criteria]


def rescored(key_account_criteria: ir.Table, criteria: Sequence[Criterion]) -> ir.Table:
    """Put what was measured back into a column a criterion, for scoring with other anchors."""
    long = key_account_criteria
    columns = {criterion.name: long.measured.max(where=long.criterion == criterion.name) for criterion in criteria}
    return long.group_by("customer_id").agg(**columns)


def with_anchors(criteria: Sequence[Criterion], new_anchors: Sequence[Anchors]) -> tuple[Criterion, ...]:
    """Give the criteria their new anchors."""
    after = {item.criterion: item.after for item in new_anchors}
    return tuple(replace(item, anchors=after[item.name]) for item in criteria)


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


def _anchors(criterion: Criterion, row: Mapping[str, Any] | None, fixed: str | None) -> Anchors:
    n = int(row["n"]) if row else 0
    if fixed or row is None or n < FEWEST:
        reason = fixed or f"only {n} active customers have a value, {FEWEST} are needed"
        return Anchors(criterion.name, criterion.anchors, criterion.anchors, n, reason)
    values = tuple(float(f"{value:.{DIGITS}g}") for value in row["at"])
    if values[0] == values[-1]:
        return Anchors(
            criterion.name, criterion.anchors, criterion.anchors, n, "nearly all active customers have the same value"
        )
    return Anchors(criterion.name, criterion.anchors, values[::-1] if criterion.is_falling else values, n)
