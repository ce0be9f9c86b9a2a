"""What the models of retention know of a customer: whole numbers, counted from its order days up to a date."""

from calendar import monthrange
from collections.abc import Collection
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from transforms.scores.models.base import Columns, Model

MONTHS = 36  # complete months after that of the first order; older orders are not looked at
GRACE = 1  # months that a renewal may come late
RENEWALS = ("renewals", "is_lapsed")
DIGITS = 6
EXACT = f"decimal(38, {DIGITS})"  # floating-point sums depend on the order of the rows


def retention_statistics(
    events: ir.Table, *, as_of: date, contract_months: int | None = None, with_gaps: bool = False
) -> ir.Table:
    """Count by customer what the models need, from the order days (`order_events`) up to a date.

    By month: x months with an order after the first, the last of them tx months after it, n complete months since;
    `has_now` tells of an order in the month of `as_of`, `is_born_now` that it is the first one. A month is complete on
    its last day. By day: `orders` days after the first, the last of them `span_days` after it, `known_days` since. The
    first order is the first one within the last 36 complete months; who has none has nulls.
    """
    past = events.filter(events.on <= as_of)
    recent = past.filter(past.on >= window_start(as_of))
    ever = past.group_by("customer_id").agg(first_on=past.on.min(), last_on=past.on.max(), days=past.on.nunique())
    gap = (ever.last_on.epoch_days() - ever.first_on.epoch_days()).cast("float64") / (ever.days - 1).nullif(0)
    statistics = ever.select(
        "customer_id",
        days_since_order=(ibis.literal(as_of).epoch_days() - ever.last_on.epoch_days()).cast("int64"),
        usual_gap_days=gap.round(1),
    )
    parts = [_by_month(recent, as_of), _by_day(recent, as_of)]
    if with_gaps:
        parts.append(_gaps(recent))
    if contract_months:
        chains = contracts(events, as_of=as_of, months=contract_months)
        parts.append(chains.filter(chains.is_last).select("customer_id", *RENEWALS))
    for part in parts:
        statistics = statistics.left_join(part, "customer_id").drop("customer_id_right")
    return statistics


