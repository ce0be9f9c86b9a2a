"""What each table needs beyond types: codes spelled one way, signs, and values that go without saying."""

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from transforms.conform.countries import iso2
from transforms.conform.expressions import once
from transforms.conform.normalise import domain

_INVOICE_AMOUNTS = ("net_amount", "total_amount", "open_amount", "cost_amount")


def tidy(table: ir.Table, name: str) -> ir.Table:
    """Spell codes one way and apply what is particular to the table of that name."""
    if "currency" in table.columns:
        table = table.mutate(currency=table.currency.upper())
    return _PARTICULAR[name](table) if name in _PARTICULAR else table


def _accounts(table: ir.Table) -> ir.Table:
    """Take domains from addresses and countries from names; active unless the source denies it."""
    merged = table.merged_ids.re_replace(r'[\[\]"\s]+', "").replace(",", ";").re_replace(r"^;+|;+$", "")
    clean = once(table, domain=domain(table.domain), country=iso2(table.country), merged_ids=merged)
    return clean.select(table.columns).mutate(
        domain=clean.domain.nullif(""),
        merged_ids=clean.merged_ids.nullif(""),
        is_active=ibis.coalesce(clean.is_active, True),
    )


def _invoices(table: ir.Table) -> ir.Table:
    """Count credit notes negative, whichever sign the source gives them."""
    is_credit = ibis.coalesce(table.kind == "credit_note", False)
    signed = {name: is_credit.ifelse(-table[name].abs(), table[name]) for name in _INVOICE_AMOUNTS}
    return table.mutate(ship_to_country=iso2(table.ship_to_country), **signed)


def _owners(table: ir.Table) -> ir.Table:
    """Take a user as active unless the source denies it."""
    return table.mutate(is_active=ibis.coalesce(table.is_active, True))


def _ratings(table: ir.Table) -> ir.Table:
    """Take an answer as CSAT unless the source says what was asked."""
    return table.mutate(kind=ibis.coalesce(table.kind, "csat"))


_PARTICULAR: dict[str, Callable[[ir.Table], ir.Table]] = {
    "accounts": _accounts,
    "invoices": _invoices,
    "owners": _owners,
    "ratings": _ratings,
}
