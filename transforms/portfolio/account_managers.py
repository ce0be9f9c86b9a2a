"""Account managers: what became of the customers that each looked after, and how things stand with them."""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.portfolio.portfolio import summed


def account_managers(cohorts: ir.Table, standings: ir.Table, handovers: ir.Table, *, as_of: date) -> ir.Table:
    """Give one row a manager and period; customers that nobody looks after are left out."""
    managed_cohorts, managed_standings = (table.filter(table.manager_key.notnull()) for table in (cohorts, standings))
    t = summed(managed_cohorts, managed_standings, ("manager_key",))
    names = ibis.union(*(table.select("manager_key", "manager", "region") for table in (cohorts, standings)))
    named = names.filter(names.manager_key.notnull()).group_by("manager_key")
    named = named.agg(manager=lambda row: row.manager.max(), region=lambda row: row.region.max())
    t = t.inner_join(named, "manager_key")
    received = handovers.select("manager_key", "won_on", "customer_id").inner_join(
        t.select("period", "starts_on", "manager_key"), "manager_key"
    )
    received = received.filter(received.won_on > received.starts_on, received.won_on <= as_of)
    received = received.group_by("period", "manager_key").agg(accounts_received=received.customer_id.nunique())
    t = t.left_join(received, ["period", "manager_key"]).drop("period_right", "manager_key_right")
    return t.mutate(accounts_received=t.accounts_received.coalesce(0), as_of=ibis.literal(as_of))
