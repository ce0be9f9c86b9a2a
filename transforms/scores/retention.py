"""Retention: how likely each customer is to order again within the horizon, and why.

The score is the chance of an order, never the chance of being alive: a one-time buyer is always "alive" in such
models, which ranks backwards (AUC .32 on CDNOW).
"""

from datetime import date
from typing import Literal

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from transforms.scores.models.base import Chances, Fit, Floats, Model
from transforms.scores.reasons import listed, reason, whole
from transforms.scores.retention_statistics import month_part, numbers

BANDS = ((75, "healthy"), (50, "watch"), (25, "at_risk"))
SILENT, RARE, NEW = 0.15, 0.5, 3
GONE_DAYS = 730
TOLD = ("p", "p_recent", "orders_if_alive", "p_alive", "p_order_if_alive")


def chances(model: Model, fit: Fit | None, cells: pa.Table, *, horizon: int, as_of: date) -> pa.Table:
    """Tabulate the chances of cells by a fitted model; without a fit there are none."""
    predicted = None
    if fit and len(cells):
        with np.errstate(all="ignore"):  # what overflows is clipped, and what is no number becomes null
            predicted = model.chances(fit, numbers(cells), horizon=horizon, part=month_part(as_of))
    rows = cells if predicted else cells.slice(0, 0)
    for name in TOLD:
        rows = rows.append_column(name, _chance_column(predicted, name, len(rows)))
    return rows


def retention(
    customers: ir.Table,
    statistics: ir.Table,
    chances: ir.Table,
    *,
    as_of: date,
    horizon: int,
    version: str,
    period: Literal["month", "day"] = "month",
) -> ir.Table:
    """Score every customer by the chances of its cell; where there are none nobody gets a probability.

    A customer whose status is churned and who has not ordered for two years, or never as far as is known, is banded
    churned, whatever the number. Where a person overrode the score, `overrides.overridden` decides the band again.
    """
    scored = _looked_up(statistics, chances)
    base = scored.agg(base=(scored.p * 100).mean())
    joined = customers.select("customer_id", "status").left_join(scored, "customer_id").drop("customer_id_right")
    joined = joined.cross_join(base)
    value = (joined.p * 100).round(2)
    silence = ((joined.p - joined.p_recent) * 100).round(2)
    is_gone = (joined.status == "churned") & (joined.days_since_order > GONE_DAYS).coalesce(True)
    band = ibis.cases(
        (is_gone, "churned"),
        (value.isnull(), "unknown"),
        *((value >= low, name) for low, name in BANDS),
        else_="critical",
    )
    code = ibis.cases(
        (value.isnull(), "NO_DATA"),
        (joined.p_recent - joined.p >= SILENT, "SILENT"),
        ((joined.p_order_if_alive < RARE).coalesce(False), "RARE"),
        (joined.n < NEW, "NEW"),
        else_="OK",
    )
    expected = (1 - joined.p) * joined.orders_if_alive * joined[f"spend_per_{period}"]
    return joined.select(
        "customer_id",
        value=value,
        value_effective=value,
        band=band,
        p_alive=joined.p_alive.round(6),
        p_order_if_alive=joined.p_order_if_alive.round(6),
        horizon_months=ibis.literal(horizon, "int64"),
        months_with_orders=joined.x,
        last_order_month=joined.tx,
        months_observed=joined.n,
        silence_loss=-silence,
        days_since_order=joined.days_since_order,
        usual_gap_days=joined.usual_gap_days,
        revenue_at_risk_amount=expected.round(2).cast("decimal(18,2)"),
        reason=code,
        reasons=_reasons(joined, value, silence),
        model_version=ibis.literal(version),
        as_of=ibis.literal(as_of),
    )


def _chance_column(predicted: Chances | None, name: str, rows: int) -> pa.Array:
    values: Floats | None = getattr(predicted, name) if predicted else None
    if values is None:
        return pa.nulls(rows, pa.float64())
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _looked_up(statistics: ir.Table, chances: ir.Table) -> ir.Table:
    cells = [name for name in chances.columns if name not in TOLD]
    right = chances.rename({f"key_{name}": name for name in cells})
    joined = statistics.left_join(right, [statistics[name] == right[f"key_{name}"] for name in cells])
    return joined.drop(*(f"key_{name}" for name in cells))


def _reasons(joined: ir.Table, value: ir.NumericValue, silence: ir.NumericValue) -> ir.StringValue:
    base = joined.base.round(2)
    usual = ibis.ifelse(
        joined.usual_gap_days.isnull(),
        "",
        ibis.literal("; usually one every ") + whole(joined.usual_gap_days) + " days",
    )
    last = ibis.literal("Last order ") + whole(joined.days_since_order) + " days ago" + usual
    pattern = ibis.literal("Orders in ") + whole(joined.x) + " of " + whole(joined.n) + " months since the first"
    scored_reasons = listed(
        [
            reason("BASE", "An average customer of this portfolio", base),
            reason("PATTERN", pattern, (value - silence).round(2) - base),
            reason("SILENCE", last, silence),
        ]
    )
    no_score_text = ibis.cases(
        (joined.days_since_order.isnull(), "No order yet"),
        (joined.n.isnull(), last + "; only the last 36 months count"),
        else_=last + "; too few customers ordered again to estimate a probability",
    )
    return ibis.ifelse(value.isnull(), listed([reason("NO_DATA", no_score_text, ibis.literal(0.0))]), scored_reasons)
