"""Records that their own system has merged into others: they are redirected, not deleted.

Some systems (HubSpot) let the loser vanish and tell of it only on the winner.
"""

import ibis
import ibis.expr.types as ir

CHAIN = 4  # so many merges of merges in a row are followed


def redirects(newest: ir.Table, path: str, *, connection: str, stream: str) -> ir.Table:
    """List each record that another one of its stream names among those merged into it, by the last of its winners.

    `newest` is the newest version of every record, of those that are gone too: whoever was deleted after it had absorbed
    others takes them along, and none of them is alive again.
    """
    merges = newest.filter(newest[path].notnull()).select(
        record_id=newest[path].split(";").unnest(), redirected_to=newest._key
    )
    merges = merges.mutate(record_id=merges.record_id.strip())
    merges = merges.filter((merges.record_id != "") & (merges.record_id != merges.redirected_to))
    targets = merges.group_by("record_id").agg(redirected_to=merges.redirected_to.max())
    for _ in range(CHAIN):
        targets = _one_step_further(targets)
    return targets.select(connection=ibis.literal(connection), stream=ibis.literal(stream), **_both(targets))


def without_redirected(newest: ir.Table, redirected: ir.Table) -> ir.Table:
    """Leave out the records that live on in others."""
    return newest.anti_join(redirected, newest._key == redirected.record_id)


def _one_step_further(targets: ir.Table) -> ir.Table:
    """Go one merge further."""
    further = targets.select(_winner=targets.record_id, _next=targets.redirected_to)
    joined = targets.left_join(further, targets.redirected_to == further._winner)
    last = ibis.coalesce(joined._next, joined.redirected_to)
    return joined.select("record_id", redirected_to=(last == joined.record_id).ifelse(joined.redirected_to, last))


def _both(targets: ir.Table) -> dict[str, ir.Value]:
    return {"record_id": targets.record_id, "redirected_to": targets.redirected_to}
