"""What each customer bought, owes, may buy, asked and heard: one row for each customer and source table.

Each table is summed up before it is joined, so that no row counts twice. Only what was posted or
confirmed counts, and only up to `as_of`; L12 is the 365 days up to and including it.
"""

from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from schemas.base import Money
from transforms.conform.exchange_rates import half_even

_YEAR = timedelta(days=365)
_Wide = "decimal(38, 8)"


def invoice_totals(owned: ir.Table, as_of: date) -> ir.Table:
    """Sum up posted invoices and credit notes; first and last date are those of invoices alone."""
    posted = owned.filter(owned.status == "posted", owned.invoice_on <= as_of)
    net, due = posted.reporting_net_amount, ibis.coalesce(posted.reporting_open_amount, 0)
    in_l12 = posted.invoice_on > as_of - _YEAR
    in_p12 = (posted.invoice_on > as_of - 2 * _YEAR) & ~in_l12
    is_invoice = posted.kind == "invoice"
    return posted.group_by("customer_id").agg(
        revenue_l12_amount=net.sum(where=in_l12),
        revenue_p12_amount=net.sum(where=in_p12),
        revenue_amount=net.sum(),
        open_amount=due.sum(),
        overdue_amount=due.sum(where=posted.due_on < as_of),
        first_invoice_on=posted.invoice_on.min(where=is_invoice),
        last_invoice_on=posted.invoice_on.max(where=is_invoice),
    )


def order_dates(owned: ir.Table, as_of: date) -> ir.Table:
    """Find the first and the last confirmed order."""
    confirmed = owned.filter(owned.status == "confirmed", owned.ordered_on <= as_of)
    return confirmed.group_by("customer_id").agg(
        first_confirmed_on=confirmed.ordered_on.min(), last_confirmed_on=confirmed.ordered_on.max()
    )


def deal_totals(owned: ir.Table, as_of: date) -> ir.Table:
    """Count deals and sum up the open ones; without a probability a deal weighs nothing."""
    is_open = owned.status == "open"
    is_closed = ibis.coalesce(owned.close_on <= as_of, True)
    # 19 and 18 digits: the product is exact on every engine.
    weight = ibis.coalesce(owned.probability, 0.0).cast("decimal(19, 6)")
    weighted = (owned.reporting_amount * weight).cast(_Wide)
    return owned.group_by("customer_id").agg(
        deals_open=is_open.sum(),
        pipeline_amount=owned.reporting_amount.sum(where=is_open),
        weighted_pipeline_amount=weighted.sum(where=is_open).cast(_Wide),
        deals_won=((owned.status == "won") & is_closed).sum(),
        deals_lost=((owned.status == "lost") & is_closed).sum(),
    )


def open_tickets(owned: ir.Table) -> ir.Table:
    """Count the tickets that are not solved yet."""
    return owned.group_by("customer_id").agg(tickets_open=owned.status.notin(["solved", "closed"]).sum())


def last_contact(owned: ir.Table, as_of: date) -> ir.Table:
    """Find the last activity that has happened by the end of `as_of` (UTC)."""
    tomorrow = ibis.literal(as_of + timedelta(days=1)).cast(owned.happened_at.type())
    is_past = ibis.coalesce(owned.status == "done", True) & (owned.happened_at < tomorrow)
    return owned.group_by("customer_id").agg(last_contact_at=owned.happened_at.max(where=is_past))


def money(amount: ir.DecimalValue) -> ir.DecimalValue:
    """Give a sum the type of money, rounded half to even; no rows are no money."""
    return ibis.coalesce(half_even(amount), ibis.literal(0).cast(Money))
