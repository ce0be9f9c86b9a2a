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
    candidates = ibis.union(
        _candidates(crosswalk.mutate(old_id=crosswalk.base_id), 0),
        _candidates(crosswalk.mutate(old_id=crosswalk.first_id), 1),
        _candidates(moved, 2),
    ).anti_join(alive, [("old_id", "customer_id")])
    order = [candidates.place, candidates.is_gone, candidates.since, candidates.connection, candidates.account_id]
    fresh = first(candidates, "old_id", order).select(customer_id="old_id", redirected_to="customer_id")
    still_redirected = earlier.anti_join(alive, "customer_id").anti_join(fresh, "customer_id")
    followed = still_redirected.left_join(
        fresh.rename(_id="customer_id", _to="redirected_to"), [("redirected_to", "_id")]
    )
    target = ibis.coalesce(followed._to, followed.redirected_to)
    return fresh.union(followed.select("customer_id", redirected_to=target))


def _candidates(rows: ir.Table, priority: int) -> ir.Table:
    return rows.select(
        "old_id",
        "customer_id",
        "since",
        "connection",
        "account_id",
        place=ibis.literal(priority),
        is_gone=rows.rule == "redirect",
    )
