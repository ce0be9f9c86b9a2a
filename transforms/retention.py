"""Retention: how likely each customer is to order again within the horizon, and why.

The score is the chance of an order, never the chance of being alive: a one-time buyer is always "alive" in such
models, which ranks backwards (AUC .32 on CDNOW).
"""

from calendar import monthrange
from datetime import date
from typing import Literal

import ibis
import ibis.expr.types as ir

from transforms.bgbb import MONTHS
from transforms.reasons import listed, reason, whole

BANDS = ((75, "healthy"), (50, "watch"), (25, "at_risk"))
SILENT, RARE, NEW = 0.15, 0.5, 3
GONE_DAYS = 730
KNOWN = ("x", "tx", "n")


def retention_statistics(
    crosswalk: ir.Table,
    orders: ir.Table,
    invoices: ir.Table,
    *,
    as_of: date,
    event: Literal["order", "invoice"],
) -> ir.Table:
    """Count by customer the months with an order: x, tx and n, and what there is to say about them.

    An event is a confirmed order, or a posted invoice, with a positive amount. The first month is that of the first
    event within the last 37 months. `has_now` tells of an order in the month of `as_of`, which is not complete.
    """
    events = _events(crosswalk, orders, invoices, event).filter(lambda t: t.on <= as_of)
    now = as_of.year * 12 + as_of.month
    events = events.mutate(month=events.on.year() * 12 + events.on.month())
    window = events.filter(events.month >= now - MONTHS)
    births = window.group_by("customer_id").agg(born=window.month.min())
    seen = window.inner_join(births, "customer_id").select("customer_id", "month", "born", "amount")
    later = (seen.month > seen.born) & (seen.month < now)
    counts = seen.group_by("customer_id", "born").agg(
        x=seen.month.nunique(where=later),
        last=seen.month.max(where=later),
        has_now=seen.month.max() == now,
        active_months=seen.month.nunique(),
        spent=seen.amount.sum(),
    )
    dates = events.group_by("customer_id").agg(
        first_on=events.on.min(), last_on=events.on.max(), days=events.on.nunique()
    )
    joined = counts.inner_join(dates, "customer_id")
    gap = (joined.last_on.epoch_days() - joined.first_on.epoch_days()).cast("float64") / (joined.days - 1).nullif(0)
    return joined.select(
        "customer_id",
        x=joined.x.cast("int64"),
        tx=(joined["last"] - joined.born).coalesce(0).cast("int64"),
        n=ibis.greatest(now - 1 - joined.born, 0).cast("int64"),
        is_born_now=joined.born == now,
        has_now=joined.has_now & (joined.born < now),
        days_since_order=(ibis.literal(as_of).epoch_days() - joined.last_on.epoch_days()).cast("int64"),
        usual_gap_days=gap.round(1),
        spend_per_month=(joined.spent.cast("float64") / joined.active_months).round(2),
    )


def retention_counts(statistics: ir.Table) -> ir.Table:
    """Group the statistics for the fit: customers by (x, tx, n)."""
    return statistics.group_by(*KNOWN).agg(customers=ibis._.count()).order_by(*KNOWN)


def retention(
    customers: ir.Table, statistics: ir.Table, lookup: ir.Table, *, as_of: date, horizon: int, version: str
) -> ir.Table:
    """Score every customer by the table of a fitted model; without a table nobody gets a probability.

    In the month of `as_of` the score moves evenly from that of the last complete month to that of the next one, or
    jumps where the customer has ordered already. A customer of old who has been silent for two years, or whose
    accounts are all closed, is banded churned, whatever the number.
    """
    scored = _looked_up(statistics, lookup, as_of)
    base = scored.agg(base=(scored.p * 100).mean())
    joined = customers.left_join(scored, "customer_id").drop("customer_id_right").cross_join(base)
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
        (joined.p_order_if_alive < RARE, "RARE"),
        (joined.n < NEW, "NEW"),
        else_="OK",
    )
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
        revenue_at_risk_amount=((1 - joined.p) * joined.months_if_alive * joined.spend_per_month)
        .round(2)
        .cast("decimal(18,2)"),
        reason=code,
        reasons=_reasons(joined, value, silence),
        model_version=ibis.literal(version),
        as_of=ibis.literal(as_of),
    )


