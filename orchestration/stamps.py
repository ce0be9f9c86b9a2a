"""Stamps of rows that are held, set back: those that a wrong clock gave, and those of versions that a source lost.

The version of a record that counts is the newest, by its stamp. One whose stamp was wrong, or one of an edit that a
restored source knows nothing of any more, would be the newest for ever.
"""

from datetime import datetime, timedelta
from uuid import uuid4

import ibis
import ibis.expr.types as ir

from orchestration.held import Held

STAMPS = ("_extracted_at", "_cursor")


def set_before(held: Held, now: datetime, back: timedelta) -> None:
    """Set stamps that lie ahead of now back by so much: they would seem newer than what comes from now on."""
    span = ibis.interval(microseconds=back // timedelta(microseconds=1))

    def earlier(rows: ir.Table) -> ir.Table:
        return rows.mutate(**{name: (rows[name] > now).ifelse(rows[name] - span, rows[name]) for name in STAMPS})

    for file in held.before:
        if held.is_ahead(file, now):
            held.project.lake.compact(held.engine, held.asset, [file], earlier)


def set_behind(held: Held, stamps: str) -> None:
    """Set versions that a source has lost just behind the one that it shows now, by a table of the engine."""

    def behind(rows: ir.Table) -> ir.Table:
        newest, settled = (
            f"{name} {uuid4().hex}" for name in ("newest", "settled")
        )  # no path of a record is called so
        now = held.engine.table(stamps, database="temp.main").rename({newest: "newest", settled: "settled"})
        both = rows.left_join(now, "_key")
        is_lost = (both._cursor > both[newest]) & (both._cursor < both[settled])
        stamp = is_lost.ifelse(both[newest] - ibis.interval(microseconds=1), both._cursor)
        return both.select(*(name for name in rows.columns if name != "_cursor"), _cursor=stamp).select(rows.columns)

    for file in held.before:
        if held.lost(stamps, [file]):
            held.project.lake.compact(held.engine, held.asset, [file], behind)
