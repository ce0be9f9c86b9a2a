"""Handovers: a new customer passes from the account executive who won it to its account manager."""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from transforms.customers.owner_roles import MANAGER, staff
from transforms.joins import left_join_all, with_customer
from transforms.portfolio.contact_history import past_talks, talks

SILENT = timedelta(days=365)
BEFORE = 30  # days: an order this long before the win still belongs to it
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
    """Return the deals that won a customer, who hands over to whom, and whether the manager has contacted it since.

    Grain: customer_id, connection, deal_id. A deal wins a customer that bought nothing in the 365 days before; a
    customer that had bought earlier is a re-win. Where executive and manager are the same person there is no handover.
    `days` is the time to accept; `wins` are the `first_wins`, where they are computed already.
    """
    people = staff(owners)
    won = first_wins(crosswalk, deals, orders, invoices, as_of) if wins is None else wins
    named = _with_people(won, people, ownership, as_of)
    details = left_join_all(
        named,
        _manager_talks(named, talks(activities, crosswalk), people, as_of),
        _first_purchases(named, orders, invoices, crosswalk, as_of),
        on=KEY,
    )
    contacts = customers.select("customer_id", "email", "phone")
    return _with_status(left_join_all(details, contacts, on="customer_id"), as_of, days)


def first_wins(crosswalk: ir.Table, deals: ir.Table, orders: ir.Table, invoices: ir.Table, as_of: date) -> ir.Table:
    """Return the deals that won a customer: won on a day before which nothing had been bought for 365 days.

    Grain: customer_id, won_on. Of several deals on one day the first by id counts.
    """
    won = _won_deals(deals, crosswalk, as_of)
    purchases = won.select("customer_id", "on").union(_billed_days(orders, invoices, crosswalk, as_of)).distinct()
    return _after_silence(won, purchases)


def later_purchase_days(orders: ir.Table, invoices: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    """Return the days with an order or an invoice of each customer; deals are left out."""
    return _billed_days(orders, invoices, crosswalk, as_of).distinct()


def _won_deals(deals: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    owned = deals.filter(deals.status == "won", deals.close_on <= as_of)
    return with_customer(owned, crosswalk).select("customer_id", "connection", "deal_id", "owner_id", on="close_on")


def _billed_days(orders: ir.Table, invoices: ir.Table, crosswalk: ir.Table, as_of: date) -> ir.Table:
    """Return the days of confirmed orders and posted invoices of each customer."""
    confirmed = orders.filter(orders.status == "confirmed", orders.ordered_on <= as_of)
    posted = invoices.filter(invoices.status == "posted", invoices.kind == "invoice", invoices.invoice_on <= as_of)
    order_days = with_customer(confirmed, crosswalk).select("customer_id", on="ordered_on")
    return order_days.union(with_customer(posted, crosswalk).select("customer_id", on="invoice_on"))


def _after_silence(won: ir.Table, purchases: ir.Table) -> ir.Table:
    """Keep the wins on days before which the customer had bought nothing for `SILENT`."""
    last = purchases.on.lag().over(group_by="customer_id", order_by=purchases.on)
    joined = won.inner_join(purchases.mutate(last=last), ["customer_id", "on"])
    first = joined.filter(joined["last"].isnull() | (joined["last"] < joined.on - ibis.literal(SILENT)))
    nth = ibis.row_number().over(group_by=["customer_id", "on"], order_by=[first.connection, first.deal_id])
    numbered = first.mutate(nth=nth, is_rewin=first["last"].notnull())
    return numbered.filter(numbered.nth == 0).select(*KEY, "owner_id", "is_rewin", won_on="on")


def _with_people(won: ir.Table, people: ir.Table, ownership: ir.Table, as_of: date) -> ir.Table:
    """Add executive and manager, and leave out deals where they are the same person."""
    executives = people.select("connection", "owner_id", executive_key="owner_key", executive="person")
    is_current = ownership.valid_to.isnull() | (ownership.valid_to > as_of)
    managers = ownership.filter(ownership.role == MANAGER, ownership.valid_from <= as_of, is_current)
    managers = managers.select("customer_id", manager_key="owner_key", manager="owner")
    named = left_join_all(won, executives, on=("connection", "owner_id"))
    named = left_join_all(named, managers, on="customer_id")
    return named.filter((named.executive_key != named.manager_key).coalesce(True))


def _manager_talks(named: ir.Table, spoken: ir.Table, people: ir.Table, as_of: date) -> ir.Table:
    """Find the manager's first conversation and first meeting since the win, and whether a contact is known."""
    talkers = people.select("connection", "owner_id", talker="owner_key")
    happened = left_join_all(past_talks(spoken, as_of), talkers, on=("connection", "owner_id"))
    happened = happened.select("customer_id", "kind", "contact_id", "on", "talker")
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
    """Find the day of the first order or invoice after each win."""
    since = named.inner_join(later_purchase_days(orders, invoices, crosswalk, as_of), "customer_id")
    since = since.filter(since.on >= since.won_on - ibis.literal(timedelta(days=BEFORE)))
    return since.group_by(*KEY).agg(bought_on=since.on.min())


def _missing_items(details: ir.Table) -> ir.StringValue:
    missing = {
        "manager": details.manager_key.isnull(),
        "contact": ~details.has_contact.coalesce(False) & details.email.isnull() & details.phone.isnull(),
        "order": details.bought_on.isnull(),
        "meeting": details.met_on.isnull(),
    }
    items = ibis.literal("", "string")
    for item, is_missing in missing.items():
        items = items + ibis.ifelse(is_missing, f"{item}, ", "")
    return items.re_replace(", $", "").nullif("")


def _with_status(details: ir.Table, as_of: date, days: int) -> ir.Table:
    due = (details.won_on + ibis.literal(timedelta(days=days))).cast("date")
    status = ibis.cases((details.accepted_on.notnull(), "accepted"), (due < as_of, "overdue"), else_="pending")
    people = ("executive_key", "executive", "manager_key", "manager")
    return details.select(
        *(*KEY, *people, "won_on", "accepted_on", "is_rewin"),
        due_on=due,
        status=status,
        missing_items=_missing_items(details),
        as_of=ibis.literal(as_of),
    )
