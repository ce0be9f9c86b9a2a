"""Who looked after a customer over time: one row for each spell."""

from datetime import date

import ibis
import ibis.expr.types as ir

_KEY = ("customer_id", "role")
_SEEN = ("owner_key", "owner", "owner_email", "owner_ids", "owner_region")


def ownership(customers: ir.Table, holders: ir.Table, previous: ir.Table, *, as_of: date) -> ir.Table:
    """Add what a build sees to the spells of earlier builds; a spell ends where another person is seen.

    Seeing the same person anew changes nothing but name, e-mail and ids, which are always the newest. A second build
    of the same date replaces the first, and one of an earlier date leaves the later spells alone.
    """
    now = ibis.literal(as_of)
    current = _current_owners(customers, holders).mutate(valid_from=now)
    earlier = previous.filter(previous.valid_from != as_of).drop("valid_to")
    spells = earlier.union(current.select(*earlier.columns))
    spells = spells.mutate(last=spells.owner_key.coalesce("").lag().over(group_by=_KEY, order_by=spells.valid_from))
    starts = spells.filter(spells.last.isnull() | (spells.last != spells.owner_key.coalesce(""))).drop("last")
    starts = _with_newest_details(starts, holders)
    return starts.mutate(valid_to=starts.valid_from.lead().over(group_by=_KEY, order_by=starts.valid_from))


def owned_on(ownership: ir.Table, day: date, role: str) -> ir.Table:
    """Tell who looked after each customer on a day; before the first build, who did at the first build."""
    spells = ownership.filter(ownership.role == role)
    first = ibis.row_number().over(group_by="customer_id", order_by=spells.valid_from) == 0
    spells = spells.mutate(is_first=first)
    began = spells.is_first | (spells.valid_from <= day)
    lasts = spells.valid_to.isnull() | (spells.valid_to > day)
    return spells.filter(began, lasts, spells.owner_key.notnull()).select("customer_id", *_SEEN)


def _current_owners(customers: ir.Table, holders: ir.Table) -> ir.Table:
    """List both roles of every customer, nobody included: an account without a manager is a spell as well."""
    by_role = [
        customers.select("customer_id", role=ibis.literal(role))
        .left_join(holders.filter(holders.role == role).drop("role"), "customer_id")
        .select("customer_id", "role", *_SEEN)
        for role in ("account_manager", "account_executive")
    ]
    return ibis.union(*by_role)


def _with_newest_details(spells: ir.Table, holders: ir.Table) -> ir.Table:
    """Give the newest name, e-mail and ids of a person to all of the person's spells."""
    latest = holders.select(*_SEEN).distinct()
    newest_details = latest.group_by("owner_key").agg(
        **{name: latest[name].max() for name in _SEEN if name != "owner_key"}
    )
    joined = spells.left_join(newest_details, "owner_key", rname="new_{name}")
    newest = {name: joined[f"new_{name}"].coalesce(joined[name]) for name in _SEEN if name != "owner_key"}
    return joined.select("customer_id", "role", "owner_key", **newest, valid_from=joined.valid_from)
