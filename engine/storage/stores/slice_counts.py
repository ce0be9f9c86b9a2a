"""What sources counted and what was read, slice by slice: the figures of a reconciliation."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from connectors.kit.stream import Slice
from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

KEPT_SLICES = 400  # counts of slices a stream: more than a year of nights


@dataclass(frozen=True)
class SliceCount:
    """A slice, or with `is_total` the whole stream, compared with the source's own count.

    `read` are the distinct records of the slice that were read, `moved` those that left it while it
    was being read (they were edited or deleted, and come with a later slice), `missing` those that
    the source counts and did not send. Of a total, `source_new` are the records that the next run
    reads (they changed of late), `source_held` those of them that are stored (None: unknown), and
    `read` is left 0: the build counts what is stored. `at` is the source's clock. `source_count` is
    None where the source does not count.
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
    """The newest count of each slice, and of each whole stream."""

    def record(self, count: SliceCount) -> None:
        """Store a count in place of an earlier one of the same slice.

        The oldest ones of the stream are dropped.
        """
        at, start, end = t.balances.c, count.slice_.start, count.slice_.end
        row = {name: value for name, value in vars(count).items() if name != "slice_"} | {"start": start, "end": end}
        stream = (at.connection == count.connection, at.stream == count.stream, at.is_total == count.is_total)
        same = () if count.is_total else (at.start.is_not_distinct_from(start),)
        with self.transaction() as opened:
            opened.execute(delete(t.balances).where(*stream, *same))
            old = select(at.id).where(*stream).order_by(at.id.desc()).offset(KEPT_SLICES).limit(KEPT_SLICES)
            opened.execute(delete(t.balances).where(at.id.in_(list(opened.scalars(old)))))
            opened.execute(insert(t.balances).values(row))

    def for_stream(self, connection: str, stream: str) -> list[SliceCount]:
        """List the counts of a stream's slices, oldest first, then that of the whole stream."""
        at = t.balances.c
        query = select(t.balances).where(at.connection == connection, at.stream == stream)
        counts = []
        with self.transaction() as opened:
            for row in opened.execute(query.order_by(at.is_total, at.id)).mappings():
                values = {name: value for name, value in row.items() if name not in ("id", "start", "end")}
                counts.append(SliceCount(slice_=Slice(row["start"], row["end"]), **values))
        return counts

    def of_last_run(self, connection: str, stream: str) -> list[SliceCount]:
        """List the counts of the run that read a stream last, and that of the whole stream."""
        counts = self.for_stream(connection, stream)
        last = next((count.run_id for count in reversed(counts) if not count.is_total), None)
        return [count for count in counts if count.is_total or count.run_id == last]
