"""The measures of portfolios, customer by customer: revenue retained over a period, and the current state."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from schemas.base import Money
from transforms.customers.owner_roles import MANAGER
from transforms.joins import left_join_all, with_customer
from transforms.portfolio.contact_history import last_talks, talks
from transforms.portfolio.ownership import owned_on

PERIODS = {"month": 30, "quarter": 91, "year": 365}
YEAR = timedelta(days=365)
WEAK = 50.0  # of 100: a key account whose retention or satisfaction is below it is at risk
_MEASURES = (
    *("accounts_start", "accounts_retained", "base_amount", "retained_amount", "end_amount"),
    *("expansion_amount", "contraction_amount", "churned_amount", "new_amount"),
)
_NOT_SUMMED = ("customer_id", "country", "manager_key", "manager", "region")
_COUNTS = (
    *("accounts_start", "accounts_retained", "accounts_end", "key_accounts", "key_accounts_at_risk"),
    *("contacts_due", "contacts_kept", "urgent_tickets"),
)


def cohorts(
    customers: ir.Table, crosswalk: ir.Table, invoices: ir.Table, ownership: ir.Table, *, as_of: date
) -> ir.Table:
    """Compare each customer's net revenue of the 12 months up to the start of each period with those up to its end.

    Grain: period, customer_id. The account manager is the one at the start of the period. Customers without revenue
    before the start are outside all ratios; their revenue is new. Merged accounts count for the customer they belong
    to now.
    """
    net = _net_revenue(crosswalk, invoices, as_of)
    return ibis.union(*(_cohort(customers, net, ownership, period, as_of) for period in PERIODS))


def standings(
    customers: ir.Table,
    crosswalk: ir.Table,
    tickets: ir.Table,
    activities: ir.Table,
    retention: ir.Table,
    satisfaction: ir.Table,
    key_accounts: ir.Table,
    ownership: ir.Table,
    *,
    as_of: date,
    cadence_days: Mapping[str, int],
) -> ir.Table:
    """Return the current state of each active customer, with its current account manager.

    Grain: customer_id. `cadence_days` is the number of days between contacts, by tier.
    """
    active = customers.filter(customers.status == "active")
    t = left_join_all(
        active.select("customer_id", "country", "overdue_amount"),
        retention.select("customer_id", "revenue_at_risk_amount", retention="value_effective"),
        satisfaction.select("customer_id", "confidence", satisfaction="value_effective"),
        key_accounts.select("customer_id", "tier"),
        last_talks(talks(activities, crosswalk), as_of).select("customer_id", "talked_on"),
        _urgent_tickets(tickets, crosswalk),
        owned_on(ownership, as_of, MANAGER),
        on="customer_id",
    )
    is_key = (t.tier == "A").coalesce(False)
    is_weak = (t.retention < WEAK).coalesce(False) | (t.satisfaction < WEAK).coalesce(False)
    is_due, is_in_cadence = _cadence(t, as_of, cadence_days)
    weight = t.confidence.coalesce(0.0) + 0.1
    return t.select(
        "customer_id",
        "country",
        manager_key="owner_key",
        manager="owner",
        region="owner_region",
        accounts_end=ibis.literal(1, "int64"),
        satisfaction_weight=weight,
        satisfaction_sum=weight * t.satisfaction.coalesce(0.0),
        key_accounts=is_key.cast("int64"),
        key_accounts_at_risk=(is_key & is_weak).cast("int64"),
        at_risk_amount=t.revenue_at_risk_amount.coalesce(0).cast(Money),
        contacts_due=is_due.cast("int64"),
        contacts_kept=(is_due & is_in_cadence).coalesce(False).cast("int64"),
        overdue_amount=t.overdue_amount,
        urgent_tickets=t.urgent.coalesce(0),
    )


def summed(cohorts: ir.Table, standings: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Sum up both tables by period and keys, and take the ratios of the sums: ratios are never averaged."""
    period = ("period", "starts_on")
    revenue = cohorts.group_by(*period, *keys).agg(**{name: cohorts[name].sum() for name in _MEASURES})
    sums = {name: standings[name].sum() for name in standings.columns if name not in _NOT_SUMMED}
    now = standings.group_by(*keys).agg(**sums) if keys else standings.agg(**sums)
    periods = cohorts.select(*period).distinct()
    groups_now = periods.cross_join(now.select(*keys)) if keys else periods
    rows = revenue.select(*period, *keys).union(groups_now, distinct=True)
    t = _left_join_nulls(rows, revenue, (*period, *keys))
    return _with_ratios(_left_join_nulls(t, now, keys))


def _urgent_tickets(tickets: ir.Table, crosswalk: ir.Table) -> ir.Table:
    urgent = tickets.filter(tickets.priority == "urgent", ~tickets.status.isin(["solved", "closed"]))
    return with_customer(urgent, crosswalk).group_by("customer_id").agg(urgent=ibis._.count())


