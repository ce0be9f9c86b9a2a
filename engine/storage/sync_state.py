"""What has been read of each stream: a set of intervals, and the places inside open slices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from connectors.kit.stream import Checkpoint, Slice
from engine.storage import ledger_tables as t
from engine.storage.manifest import Written, add_files, add_pending
from engine.storage.transactions import Store

WHOLE = Slice()
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
DELETES, UNCURSORED_REFRESH = "/deletes", "/uncursored_refresh"
FULL_REFRESH, FULL_REFRESH_MISMATCH = "/full_refresh", "/full_refresh_mismatch"


@dataclass(frozen=True)
class Interval:
    """Cover the cursor values from `start` up to, not including, `end`; None is open."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class OpenSlice:
    """Say where an unfinished run stopped.

    `mark` is the newest file of the manifest when the slice was opened, `source_count` what the source counted then.
    `is_read` says that all its pages have landed and only its balance is not proven yet.
    """

    slice_: Slice
    checkpoint: Checkpoint | None
    run_id: str
    mark: int = 0
    source_count: int | None = None
    is_read: bool = False


@dataclass(frozen=True)
class Progress:
    """Say how far a slice has been read. `checkpoint` None is its end; `is_read` says that it waits for its proof."""

    slice_: Slice
    checkpoint: Checkpoint | None
    source_count: int | None = None
    is_read: bool = False


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
    return stream + DELETES


def uncursored_refresh_of(stream: str) -> str:
    """Name the state of a stream's readings for the sake of its derived fields."""
    return stream + UNCURSORED_REFRESH


def full_refresh_of(stream: str) -> str:
    """Name the state that is open while a stream is read as a whole once more; its mark is where that began."""
    return stream + FULL_REFRESH


def full_refresh_mismatch_of(stream: str) -> str:
    """Name the state that is open once a stream was read as a whole for keys that are listed, and did not show them."""
    return stream + FULL_REFRESH_MISMATCH


def seen_of(connection: str, state: str) -> str:
    """Name the files that tell whom a slice that is open has shown, of those whom the lake held already."""
    return f"seen/{connection}/{state}"


class SyncState(Store):
    """Keep the state of extraction."""

    def intervals(self, connection: str, stream: str) -> list[Interval]:
        """List what has been read, in order."""
        with self.transaction() as opened:
            return _intervals(opened, connection, stream)

    def open_slices(self, connection: str, stream: str) -> list[OpenSlice]:
        """List the slices that runs left unfinished, oldest first."""
        with self.transaction() as opened:
            here = (t.open_slices.c.connection == connection, t.open_slices.c.stream == stream)
            rows = opened.execute(select(t.open_slices).where(*here).order_by(t.open_slices.c.id))
            return [
                OpenSlice(
                    Slice(row.start, row.end),
                    row.checkpoint,
                    row.run_id,
                    row.mark,
                    row.source_count,
                    row.is_read,
                )
                for row in rows
            ]

    def land(
        self,
        connection: str,
        stream: str,
        files: Sequence[Written],
        progress: Progress,
        run_id: str,
        pending: Sequence[Written] = (),
    ) -> None:
        """Count files in and move the state, both or neither; at its end a slice counts as read, or waits for proof.

        `pending` are tombstones that count only when they are released, and who else was seen (`seen_of`).
        """
        with self.transaction() as opened:
            mark = _mark(opened)
            add_files(opened, files, run_id)
            add_pending(opened, pending, run_id)
            if progress.checkpoint is None and not progress.is_read:
                _close(opened, connection, stream, progress.slice_)
            else:
                _keep_open(opened, connection, stream, progress, run_id, mark)

    def close_slice(self, connection: str, stream: str, slice_: Slice) -> None:
        """Count a slice as read: its balance is proven."""
        with self.transaction() as opened:
            _close(opened, connection, stream, slice_)

    def discard_slice(self, connection: str, stream: str, slice_: Slice) -> None:
        """Forget how far a slice was read: it stays a gap, and is read again."""
        with self.transaction() as opened:
            opened.execute(delete(t.open_slices).where(*_here(connection, stream, slice_)))
            _forget_seen(opened, connection, stream)

    def rewind(self, connection: str, back: timedelta) -> None:
        """Count as unread the last bit, so long, of what was read of each stream; what is half read is begun anew."""
        with self.transaction() as opened:
            at, open_ = t.intervals.c, t.open_slices.c
            for stream in opened.scalars(select(at.stream).where(at.connection == connection).distinct()).all():
                spans = _intervals(opened, connection, stream)
                latest = max((span.end for span in spans if span.end), default=None)
                if latest:
                    _replace(opened, connection, stream, _cut(spans, (latest - back).replace(microsecond=0)))
            is_bounded = (open_.connection == connection, open_.end.is_not(None))
            begun = opened.scalars(select(open_.stream).where(*is_bounded).distinct()).all()
            opened.execute(delete(t.open_slices).where(*is_bounded))
            for stream in begun:
                _forget_seen(opened, connection, stream)

    def read_until(self, connection: str) -> datetime | None:
        """Tell the newest stamp up to which anything of a connection counts as read."""
        with self.transaction() as opened:
            ends = select(t.intervals.c.end).where(t.intervals.c.connection == connection)
            return max((end for end in opened.scalars(ends) if end), default=None)

    def reset(self, connection: str, stream: str | None = None) -> int:
        """Forget what was read of a connection or one stream, which is read anew then; answers how many had a state.

        Tombstones that wait for their release go too: they come again, or were undone at the source.
        """
        known = set()
        with self.transaction() as opened:
            for table in (t.intervals, t.open_slices):
                where = [table.c.connection == connection, *([table.c.stream.in_(_states(stream))] if stream else [])]
                known |= set(opened.scalars(select(table.c.stream).where(*where)))
                opened.execute(delete(table).where(*where))
            streams = {state.partition("/")[0] for state in known}
            for name in streams:
                waiting = [f"raw/{connection}/{name}", *(seen_of(connection, state) for state in _states(name))]
                opened.execute(delete(t.pending).where(t.pending.c.asset.in_(waiting)))
                _keep_open(
                    opened, connection, full_refresh_of(name), Progress(WHOLE, None, is_read=True), "", _mark(opened)
                )
        return len(
            {state.partition("/")[0] for state in known if not state.endswith((FULL_REFRESH, FULL_REFRESH_MISMATCH))}
        )