def _events(crosswalk: ir.Table, orders: ir.Table, invoices: ir.Table, event: str) -> ir.Table:
    if event == "order":
        chosen = orders.filter(orders.status == "confirmed", orders.reporting_amount > 0)
        chosen = chosen.select("connection", "account_id", on=chosen.ordered_on, amount=chosen.reporting_amount)
    else:
        is_one = (invoices.status == "posted") & (invoices.kind == "invoice") & (invoices.reporting_net_amount > 0)
        chosen = invoices.filter(is_one)
        chosen = chosen.select("connection", "account_id", on=chosen.invoice_on, amount=chosen.reporting_net_amount)
    known = crosswalk.select("connection", "account_id", "customer_id")
    return chosen.inner_join(known, ["connection", "account_id"]).select("customer_id", "on", "amount")


def _looked_up(statistics: ir.Table, lookup: ir.Table, as_of: date) -> ir.Table:
    part = as_of.day / monthrange(as_of.year, as_of.month)[1]
    n, x = statistics.n, statistics.x
    seen = statistics.mutate(
        x0=ibis.ifelse(statistics.has_now, x + 1, x),
        t0=ibis.ifelse(statistics.has_now, n + 1, statistics.tx),
        n0=ibis.ifelse(statistics.has_now, n + 1, n),
        n1=ibis.ifelse(statistics.has_now | statistics.is_born_now, ibis.ifelse(statistics.has_now, n + 1, n), n + 1),
        xr=ibis.ifelse(n == 0, ibis.literal(0, "int64"), ibis.greatest(x, 1)),
    )
    seen = _beside(seen, lookup, ("x0", "t0", "n0"), p="p0", p_alive="pa0", months_if_alive="m0")
    seen = _beside(seen, lookup, ("x0", "t0", "n1"), p="p1", p_alive="pa1")
    seen = _beside(seen, lookup, ("xr", "n", "n"), p="pr")
    seen = seen.mutate(same=ibis.ifelse(seen.n1 == seen.n0, 0.0, part))
    p = seen.p0 * (1 - seen.same) + seen.p1 * seen.same
    alive = seen.pa0 * (1 - seen.same) + seen.pa1 * seen.same
    return seen.select(
        "customer_id",
        "x",
        "tx",
        "n",
        "days_since_order",
        "usual_gap_days",
        "spend_per_month",
        p=p,
        p_alive=alive,
        p_order_if_alive=ibis.least(p / alive, 1.0),
        p_recent=ibis.greatest(seen.pr, p),
        months_if_alive=seen.m0,
    )


def _beside(seen: ir.Table, lookup: ir.Table, cell: tuple[str, str, str], **wanted: str) -> ir.Table:
    """Look a cell (x, tx, n) of the fitted table up for each row."""
    keys = dict(zip(("key_x", "key_tx", "key_n"), KNOWN, strict=True))
    right = lookup.select(
        **{ours: lookup[theirs] for ours, theirs in keys.items()},
        **{new: lookup[old] for old, new in wanted.items()},
    )
    same = [seen[left] == right[key] for left, key in zip(cell, keys, strict=True)]
    return seen.left_join(right, same).drop(*keys)


def _reasons(joined: ir.Table, value: ir.NumericValue, silence: ir.NumericValue) -> ir.StringValue:
    base = joined.base.round(2)
    usual = ibis.ifelse(
        joined.usual_gap_days.isnull(),
        "",
        ibis.literal("; usually one every ") + whole(joined.usual_gap_days) + " days",
    )
    said = listed(
        [
            reason("BASE", "An average customer of this portfolio", base),
            reason(
                "PATTERN",
                ibis.literal("Orders in ") + whole(joined.x) + " of " + whole(joined.n) + " months since the first",
                (value - silence).round(2) - base,
            ),
            reason(
                "SILENCE",
                ibis.literal("Last order ") + whole(joined.days_since_order) + " days ago" + usual,
                silence,
            ),
        ]
    )
    nothing = listed([reason("NO_DATA", "Too few orders to tell", ibis.literal(0.0))])
    return ibis.ifelse(value.isnull(), nothing, said)
