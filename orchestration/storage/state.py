"""What has been read of each stream: a set of intervals, and the place inside an open slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from connectors.kit.stream import Checkpoint, Slice
from orchestration.storage import tables as t
from orchestration.storage.base import Transactions
from orchestration.storage.manifest import Written, add_files

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_DELETES = "/deletes"


@dataclass(frozen=True)
class Interval:
    """Cover the cursor values from `start` up to, not including, `end`; None is open."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class OpenSlice:
    """Say where an unfinished run stopped."""

    slice_: Slice
    checkpoint: Checkpoint
    run_id: str


def union(spans: Sequence[Interval]) -> list[Interval]:
    """Join intervals that touch or overlap; what is between the others is a gap."""
    joined: list[Interval] = []
    for span in sorted(spans, key=lambda each: (each.start or _FIRST, each.end or _LAST)):
        last = joined[-1] if joined else None
        if last and (span.start or _FIRST) <= (last.end or _LAST):
            end = max(last.end or _LAST, span.end or _LAST)
            joined[-1] = Interval(last.start, None if end == _LAST else end)
        else:
            joined.append(span)
    return joined


def deletes_of(stream: str) -> str:
    """Name the state of a stream's reported deletes, which are read apart from its records."""
    return stream + _DELETES


class State(Transactions):
    """Keep the state of extraction."""

    def intervals(self, connection: str, stream: str) -> list[Interval]:
        """List what has been read, in order."""
        with self.transaction() as opened:
            return _intervals(opened, connection, stream)

    def open_slice(self, connection: str, stream: str) -> OpenSlice | None:
        """Return the slice that a run left unfinished, if any."""
        with self.transaction() as opened:
            query = select(t.slices).where(t.slices.c.connection == connection, t.slices.c.stream == stream)
            row = opened.execute(query).mappings().first()
            return OpenSlice(Slice(row["start"], row["end"]), row["checkpoint"], row["run_id"]) if row else None

    def land(
        self,
        connection: str,
        stream: str,
        files: Sequence[Written],
        slice_: Slice,
        checkpoint: Checkpoint | None,
        run_id: str,
    ) -> None:
        """Count files in and move the state, both or neither; without a checkpoint the slice is read to its end."""
        here = (t.slices.c.connection == connection, t.slices.c.stream == stream)
        with self.transaction() as opened:
            add_files(opened, files, run_id)
            opened.execute(delete(t.slices).where(*here))
            if checkpoint is not None:
                row: dict[str, Any] = {
                    "connection": connection,
                    "stream": stream,
                    "start": slice_.start,
                    "end": slice_.end,
                }
                row |= {"checkpoint": checkpoint, "run_id": run_id, "updated_at": datetime.now(UTC)}
                opened.execute(insert(t.slices).values(row))
            else:
                held = _intervals(opened, connection, stream)
                if slice_.end is not None:  # a whole reading of before the stream had a cursor covers no later one
                    held = [span for span in held if span.end is not None]
                _replace(opened, connection, stream, union([*held, Interval(slice_.start, slice_.end)]))

    def reset(self, connection: str, stream: str | None = None) -> int:
        """Forget what was read of a connection or one stream; answers how many streams had a state."""
        count = set()
        with self.transaction() as opened:
            for table in (t.intervals, t.slices):
                here = [table.c.stream.in_([stream, deletes_of(stream)])] if stream else []
                where = [table.c.connection == connection, *here]
                count |= {one.removesuffix(_DELETES) for one in opened.scalars(select(table.c.stream).where(*where))}
                opened.execute(delete(table).where(*where))
        return len(count)


def _intervals(opened: Connection, connection: str, stream: str) -> list[Interval]:
    query = select(t.intervals.c.start, t.intervals.c.end).where(
        t.intervals.c.connection == connection, t.intervals.c.stream == stream
    )
    return union([Interval(row.start, row.end) for row in opened.execute(query)])


def _replace(opened: Connection, connection: str, stream: str, spans: Sequence[Interval]) -> None:
    here = (t.intervals.c.connection == connection, t.intervals.c.stream == stream)
    opened.execute(delete(t.intervals).where(*here))
    rows = [{"connection": connection, "stream": stream, "start": span.start, "end": span.end} for span in spans]
    opened.execute(insert(t.intervals), rows)