def _states(stream: str) -> list[str]:
    return [
        stream,
        deletes_of(stream),
        uncursored_refresh_of(stream),
        full_refresh_of(stream),
        full_refresh_mismatch_of(stream),
    ]


def _mark(opened: Connection) -> int:
    return opened.scalar(select(func.max(t.manifest.c.id))) or 0


def _here(connection: str, stream: str, slice_: Slice) -> tuple[ColumnElement[bool], ...]:
    at = t.open_slices.c
    return (
        at.connection == connection,
        at.stream == stream,
        at.start.is_not_distinct_from(slice_.start),
        at.end.is_not_distinct_from(slice_.end),
    )


def _keep_open(opened: Connection, connection: str, stream: str, progress: Progress, run_id: str, mark: int) -> None:
    here = _here(connection, stream, progress.slice_)
    moved: dict[str, Any] = {
        "checkpoint": progress.checkpoint,
        "is_read": progress.is_read,
        "run_id": run_id,
        "updated_at": datetime.now(UTC),
    }
    if not opened.execute(update(t.open_slices).where(*here).values(moved)).rowcount:
        born: dict[str, Any] = {"connection": connection, "stream": stream, "mark": mark}
        born |= {"start": progress.slice_.start, "end": progress.slice_.end, "source_count": progress.source_count}
        opened.execute(insert(t.open_slices).values(born | moved))


def _close(opened: Connection, connection: str, stream: str, slice_: Slice) -> None:
    opened.execute(delete(t.open_slices).where(*_here(connection, stream, slice_)))
    _forget_seen(opened, connection, stream)
    held = _intervals(opened, connection, stream)
    if slice_.end is not None:  # a whole reading of before the stream had a cursor covers no later one
        held = [span for span in held if span.end is not None]
    _replace(opened, connection, stream, union([*held, Interval(slice_.start, slice_.end)]))


def _forget_seen(opened: Connection, connection: str, stream: str) -> None:
    """Forget whom open slices have shown, once none of their state is left."""
    at = t.open_slices.c
    if not opened.scalar(select(func.count()).where(at.connection == connection, at.stream == stream)):
        opened.execute(delete(t.pending).where(t.pending.c.asset == seen_of(connection, stream)))


def _intervals(opened: Connection, connection: str, stream: str) -> list[Interval]:
    query = select(t.intervals.c.start, t.intervals.c.end).where(
        t.intervals.c.connection == connection, t.intervals.c.stream == stream
    )
    return union([Interval(row.start, row.end) for row in opened.execute(query)])


def _replace(opened: Connection, connection: str, stream: str, spans: Sequence[Interval]) -> None:
    here = (t.intervals.c.connection == connection, t.intervals.c.stream == stream)
    opened.execute(delete(t.intervals).where(*here))
    rows = [{"connection": connection, "stream": stream, "start": span.start, "end": span.end} for span in spans]
    if rows:
        opened.execute(insert(t.intervals), rows)


def _cut(spans: Sequence[Interval], at: datetime) -> list[Interval]:
    """Leave what lies before a point; what has no end is no part of a cursor."""
    held = [span for span in spans if span.end is None or span.start is None or span.start < at]
    return [replace(span, end=min(span.end, at)) if span.end else span for span in held]
