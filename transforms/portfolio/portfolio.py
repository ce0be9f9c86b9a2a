"""What portfolios are judged by, customer by customer: revenue kept since the start of a period, and how things stand."""

from collections.abc import Mapping
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from schemas.base import Money
from transforms.customers.owner_roles import MANAGER
from transforms.portfolio.contact_history import last_talks, talks
from transforms.portfolio.ownership import owned_on

PERIODS = {"month": 30, "quarter": 91, "year": 365}
YEAR = timedelta(days=365)
WEAK = 50.0  # of 100: below it retention or satisfaction puts a key account at risk
_MEASURES = (
    *("accounts_start", "accounts_retained", "base_amount", "retained_amount", "end_amount"),
    *("expansion_amount", "contraction_amount", "churned_amount", "new_amount"),
)


def cohorts(
    customers: ir.Table, crosswalk: ir.Table, invoices: ir.Table, ownership: ir.Table, *, as_of: date
) -> ir.Table:
    """Compare each customer's net revenue of the 12 months up to the start of each period with those up to its end.

    Whoever looked after a customer at the start of the period is judged by it. Customers without revenue before the
    start are in neither part: what they bring is new. Merged accounts count as the customers they are now.
    """
    net = _windows(crosswalk, invoices, as_of)
    parts = [_cohort(customers, net, ownership, period, as_of) for period in PERIODS]
    return ibis.union(*parts)


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
    """Tell how things stand with each active customer, under whoever looks after it now."""
    t = customers.filter(customers.status == "active").select("customer_id", "country", "overdue_amount")
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    urgent = tickets.filter(tickets.priority == "urgent", ~tickets.status.isin(["solved", "closed"]))
    urgent = (
        urgent.inner_join(account_customers, ["connection", "account_id"])
        .group_by("customer_id")
        .agg(urgent=ibis._.count())
    )
    for part in (
        retention.select("customer_id", "revenue_at_risk_amount", kept="value_effective"),
        satisfaction.select("customer_id", "confidence", content="value_effective"),
        key_accounts.select("customer_id", "tier"),
        last_talks(talks(activities, crosswalk), as_of).select("customer_id", "talked_on"),
        urgent,
        owned_on(ownership, as_of, MANAGER),
    ):
        t = t.left_join(part, "customer_id").drop("customer_id_right")
    is_key = (t.tier == "A").coalesce(False)
    weak = (t.kept < WEAK).coalesce(False) | (t.content < WEAK).coalesce(False)
    days = ibis.cases(*((t.tier == tier, n) for tier, n in cadence_days.items()), else_=None) if cadence_days else None
    due = ibis.literal(False) if days is None else days.notnull()
    is_in_cadence = (
        ibis.literal(False) if days is None else (ibis.literal(as_of).epoch_days() - t.talked_on.epoch_days()) <= days
    )
    weight = t.confidence.coalesce(0.0) + 0.1
    return t.select(
        "customer_id",
        "country",
        manager_key="owner_key",
        manager="owner",
        region="owner_region",
        accounts_end=ibis.literal(1, "int64"),
        satisfaction_weight=weight,
        satisfaction_sum=weight * t.content.coalesce(0.0),
        key_accounts=is_key.cast("int64"),
        key_accounts_at_risk=(is_key & weak).cast("int64"),
        at_risk_amount=t.revenue_at_risk_amount.coalesce(0).cast(Money),
        contacts_due=due.cast("int64"),
        contacts_kept=(due & is_in_cadence).coalesce(False).cast("int64"),
        overdue_amount=t.overdue_amount,
        urgent_tickets=t.urgent.coalesce(0),
    )


def summed(cohorts: ir.Table, standings: ir.Table, keys: tuple[str, ...]) -> ir.Table:
    """Sum up both by period and some keys, and take the ratios of the sums: a ratio is never averaged."""
    revenue = cohorts.group_by("period", "starts_on", *keys).agg(
        **{name: cohorts[name].sum() for name in _MEASURES},
    )
    sums = [
        name for name in standings.columns if name not in ("customer_id", "country", "manager_key", "manager", "region")
    ]
    now = (
        standings.group_by(*keys).agg(**{name: standings[name].sum() for name in sums})
        if keys
        else standings.agg(**{name: standings[name].sum() for name in sums})
    )
    periods = cohorts.select("period", "starts_on").distinct()
    rows = revenue.select("period", "starts_on", *keys).union(
        periods.cross_join(now.select(*keys)) if keys else periods, distinct=True
    )
    t = _left_join_nulls(rows, revenue, ("period", "starts_on", *keys))
    t = _left_join_nulls(t, now, keys)
    return _ratios(t)