def _cadence(t: ir.Table, as_of: date, days: Mapping[str, int]) -> tuple[ir.BooleanValue, ir.BooleanValue]:
    """Return whether a customer's tier has a contact cadence, and whether the last conversation is within it."""
    if not days:
        return ibis.literal(False), ibis.literal(False)
    limit = ibis.cases(*((t.tier == tier, n) for tier, n in days.items()), else_=None)
    age = ibis.literal(as_of).epoch_days() - t.talked_on.epoch_days()
    return limit.notnull(), age <= limit


def _net_revenue(crosswalk: ir.Table, invoices: ir.Table, as_of: date) -> ir.Table:
    """Sum up the net revenue of 12 months by customer: up to `as_of`, and up to the start of each period."""
    posted = with_customer(invoices.filter(invoices.status == "posted", invoices.invoice_on <= as_of), crosswalk)

    def net(end: date) -> ir.DecimalValue:
        within = (posted.invoice_on > end - YEAR) & (posted.invoice_on <= end)
        return posted.reporting_net_amount.sum(where=within)

    starts = {f"started_{period}": net(_start(period, as_of)) for period in PERIODS}
    return posted.group_by("customer_id").agg(ended=net(as_of), **starts)


def _start(period: str, as_of: date) -> date:
    return as_of - timedelta(days=PERIODS[period])


def _cohort(customers: ir.Table, net: ir.Table, ownership: ir.Table, period: str, as_of: date) -> ir.Table:
    start = _start(period, as_of)
    with_revenue = customers.select("customer_id", "country").inner_join(net, "customer_id")
    t = with_revenue.left_join(owned_on(ownership, start, MANAGER), "customer_id")
    r0, r1 = (t[name].coalesce(0).cast(Money) for name in (f"started_{period}", "ended"))
    t = t.mutate(r0=r0, r1=r1)
    return t.select(
        "customer_id",
        "country",
        period=ibis.literal(period),
        starts_on=ibis.literal(start),
        manager_key=t.owner_key,
        manager=t.owner,
        region=t.owner_region,
        **_revenue_movements(t.r0, t.r1),
    )


def _revenue_movements(r0: ir.DecimalValue, r1: ir.DecimalValue) -> dict[str, ir.Value]:
    """Divide the change of a customer's revenue from r0 to r1 into the parts of gross and net retention."""
    was, stays = r0 > 0, (r0 > 0) & (r1 > 0)
    zero = ibis.literal(0).cast(Money)

    def where(condition: ir.BooleanValue, amount: ir.DecimalValue) -> ir.DecimalValue:
        return ibis.ifelse(condition, amount, zero).cast(Money)

    return {
        "accounts_start": was.cast("int64"),
        "accounts_retained": stays.cast("int64"),
        "base_amount": where(was, r0),
        "retained_amount": where(stays, ibis.least(r0, r1)),
        "end_amount": where(was, r1),
        "expansion_amount": where(stays & (r1 > r0), r1 - r0),
        "contraction_amount": where(stays & (r1 < r0), r0 - r1),
        "churned_amount": where(was & (r1 <= 0), r0 - r1),
        "new_amount": where(~was, r1),
    }


def _left_join_nulls(rows: ir.Table, part: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Join by keys that may be null: customers without a manager, and without a country, are groups too."""
    if not keys:
        return rows.cross_join(part)
    added = [name for name in part.columns if name not in keys]
    right = part.select(*added, **{f"key_{name}": part[name] for name in keys})
    same = [rows[name].identical_to(right[f"key_{name}"]) for name in keys]
    return rows.left_join(right, same).select(*rows.columns, *added)


def _share(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
    return (part.cast("float64") / whole.cast("float64").nullif(0.0)).round(4)


def _with_ratios(sums: ir.Table) -> ir.Table:
    amounts = [name for name in sums.columns if name.endswith("_amount")]
    t = sums.mutate(
        **{name: sums[name].coalesce(0).cast(Money) for name in amounts},
        **{name: sums[name].coalesce(0).cast("int64") for name in _COUNTS},
    )
    return t.mutate(
        accounts_lost=t.accounts_start - t.accounts_retained,
        logo_retention=_share(t.accounts_retained, t.accounts_start),
        grr=_share(t.retained_amount, t.base_amount),
        nrr=_share(t.end_amount, t.base_amount),
        account_growth=(t.end_amount.cast("float64") / t.base_amount.cast("float64").nullif(0.0) - 1).round(4),
        satisfaction=(t.satisfaction_sum / t.satisfaction_weight.nullif(0.0)).round(2),
        cadence_kept=_share(t.contacts_kept, t.contacts_due),
    ).drop("satisfaction_sum", "satisfaction_weight")
