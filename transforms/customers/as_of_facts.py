"""What was known on a day: tables without the facts of later days, so that a score of the past sees no future.

What has a date is cut or undone by it. What sources overwrite in place is taken as it is now: names, owners, the
probability of deals that are still open, which accounts are one customer.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta

import ibis
import ibis.expr.types as ir

from schemas.base import Money
from transforms.conform.exchange_rates import half_even

Tables = Mapping[str, ir.Table]


def known_on(tables: Tables, as_of: date) -> dict[str, ir.Table]:
    """Leave out of the conformed tables what happened after a day, by UTC."""
    return {name: _CUTS[name](tables, as_of) if name in _CUTS else table for name, table in tables.items()}


def _accounts(tables: Tables, as_of: date) -> ir.Table:
    t = tables["accounts"]
    return t.filter((t.created_at < _end(as_of)).coalesce(True))


def _deals(tables: Tables, as_of: date) -> ir.Table:
    """Open again what was closed later; how likely it was then is not known, so it weighs nothing."""
    t = tables["deals"]
    t = t.filter((t.created_at < _end(as_of)).coalesce(True))
    later = (t.status != "open") & (t.close_on > as_of).coalesce(False)
    return t.mutate(
        status=ibis.ifelse(later, "open", t.status),
        probability=ibis.ifelse(later, None, t.probability),
        close_on=ibis.ifelse(later, None, t.close_on),
    )


def _orders(tables: Tables, as_of: date) -> ir.Table:
    t = tables["orders"]
    return t.filter(t.ordered_on <= as_of)


def _payments(tables: Tables, as_of: date) -> ir.Table:
    t = tables["payments"]
    return t.filter(t.paid_on <= as_of)


def _invoices(tables: Tables, as_of: date) -> ir.Table:
    """Open again what was paid later: by the later payments where there are some, else in full."""
    t, payments = tables["invoices"], tables["payments"]
    t = t.filter(t.invoice_on <= as_of)
    after = payments.filter(payments.paid_on > as_of, payments.status == "posted", payments.invoice_id.notnull())
    after = after.group_by("connection", "invoice_id", "currency").agg(later=after.amount.sum())
    joined = t.left_join(after, ["connection", "invoice_id", "currency"])
    t = joined.select(*(joined[name] for name in t.columns), "later")
    paid_later = (t.paid_on > as_of).coalesce(False)
    whole = t.total_amount.coalesce(t.net_amount)
    again = ibis.ifelse(
        t.later.notnull(), ibis.least(t.open_amount.coalesce(0) + t.later.cast(Money), whole), whole
    ).cast(Money)
    changed = t.later.notnull() | paid_later
    return t.mutate(
        open_amount=ibis.ifelse(changed, again, t.open_amount),
        reporting_open_amount=ibis.ifelse(
            changed, half_even((again * t.rate).cast("decimal(38, 8)")).cast(Money), t.reporting_open_amount
        ),
        paid_on=ibis.ifelse(changed, None, t.paid_on),
    ).drop("later")


def _tickets(tables: Tables, as_of: date) -> ir.Table:
    """Open again what was solved later, and take back first replies that had not been given yet."""
    t = tables["tickets"]
    t = t.filter(t.created_at < _end(as_of))
    later = (t.solved_at >= _end(as_of)).coalesce(False)
    replied = t.created_at.epoch_seconds() + t.first_reply_minutes * 60 >= _end(as_of).epoch_seconds()
    return t.mutate(
        status=ibis.ifelse(later, "open", t.status),
        solved_at=ibis.ifelse(later, None, t.solved_at),
        resolution_minutes=ibis.ifelse(later, None, t.resolution_minutes),
        reopens=ibis.ifelse(later, None, t.reopens),
        agent_minutes=ibis.ifelse(later, None, t.agent_minutes),
        first_reply_minutes=ibis.ifelse(replied.coalesce(False), None, t.first_reply_minutes),
    )


def _activities(tables: Tables, as_of: date) -> ir.Table:
    t = tables["activities"]
    return t.filter(t.happened_at < _end(as_of))


def _ratings(tables: Tables, as_of: date) -> ir.Table:
    t = tables["ratings"]
    return t.filter(t.rated_at < _end(as_of))


def _end(as_of: date) -> ir.TimestampValue:
    """Name the first instant that is too late."""
    return ibis.literal(datetime.combine(as_of + timedelta(days=1), time.min, UTC), "timestamp('UTC')")


_CUTS: Mapping[str, Callable[[Tables, date], ir.Table]] = {
    "accounts": _accounts,
    "deals": _deals,
    "orders": _orders,
    "payments": _payments,
    "invoices": _invoices,
    "tickets": _tickets,
    "activities": _activities,
    "ratings": _ratings,
}