def _windows(crosswalk: ir.Table, invoices: ir.Table, as_of: date) -> ir.Table:
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    posted = invoices.filter(invoices.status == "posted", invoices.invoice_on <= as_of)
    posted = posted.inner_join(account_customers, ["connection", "account_id"])

    def net(end: date) -> ir.DecimalValue:
        within = (posted.invoice_on > end - YEAR) & (posted.invoice_on <= end)
        return posted.reporting_net_amount.sum(where=within)

    starts = {period: as_of - timedelta(days=days) for period, days in PERIODS.items()}
    return posted.group_by("customer_id").agg(
        ended=net(as_of), **{f"started_{period}": net(start) for period, start in starts.items()}
    )


def _cohort(customers: ir.Table, net: ir.Table, ownership: ir.Table, period: str, as_of: date) -> ir.Table:
    start = as_of - timedelta(days=PERIODS[period])
    owners = owned_on(ownership, start, MANAGER)
    t = customers.select("customer_id", "country").inner_join(net, "customer_id").left_join(owners, "customer_id")
    zero = ibis.literal(0).cast(Money)
    r0, r1 = (t[name].coalesce(0).cast(Money) for name in (f"started_{period}", "ended"))
    t = t.mutate(r0=r0, r1=r1)
    was, stays = t.r0 > 0, (t.r0 > 0) & (t.r1 > 0)

    def where(condition: ir.BooleanValue, amount: ir.DecimalValue) -> ir.DecimalValue:
        return ibis.ifelse(condition, amount, zero).cast(Money)

    return t.select(
        "customer_id",
        "country",
        period=ibis.literal(period),
        starts_on=ibis.literal(start),
        manager_key=t.owner_key,
        manager=t.owner,
        region=t.owner_region,
        accounts_start=was.cast("int64"),
        accounts_retained=stays.cast("int64"),
        base_amount=where(was, t.r0),
        retained_amount=where(stays, ibis.least(t.r0, t.r1)),
        end_amount=where(was, t.r1),
        expansion_amount=where(stays & (t.r1 > t.r0), t.r1 - t.r0),
        contraction_amount=where(stays & (t.r1 < t.r0), t.r0 - t.r1),
        churned_amount=where(was & (t.r1 <= 0), t.r0 - t.r1),
        new_amount=where(~was, t.r1),
    )


def _left_join_nulls(rows: ir.Table, part: ir.Table, keys: tuple[str, ...]) -> ir.Table:
    """Join by keys that may be null: nobody's customers, and no country, are groups as well."""
    if not keys:
        return rows.cross_join(part)
    fresh = [name for name in part.columns if name not in keys]
    right = part.select(*fresh, **{f"key_{name}": part[name] for name in keys})
    same = [rows[name].identical_to(right[f"key_{name}"]) for name in keys]
    return rows.left_join(right, same).select(*rows.columns, *fresh)


def _ratios(t: ir.Table) -> ir.Table:
    def share(part: ir.NumericValue, whole: ir.NumericValue) -> ir.NumericValue:
        return (part.cast("float64") / whole.cast("float64").nullif(0.0)).round(4)

    amounts = [name for name in t.columns if name.endswith("_amount")]
    counts = ["accounts_start", "accounts_retained", "accounts_end", "key_accounts", "key_accounts_at_risk"]
    counts += ["contacts_due", "contacts_kept", "urgent_tickets"]
    t = t.mutate(
        **{name: t[name].coalesce(0).cast(Money) for name in amounts},
        **{name: t[name].coalesce(0).cast("int64") for name in counts},
    )
    return t.mutate(
        accounts_lost=t.accounts_start - t.accounts_retained,
        logo_retention=share(t.accounts_retained, t.accounts_start),
        grr=share(t.retained_amount, t.base_amount),
        nrr=share(t.end_amount, t.base_amount),
        account_growth=(t.end_amount.cast("float64") / t.base_amount.cast("float64").nullif(0.0) - 1).round(4),
        satisfaction=(t.satisfaction_sum / t.satisfaction_weight.nullif(0.0)).round(2),
        cadence_kept=share(t.contacts_kept, t.contacts_due),
    ).drop("satisfaction_sum", "satisfaction_weight")
