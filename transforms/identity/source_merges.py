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
    said = newest.filter(newest[path].notnull()).select(
        record_id=newest[path].split(";").unnest(), redirected_to=newest._key
    )
    said = said.mutate(record_id=said.record_id.strip())
    said = said.filter((said.record_id != "") & (said.record_id != said.redirected_to))
    known = said.group_by("record_id").agg(redirected_to=said.redirected_to.max())
    for _ in range(CHAIN):
        known = _followed(known)
    return known.select(connection=ibis.literal(connection), stream=ibis.literal(stream), **_both(known))


def without_redirected(newest: ir.Table, redirected: ir.Table) -> ir.Table:
    """Leave out the records that live on in others."""
    return newest.anti_join(redirected, newest._key == redirected.record_id)


def _followed(known: ir.Table) -> ir.Table:
    """Go one merge further."""
    further = known.select(_winner=known.record_id, _next=known.redirected_to)
    joined = known.left_join(further, known.redirected_to == further._winner)
    last = ibis.coalesce(joined._next, joined.redirected_to)
    return joined.select("record_id", redirected_to=(last == joined.record_id).ifelse(joined.redirected_to, last))


def _both(known: ir.Table) -> dict[str, ir.Value]:
    return {"record_id": known.record_id, "redirected_to": known.redirected_to}
