"""Handovers: a new customer passes from the executive who won it to the manager who keeps it."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from transforms.customers.owner_roles import MANAGER, staff
from transforms.joins import left_join_all, with_customer
from transforms.portfolio.contact_history import past_talks, talks

SILENT = timedelta(days=365)
BEFORE = 30  # an order so many days before the win belongs to it
KEY = ("customer_id", "connection", "deal_id")


def handovers(
    customers: ir.Table,
    crosswalk: ir.Table,
    owners: ir.Table,
    deals: ir.Table,
    orders: ir.Table,
    invoices: ir.Table,
    activities: ir.Table,
    ownership: ir.Table,
    *,
    as_of: date,
    days: int = 14,
    wins: ir.Table | None = None,
) -> ir.Table:
    """List the deals that won a customer, who hands over to whom, and whether the manager has talked with it since.

    A deal wins a customer when nothing was bought in the 365 days before it; bought earlier still, it is a re-win.
    Where executive and manager are the same person there is nothing to hand over. `wins` are the `first_wins`, where
    they are worked out already.
    """
    people = staff(owners)
    won = first_wins(crosswalk, deals, orders, invoices, as_of) if wins is None else wins
    executives = people.select("connection", "owner_id", executive_key="owner_key", executive="person")
    won = left_join_all(won, executives, on=("connection", "owner_id"))
    managers = ownership.filter(ownership.role == MANAGER, ownership.valid_from <= as_of)
    managers = managers.filter(managers.valid_to.isnull() | (managers.valid_to > as_of))
    managers = managers.select("customer_id", manager_key="owner_key", manager="owner")
    named = won.left_join(managers, "customer_id").drop("customer_id_right")
    named = named.filter((named.executive_key != named.manager_key).coalesce(True))
    details = named.left_join(_manager_talks(named, talks(activities, crosswalk), people, as_of), KEY)
    details = details.select(*named.columns, "accepted_on", "met_on", "has_contact")
    details = details.left_join(_first_purchases(named, orders, invoices, crosswalk, as_of), KEY)
    details = details.select(*(name for name in details.columns if not name.endswith("_right")))
    details = details.left_join(customers.select("customer_id", "email", "phone"), "customer_id").drop(
        "customer_id_right"
    )
    return _with_status(details, as_of, days)


def first_wins(crosswalk: ir.Table, deals: ir.Table, orders: ir.Table, invoices: ir.Table, as_of: date) -> ir.Table:
    """List the deals that won a customer: the first of a day on which nothing had been bought for 365 days."""
    won = _won_deals(deals, crosswalk, as_of)
    return _first_wins(won, purchase_days(won, orders, invoices, crosswalk, as_of))


def _won_deals(deals: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    owned = deals.filter(deals.status == "won", deals.close_on <= as_of)
    return with_customer(owned, crosswalk).select("customer_id", "connection", "deal_id", "owner_id", on="close_on")


def purchase_days(won: ir.Table, orders: ir.Table, invoices: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    """List the days on which each customer bought, by any of the three signs."""
    confirmed = with_customer(orders.filter(orders.status == "confirmed", orders.ordered_on <= as_of), crosswalk)
    posted = with_customer(invoices.filter(invoices.status == "posted", invoices.kind == "invoice"), crosswalk)
    posted = posted.filter(posted.invoice_on <= as_of)
    days = ibis.union(
        won.select("customer_id", "on"),
        confirmed.select("customer_id", on="ordered_on"),
        posted.select("customer_id", on="invoice_on"),
    )
    return days.distinct()


def _first_wins(won: ir.Table, purchase_days: ir.Table) -> ir.Table:
    """Keep the wins after which nothing had been bought for long; of several on one day the first by id."""
    last = purchase_days.on.lag().over(group_by="customer_id", order_by=purchase_days.on)
    joined = won.inner_join(purchase_days.mutate(last=last), ["customer_id", "on"])
    fresh = joined.filter(joined["last"].isnull() | (joined["last"] < joined.on - ibis.literal(SILENT)))
    nth = ibis.row_number().over(group_by=["customer_id", "on"], order_by=[fresh.connection, fresh.deal_id])
    fresh = fresh.mutate(nth=nth, is_rewin=fresh["last"].notnull())
    return fresh.filter(fresh.nth == 0).select(*KEY, "owner_id", "is_rewin", won_on="on")


def _manager_talks(named: ir.Table, spoken: ir.Table, people: ir.Table, as_of: date) -> ir.Table:
    """Find the first talk and the first meeting of the manager since the win."""
    happened = past_talks(spoken, as_of)
    by = people.select("connection", "owner_id", "owner_key")
    happened = happened.left_join(by, ["connection", "owner_id"]).select(*happened.columns, "owner_key")
    happened = happened.select("customer_id", "kind", "contact_id", "on", talker="owner_key")
    since = named.inner_join(happened, "customer_id").filter(lambda t: t.on >= t.won_on)
    is_managers = (since.talker == since.manager_key).coalesce(False)
    return since.group_by(*KEY).agg(
        accepted_on=since.on.min(where=is_managers),
        met_on=since.on.min(where=is_managers & (since.kind == "meeting")),
        has_contact=since.contact_id.notnull().any(),
    )


def _first_purchases(
    named: ir.Table, orders: ir.Table, invoices: ir.Table, crosswalk: ir.Table, as_of: date
) -> ir.Table:
    """Find the first order or invoice of what was won."""
    none = named.select("customer_id", on="won_on").limit(0)
    days = purchase_days(none, orders, invoices, crosswalk, as_of)
    since = named.inner_join(days, "customer_id")
    since = since.filter(since.on >= since.won_on - ibis.literal(timedelta(days=BEFORE)))
    return since.group_by(*KEY).agg(bought_on=since.on.min())


def _with_status(details: ir.Table, as_of: date, days: int) -> ir.Table:
    due = (details.won_on + ibis.literal(timedelta(days=days))).cast("date")
    missing = {
        "manager": details.manager_key.isnull(),
        "contact": ~details.has_contact.coalesce(False) & details.email.isnull() & details.phone.isnull(),
        "order": details.bought_on.isnull(),
        "meeting": details.met_on.isnull(),
    }
    missing_text = ibis.literal("", "string")
    for item, is_missing in missing.items():
        missing_text = missing_text + ibis.ifelse(is_missing, f"{item}, ", "")
    status = ibis.cases((details.accepted_on.notnull(), "accepted"), (due < as_of, "overdue"), else_="pending")
    return details.select(
        *KEY,
        "executive_key",
        "executive",
        "manager_key",
        "manager",
        "won_on",
        due_on=due,
        accepted_on=details.accepted_on,
        status=status,
        is_rewin=details.is_rewin,
        missing_items=missing_text.re_replace(", $", "").nullif(""),
        as_of=ibis.literal(as_of),
    )
