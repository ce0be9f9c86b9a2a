"""The steps of the portfolio tables that need more than tables."""

from collections.abc import Mapping
from datetime import date

import ibis.expr.types as ir

from transforms.customers import owner_roles
from transforms.joins import with_customer
from transforms.portfolio import handovers


def holders(
    accounts: ir.Table, deals: ir.Table, crosswalk: ir.Table, owners: ir.Table, *, roles: Mapping[str, str]
) -> ir.Table:
    """Who looks after each customer in which role, as the sources say now."""
    members, owned_deals = with_customer(accounts, crosswalk), with_customer(deals, crosswalk)
    return owner_roles.holders(members, owned_deals, owners, roles)


def first_wins(crosswalk: ir.Table, deals: ir.Table, orders: ir.Table, invoices: ir.Table, *, as_of: date) -> ir.Table:
    """The deals that won a customer."""
    return handovers.first_wins(crosswalk, deals, orders, invoices, as_of)
