"""Account managers: retention and current state of the customers that each looked after."""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.joins import left_join_all
from transforms.portfolio.portfolio import summed


def account_managers(cohorts: ir.Table, standings: ir.Table, handovers: ir.Table, *, as_of: date) -> ir.Table:
    """Return the measures of each account manager.

    Grain: period, manager_key. Customers without an account manager are left out.
    """
    cohorts, standings = (table.filter(table.manager_key.notnull()) for table in (cohorts, standings))
    measures = summed(cohorts, standings, ("manager_key",)).inner_join(_names(cohorts, standings), "manager_key")
    received = _accounts_received(measures, handovers, as_of)
    t = left_join_all(measures, received, on=("period", "manager_key"))
    return t.mutate(accounts_received=t.accounts_received.coalesce(0), as_of=ibis.literal(as_of))


def _names(*tables: ir.Table) -> ir.Table:
    names = ibis.union(*(table.select("manager_key", "manager", "region") for table in tables))
    return names.group_by("manager_key").agg(manager=names.manager.max(), region=names.region.max())


def _accounts_received(measures: ir.Table, handovers: ir.Table, as_of: date) -> ir.Table:
    """Count the customers handed over to each manager in each period."""
    won = handovers.select("manager_key", "won_on", "customer_id")
    received = won.inner_join(measures.select("period", "starts_on", "manager_key"), "manager_key")
    received = received.filter(received.won_on > received.starts_on, received.won_on <= as_of)
    return received.group_by("period", "manager_key").agg(accounts_received=received.customer_id.nunique())