def contracts(events: ir.Table, *, as_of: date, months: int) -> ir.Table:
    """List the contracts of each customer: chains of months with an order, each within a term (and a month) of the last.

    A chain has been renewed once for each full term it spans, and lapses when the next order is overdue.
    """
    past = events.filter(events.on <= as_of)
    active = past.select("customer_id", month=_month(past.on)).distinct()
    mine = ibis.window(group_by="customer_id", order_by="month")
    gap = active.month - active.month.lag().over(mine)
    begun = active.mutate(begins=(gap.coalesce(0) > months + GRACE).cast("int64"))
    before = ibis.window(group_by="customer_id", order_by="month", preceding=(None, 0))
    chained = begun.mutate(chain=begun.begins.sum().over(before))
    chains = chained.group_by("customer_id", "chain").agg(born=chained.month.min(), last=chained.month.max())
    newest = chains.group_by("customer_id").agg(newest=chains.chain.max())
    chains = chains.inner_join(newest, "customer_id")
    is_last = chains.chain == chains.newest
    overdue = ibis.literal(as_of.year * 12 + as_of.month) - chains["last"] > months + GRACE
    return chains.select(
        "customer_id",
        renewals=((chains["last"] - chains.born + 1) // months).cast("int64"),
        is_lapsed=(~is_last | overdue).cast("int64"),
        is_last=is_last,
    )


def retention_counts(statistics: ir.Table, model: Model, *, for_fit: bool = True) -> ir.Table:
    """Count customers by cell, and those who `ordered` where the statistics have it.

    Grain: the columns that the model's fit depends on, or all that its chances depend on (`for_fit` false). Sums are
    exact and rows are ordered, so that the same customers give the same counts on every engine.
    """
    complete = statistics.filter(*(statistics[name].notnull() for name in model.cells))
    sums = {name: complete[name].cast(EXACT).sum().cast("float64") for name in model.sums}
    sums |= {name: complete[name].sum() for name in {"ordered"} & set(complete.columns)}
    names = (for_fit and model.fit_cells) or model.cells
    return complete.group_by(*names).agg(customers=complete.count(), **sums).order_by(*names)


def cells(statistics: ir.Table, model: Model) -> ir.Table:
    """List the distinct cells of a model."""
    complete = statistics.filter(*(statistics[name].notnull() for name in model.cells))
    return complete.select(*model.cells).distinct().order_by(*model.cells)


def numbers(rows: pa.Table, names: Collection[str] | None = None) -> Columns:
    """Hand columns to the models."""
    return {name: np.asarray(rows[name].to_numpy(), float) for name in names or rows.column_names}


def with_outcome(statistics: ir.Table, events: ir.Table, *, after: date, until: date) -> ir.Table:
    """Add `ordered`: 1 for who ordered after a date and up to another one, else 0."""
    came = events.filter(events.on > after, events.on <= until).select("customer_id").distinct().mutate(came=True)
    joined = statistics.left_join(came, "customer_id").drop("customer_id_right")
    return joined.mutate(ordered=joined.came.notnull().cast("int64")).drop("came")


def month_part(as_of: date) -> float:
    """Tell which part of the month that has begun is over: 0 on the last day, when it is complete."""
    days = monthrange(as_of.year, as_of.month)[1]
    return 0.0 if as_of.day == days else as_of.day / days


def window_start(as_of: date) -> date:
    """Give the first day that is looked at."""
    months = _begun(as_of) - 1 - MONTHS - 1
    return date(months // 12, months % 12 + 1, 1)


def months_later(day: date, months: int) -> date:
    """Move a day by whole months; the last day of a month stays a last day."""
    total = day.year * 12 + day.month - 1 + months
    last = monthrange(total // 12, total % 12 + 1)[1]
    is_last = (day + timedelta(1)).day == 1
    return date(total // 12, total % 12 + 1, last if is_last else min(day.day, last))


def month_end(day: date) -> date:
    """Give the last day of the month."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def _begun(as_of: date) -> int:
    """Count the month that is not complete."""
    return as_of.year * 12 + as_of.month + (1 if month_part(as_of) == 0 else 0)


def _month(day: ir.DateValue) -> ir.IntegerValue:
    return (day.year().cast("int64") * 12 + day.month()).cast("int64")


def _by_month(recent: ir.Table, as_of: date) -> ir.Table:
    now = _begun(as_of)
    dated = recent.select("customer_id", "amount", month=_month(recent.on))
    births = dated.group_by("customer_id").agg(born=dated.month.min())
    dated = dated.inner_join(births, "customer_id").select("customer_id", "month", "born", "amount")
    later = (dated.month > dated.born) & (dated.month < now)
    counted = dated.group_by("customer_id", "born").agg(
        x=dated.month.nunique(where=later),
        last=dated.month.max(where=later),
        newest=dated.month.max(),
        months=dated.month.nunique(),
        spent=dated.amount.sum(),
    )
    return counted.select(
        "customer_id",
        x=counted.x.cast("int64"),
        tx=(counted["last"] - counted.born).coalesce(0).cast("int64"),
        n=ibis.greatest(now - 1 - counted.born, 0).cast("int64"),
        has_now=((counted.newest == now) & (counted.born < now)).cast("int64"),
        is_born_now=(counted.born == now).cast("int64"),
        spend_per_month=counted.spent.cast("float64") / counted.months,
    )


def _by_day(recent: ir.Table, as_of: date) -> ir.Table:
    counted = recent.group_by("customer_id").agg(
        first=recent.on.min(), last=recent.on.max(), days=recent.on.nunique(), spent=recent.amount.sum()
    )
    each = counted.spent.cast("float64") / counted.days
    return counted.select(
        "customer_id",
        orders=(counted.days - 1).cast("int64"),
        span_days=(counted["last"].epoch_days() - counted["first"].epoch_days()).cast("int64"),
        known_days=(ibis.literal(as_of).epoch_days() - counted["first"].epoch_days()).cast("int64"),
        money=(1 + each).ln().round(0).cast("int64"),
        spend_per_day=each,
    )


def _gaps(recent: ir.Table) -> ir.Table:
    """Sum the logs of the days between orders: all that regularity needs to know."""
    mine = ibis.window(group_by="customer_id", order_by="on")
    days = recent.on.epoch_days()
    dated = recent.select("customer_id", gap=(days - days.lag().over(mine)).cast("float64"))
    return dated.group_by("customer_id").agg(log_gaps=dated.gap.ln().round(DIGITS).sum().coalesce(0.0))
