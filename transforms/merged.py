"""Accounts that their own system has merged into others."""

import ibis.expr.types as ir


def without_merged(accounts: ir.Table) -> ir.Table:
    """Drop the accounts that another account of the same connection says it has swallowed.

    Some systems (HubSpot) let the loser vanish and tell of it only on the winner; the crosswalk still redirects it.
    """
    winners = accounts.filter(accounts.merged_ids.notnull())
    losers = winners.select("connection", account_id=winners.merged_ids.split(";").unnest()).distinct()
    return accounts.anti_join(losers, ["connection", "account_id"])
