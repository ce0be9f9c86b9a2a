"""Who looked after each customer over time (SCD2)."""

from datetime import date

import ibis
import ibis.expr.types as ir

_KEY = ("customer_id", "role")
_DETAILS = ("owner", "owner_email", "owner_ids", "owner_region")
_OWNER = ("owner_key", *_DETAILS)


def ownership(customers: ir.Table, holders: ir.Table, previous: ir.Table, *, as_of: date) -> ir.Table:
    """Add the owners that a build sees to the intervals of earlier builds.

    Grain: customer_id, role, valid_from. An interval ends where a build sees another person; an open one has valid_to
    null. Name, e-mail and ids of a person are always the newest. A second build of the same date replaces the first,
    and a build of an earlier date leaves later intervals alone.
    """
    current = _current_owners(customers, holders).mutate(valid_from=ibis.literal(as_of))
    earlier = previous.filter(previous.valid_from != as_of).drop("valid_to")
    seen_owners = earlier.union(current.select(*earlier.columns))
    intervals = _with_newest_details(_starts(seen_owners), holders)
    ends = intervals.valid_from.lead().over(group_by=_KEY, order_by=intervals.valid_from)
    return intervals.mutate(valid_to=ends)


def owned_on(ownership: ir.Table, day: date, role: str) -> ir.Table:
    """Return who looked after each customer on a day.

    Grain: customer_id. Before a customer's first build its first owner counts.
    """
    spells = ownership.filter(ownership.role == role)
    first = ibis.row_number().over(group_by="customer_id", order_by=spells.valid_from) == 0
    spells = spells.mutate(is_first=first)
    began = spells.is_first | (spells.valid_from <= day)
    lasts = spells.valid_to.isnull() | (spells.valid_to > day)
    return spells.filter(began, lasts, spells.owner_key.notnull()).select("customer_id", *_OWNER)


def _current_owners(customers: ir.Table, holders: ir.Table) -> ir.Table:
    """Return both roles of every customer; without an owner the row has nulls, because that is an interval too."""
    by_role = [
        customers.select("customer_id", role=ibis.literal(role))
        .left_join(holders.filter(holders.role == role).drop("role"), "customer_id")
        .select(*_KEY, *_OWNER)
        for role in ("account_manager", "account_executive")
    ]
    return ibis.union(*by_role)


def _starts(seen_owners: ir.Table) -> ir.Table:
    """Keep the rows whose owner differs from that of the row before."""
    owner = seen_owners.owner_key.coalesce("")
    last = owner.lag().over(group_by=_KEY, order_by=seen_owners.valid_from)
    rows = seen_owners.mutate(last=last)
    return rows.filter(rows.last.isnull() | (rows.last != rows.owner_key.coalesce(""))).drop("last")


def _with_newest_details(spells: ir.Table, holders: ir.Table) -> ir.Table:
    """Give all intervals of a person the newest name, e-mail and ids."""
    latest = holders.select(*_OWNER).distinct()
    details = latest.group_by("owner_key").agg(**{name: latest[name].max() for name in _DETAILS})
    joined = spells.left_join(details, "owner_key", rname="new_{name}")
    newest = {name: joined[f"new_{name}"].coalesce(joined[name]) for name in _DETAILS}
    return joined.select(*_KEY, "owner_key", **newest, valid_from=joined.valid_from)
