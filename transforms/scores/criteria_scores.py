"""Every criterion of every customer scored, and the totals of them."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from transforms.scores.criteria import GROUPS, NEUTRAL, Criterion
from transforms.scores.overrides import in_force


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
    forced = in_force(overrides, as_of).select("customer_id", "override_id", criterion="what", forced="score")
    long = long.left_join(forced, ["customer_id", "criterion"]).drop("customer_id_right", "criterion_right")
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


def totals(criteria: ir.Table, missing: str) -> ir.Table:
    """Sum up the criteria of each customer: the total, the groups, and how much of the weight rests on data."""
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


def reasons(scored: ir.Table, criteria: Sequence[Criterion]) -> ir.Table:
    """Name the three criteria that add most and the three that take most, and sum up the rest."""
    size = scored.contribution.abs().desc()
    nth = ibis.row_number().over(group_by=["customer_id", scored.contribution.sign()], order_by=[size, "criterion"])
    t = scored.mutate(nth=nth)
    t = t.mutate(named=(t.nth < 3) & (t.contribution != 0))
    label = ibis.cases(*((t.criterion == criterion.name, criterion.label) for criterion in criteria), else_=t.criterion)
    value_text = ibis.ifelse(t.measured.isnull(), "no data", t.measured.round(2).cast("string"))
    value_text = ibis.ifelse(t.override_id.isnull(), value_text, "set by hand")
    points = t.contribution.round(2)
    text = (
        ibis.literal('{"code":"')
        + t.criterion.upper()
        + '","text":"'
        + label
        + ": "
        + value_text
        + '","points":'
        + points.cast("string")
        + "}"
    )
    t = t.mutate(text=ibis.ifelse(t.named, text, None), points=points)
    grouped = t.group_by("customer_id").agg(
        said=t.text.group_concat(",", where=t.named, order_by=[t.contribution.abs().desc(), t.criterion]),
        rest=(t.contribution.sum().round(2) - t.points.sum(where=t.named).coalesce(0.0)).round(2),
    )
    others = ibis.literal('{"code":"OTHERS","text":"All other criteria","points":') + grouped.rest.cast("string") + "}"
    joined = ibis.ifelse(grouped.said.isnull(), others, grouped.said + "," + others)
    return grouped.select("customer_id", reasons=ibis.literal("[") + joined + "]")
