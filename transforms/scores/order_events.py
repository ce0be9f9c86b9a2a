"""When customers ordered: what retention is about."""

from typing import Literal

import ibis.expr.types as ir

Event = Literal["order", "invoice"]


def order_events(crosswalk: ir.Table, orders: ir.Table, invoices: ir.Table, *, event: Event) -> ir.Table:
    """List the days on which a customer ordered, and for how much: confirmed orders, or posted invoices, above 0."""
    if event == "order":
        chosen = orders.filter(orders.status == "confirmed", orders.reporting_amount > 0)
        chosen = chosen.select("connection", "account_id", on=chosen.ordered_on, amount=chosen.reporting_amount)
    else:
        is_one = (invoices.status == "posted") & (invoices.kind == "invoice") & (invoices.reporting_net_amount > 0)
        chosen = invoices.filter(is_one)
        chosen = chosen.select("connection", "account_id", on=chosen.invoice_on, amount=chosen.reporting_net_amount)
    account_customers = crosswalk.select("connection", "account_id", "customer_id")
    owned = chosen.inner_join(account_customers, ["connection", "account_id"])
    return owned.group_by("customer_id", "on").agg(amount=owned.amount.sum())
