"""Account executives: what each has won, how fast, and whether those customers stayed."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from schemas.base import Money
from transforms.conform.exchange_rates import half_even
from transforms.customers.owner_roles import staff
from transforms.joins import left_join_all, with_customer
from transforms.portfolio.handovers import first_wins, later_purchase_days
from transforms.portfolio.portfolio import PERIODS

YEAR = timedelta(days=365)
COUNTS = (
    *("new_accounts", "deals_won", "deals_lost", "handovers", "handovers_on_time", "early_accounts", "early_churned"),
    "cycles",
)
AMOUNTS = ("new_bookings_amount", "new_revenue_amount", "weighted_pipeline_amount")


def account_executives(
    crosswalk: ir.Table,
    owners: ir.Table,
    deals: ir.Table,
    orders: ir.Table,
    invoices: ir.Table,
    handovers: ir.Table,
    *,
    as_of: date,
    wins: ir.Table | None = None,
) -> ir.Table:
    """Return the results of each account executive.

    Grain: period, executive_key. A deal counts for its owner, a new customer for the owner of the deal that won it.
    `wins` are the `first_wins`, where they are computed already.
    """
    people = staff(owners).select("connection", "owner_id", "owner_key", "person", "region")
    owned = deals.inner_join(people, ["connection", "owner_id"])
    wins = first_wins(crosswalk, deals, orders, invoices, as_of) if wins is None else wins
    wins = _with_bookings(wins.inner_join(people, ["connection", "owner_id"]), deals)
    names = people.group_by("owner_key").agg(executive=people.person.max(), region=people.region.max())
    of_any_period = [_open_pipeline(owned), _early_churn(wins, orders, invoices, crosswalk, as_of)]
    periods = []
    for period, days in PERIODS.items():
        start = as_of - timedelta(days=days)
        measures = left_join_all(
            names,
            _closed_deals(owned, start, as_of),
            _new_customers(wins, crosswalk, invoices, start, as_of),
            _handover_counts(handovers, start, as_of),
            *of_any_period,
            on="owner_key",
        )
        rates = _with_rates(_with_activity(measures))
        periods.append(rates.mutate(period=ibis.literal(period), starts_on=ibis.literal(start)))
    return ibis.union(*periods).mutate(as_of=ibis.literal(as_of))


def _with_bookings(wins: ir.Table, deals: ir.Table) -> ir.Table:
    amounts = deals.group_by("connection", "deal_id").agg(booked=deals.reporting_amount.max())
    return left_join_all(wins, amounts, on=("connection", "deal_id"))


def _closed_deals(owned: ir.Table, start: date, as_of: date) -> ir.Table:
    t = owned.filter(owned.status != "open", owned.close_on > start, owned.close_on <= as_of)
    days = t.close_on.epoch_days() - t.created_at.date().epoch_days()
    is_won = t.status == "won"
    return t.group_by("owner_key").agg(
        deals_won=is_won.sum(),
        deals_lost=(~is_won).sum(),
        cycle_sum=days.sum(where=is_won),
        cycles=(is_won & days.notnull()).sum(),
    )


def _new_customers(wins: ir.Table, crosswalk: ir.Table, invoices: ir.Table, start: date, as_of: date) -> ir.Table:
    """Count the customers won in a period, their bookings, and what they were invoiced in the first year since."""
    won = wins.filter(wins.won_on > start, wins.won_on <= as_of)
    posted = invoices.filter(invoices.status == "posted", invoices.invoice_on <= as_of)
    invoiced = with_customer(posted, crosswalk).select("customer_id", "invoice_on", net="reporting_net_amount")
    since = won.inner_join(invoiced, "customer_id")
    since = since.filter(since.invoice_on >= since.won_on, since.invoice_on < since.won_on + ibis.literal(YEAR))
    revenue = since.group_by("owner_key").agg(new_revenue_amount=since.net.sum())
    counted = won.group_by("owner_key").agg(
        new_accounts=won.customer_id.nunique(), new_bookings_amount=won.booked.sum()
    )
    return left_join_all(counted, revenue, on="owner_key")


def _handover_counts(handovers: ir.Table, start: date, as_of: date) -> ir.Table:
    ended = ibis.least(handovers.due_on, handovers.accepted_on.coalesce(handovers.due_on))
    t = handovers.filter(handovers.executive_key.notnull(), ended > start, ended <= as_of)
    on_time = (t.accepted_on <= t.due_on).coalesce(False)
    return t.group_by(owner_key=t.executive_key).agg(handovers=t.count(), handovers_on_time=on_time.sum())


def _open_pipeline(owned: ir.Table) -> ir.Table:
    weight = owned.probability.coalesce(0.0).cast("decimal(19, 6)")
    weighted = (owned.reporting_amount * weight).cast("decimal(38, 8)")
    t = owned.group_by("owner_key").agg(weighted=weighted.sum(where=owned.status == "open"))
    return t.select("owner_key", weighted_pipeline_amount=half_even(t.weighted.coalesce(0).cast("decimal(38, 8)")))


def _early_churn(wins: ir.Table, orders: ir.Table, invoices: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    """Count customers won 12 to 24 months ago, and those of them that bought nothing in the last 12 months."""
    old = wins.filter(wins.won_on <= as_of - YEAR, wins.won_on > as_of - 2 * YEAR)
    days = later_purchase_days(orders, invoices, crosswalk, as_of)
    recent = days.filter(days.on > as_of - YEAR).select("customer_id").distinct().mutate(is_there=ibis.literal(True))
    t = left_join_all(old.select("owner_key", "customer_id").distinct(), recent, on="customer_id")
    return t.group_by("owner_key").agg(early_accounts=t.count(), early_churned=t.is_there.isnull().sum())


def _with_activity(measures: ir.Table) -> ir.Table:
    """Keep the executives with any activity, and fill missing measures with zero."""
    t = measures.mutate(
        **{name: measures[name].coalesce(0).cast("int64") for name in COUNTS},
        **{name: measures[name].coalesce(0).cast(Money) for name in AMOUNTS},
    )
    has_any = (t.new_accounts + t.deals_won + t.deals_lost + t.handovers + t.early_accounts) > 0
    return t.filter(has_any | (t.weighted_pipeline_amount > 0))


def _with_rates(t: ir.Table) -> ir.Table:
    def share(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
        return (part.cast("float64") / whole.nullif(0)).round(4)

    return t.select(
        *("executive", "region", *COUNTS[:-1], *AMOUNTS),
        executive_key=t.owner_key,
        win_rate=share(t.deals_won, t.deals_won + t.deals_lost),
        cycle_days=share(t.cycle_sum, t.cycles).round(1),
        handover_rate=share(t.handovers_on_time, t.handovers),
        early_churn=share(t.early_churned, t.early_accounts),
    )
