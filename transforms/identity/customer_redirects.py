"""Customer ids that were given once and stand for no customer now: where each lives on."""

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import first


def customer_redirects(crosswalk: ir.Table, previous: ir.Table, earlier: ir.Table) -> ir.Table:
    """Redirect each id that merged into another customer (customer_id, redirected_to).

    `previous` is the last crosswalk, `earlier` the last table of redirects. An id that stands for a customer again is
    no redirect any more.
    """
    alive = crosswalk.select("customer_id").distinct()
    moved = previous.select("connection", "account_id", old_id="customer_id").join(
        crosswalk, ["connection", "account_id"]
    )
    held = ibis.union(
        _held(crosswalk.mutate(old_id=crosswalk.base_id), 0),
        _held(crosswalk.mutate(old_id=crosswalk.first_id), 1),
        _held(moved, 2),
    ).anti_join(alive, [("old_id", "customer_id")])
    order = [held.place, held.is_gone, held.since, held.connection, held.account_id]
    fresh = first(held, "old_id", order).select(customer_id="old_id", redirected_to="customer_id")
    left = earlier.anti_join(alive, "customer_id").anti_join(fresh, "customer_id")
    followed = left.left_join(fresh.rename(_id="customer_id", _to="redirected_to"), [("redirected_to", "_id")])
    target = ibis.coalesce(followed._to, followed.redirected_to)
    return fresh.union(followed.select("customer_id", redirected_to=target))


def _held(rows: ir.Table, place: int) -> ir.Table:
    return rows.select(
        "old_id",
        "customer_id",
        "since",
        "connection",
        "account_id",
        place=ibis.literal(place),
        is_gone=rows.rule == "redirect",
    )
