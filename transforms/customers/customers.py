"""One row for each customer: the unified record, who looks after it, and what it is worth."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir

from schemas.find import model
from transforms.customers.owner_roles import people
from transforms.customers.rollups import deal_totals, invoice_totals, last_contact, money, open_tickets, order_dates
from transforms.customers.survivorship import survivors
from transforms.joins import left_join_all, with_customer

_AMOUNTS = (
    "revenue_l12_amount",
    "revenue_p12_amount",
    "revenue_amount",
    "open_amount",
    "overdue_amount",
    "pipeline_amount",
    "weighted_pipeline_amount",
)
_COUNTS = ("deals_open", "deals_won", "deals_lost", "tickets_open")
_ACTIVE_FOR = timedelta(days=365)


def customers(
    accounts: ir.Table,
    crosswalk: ir.Table,
    owners: ir.Table,
    deals: ir.Table,
    orders: ir.Table,
    invoices: ir.Table,
    tickets: ir.Table,
    activities: ir.Table,
    *,
    as_of: date,
    reporting_currency: str,
    survivorship: Mapping[str, Mapping[str, Any]],
    roles: Mapping[str, str],
) -> ir.Table:
    """Unite the accounts of each customer and sum up what hangs on them.

    `survivorship` is {field: {"rule": ..., "order": [...]}}, `roles` {connection: crm|erp|helpdesk|other}.
    A customer is active with an order or invoice in the 365 days up to `as_of` or an open deal, churned
    when it has only older ones, else a prospect. What hangs on an account that was merged away or is gone
    still counts, through its crosswalk row; a customer without any account left is not listed.
    """
    members = with_customer(accounts, crosswalk, "is_oversized")
    deals_owned = with_customer(deals, crosswalk)
    measured = left_join_all(
        survivors(members, survivorship, roles),
        _account_summary(members),
        people(members, deals_owned, owners, roles),
        invoice_totals(with_customer(invoices, crosswalk), as_of),
        order_dates(with_customer(orders, crosswalk), as_of),
        deal_totals(deals_owned, as_of),
        open_tickets(with_customer(tickets, crosswalk)),
        last_contact(with_customer(activities, crosswalk), as_of),
        on="customer_id",
    )
    return _with_status(measured, as_of, reporting_currency)


def _account_summary(members: ir.Table) -> ir.Table:
    """Count the accounts of each customer and name their connections in order."""
    counted = members.group_by("customer_id").agg(
        accounts_count=members.count(),
        is_oversized=members.is_oversized.any(),
        _held=members.connection.collect(distinct=True),
    )
    return counted.mutate(connections=counted._held.sort().join(", ")).drop("_held")


def _with_status(measured: ir.Table, as_of: date, reporting_currency: str) -> ir.Table:
    """Fill in what nobody has, find the first and last purchase, and judge the status."""
    filled = measured.mutate(
        **{name: money(measured[name]) for name in _AMOUNTS},
        **{name: ibis.coalesce(measured[name], 0).cast("int64") for name in _COUNTS},
        first_order_on=ibis.least(measured.first_confirmed_on, measured.first_invoice_on),
        last_order_on=ibis.greatest(measured.last_confirmed_on, measured.last_invoice_on),
        currency=ibis.literal(reporting_currency),
    )
    status = ibis.cases(
        ((filled.last_order_on > as_of - _ACTIVE_FOR) | (filled.deals_open > 0), "active"),
        (filled.last_order_on.notnull(), "churned"),
        else_="prospect",
    )
    columns = model("customers").to_schema().columns
    typed = filled.mutate(status=status, payment_state=_payment_state(filled))
    return typed.select(**{str(name): typed[str(name)].cast(column.dtype.type) for name, column in columns.items()})


def _payment_state(filled: ir.Table) -> ir.StringValue:
    return ibis.cases(
        (filled.overdue_amount > 0, "overdue"),
        (filled.open_amount > 0, "open"),
        (filled.last_invoice_on.notnull(), "paid"),
        else_=ibis.null("string"),
    )
