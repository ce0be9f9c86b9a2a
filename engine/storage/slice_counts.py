"""What sources counted and what was read, slice by slice: the figures that a reconciliation stands on."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from connectors.kit.stream import Slice
from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

KEPT = 400  # balances of windows a stream: more than a year of nights


@dataclass(frozen=True)
class SliceCount:
    """Compare a slice, or with `is_total` the whole stream, with the source's own count.

    `read` are the distinct records of the slice that were read, `moved` those that left it while it was being read
    (they were edited or deleted, and come with a later slice), `missing` those that the source counts and did not
    send. Of a total, `source_new` are the records that the next run reads (they changed of late), `source_held` those
    of them that are held (None: nobody knows), and `read` is left 0: the build knows what is held. `at` is the source's clock.
    `source_count` is None where the source tells none.
    """

    connection: str
    stream: str
    slice_: Slice
    at: datetime
    source_count: int | None
    read: int = 0
    moved: int = 0
    missing: int = 0
    source_new: int = 0
    source_held: int | None = None
    is_total: bool = False
    run_id: str = ""


class SliceCounts(Store):
    """Keep balances."""

    def record(self, balance: SliceCount) -> None:
        """Write a balance down; an earlier one of the same slice, and the oldest ones, go."""
        at, row = t.balances.c, {name: value for name, value in vars(balance).items() if name != "slice_"}
        stream = (at.connection == balance.connection, at.stream == balance.stream, at.is_total == balance.is_total)
        with self.transaction() as opened:
            if balance.is_total:
                opened.execute(delete(t.balances).where(*stream))
            else:
                same = (at.start.is_not_distinct_from(balance.slice_.start),)
                opened.execute(delete(t.balances).where(*stream, *same))
                old = select(at.id).where(*stream).order_by(at.id.desc()).offset(KEPT).limit(KEPT)
                opened.execute(delete(t.balances).where(at.id.in_(list(opened.scalars(old)))))
            row |= {"start": balance.slice_.start, "end": balance.slice_.end}
            opened.execute(insert(t.balances).values(row))

    def for_stream(self, connection: str, stream: str) -> list[SliceCount]:
        """List the balances of a stream's slices in order, then that of the whole."""
        with self.transaction() as opened:
            here = (t.balances.c.connection == connection, t.balances.c.stream == stream)
            rows = opened.execute(select(t.balances).where(*here).order_by(t.balances.c.is_total, t.balances.c.id))
            return [
                SliceCount(
                    row.connection,
                    row.stream,
                    Slice(row.start, row.end),
                    row.at,
                    row.source_count,
                    row.read,
                    row.moved,
                    row.missing,
                    row.source_new,
                    row.source_held,
                    row.is_total,
                    row.run_id,
                )
                for row in rows
            ]

    def of_last_run(self, connection: str, stream: str) -> list[SliceCount]:
        """List the balances of the run that read a stream last."""
        found = self.for_stream(connection, stream)
        last = next((one.run_id for one in reversed(found) if not one.is_total), None)
        return [one for one in found if one.is_total or one.run_id == last]
