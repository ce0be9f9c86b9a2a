"""What was read of each stream: intervals of its cursor, checkpoints in open slices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from connectors.kit.stream import Checkpoint, Slice
from engine.storage import ledger_tables as t
from engine.storage.manifest import Written, add_files, add_pending, newest_id
from engine.storage.stores.generations import open_generation
from engine.storage.transactions import Store

WHOLE = Slice()
# A stream has a state of its own for its records and, under these suffixes, for what is read beside them.
DELETES = "/deletes"
UNCURSORED_REFRESH = "/uncursored_refresh"
FULL_REFRESH = "/full_refresh"
FULL_REFRESH_MISMATCH = "/full_refresh_mismatch"
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Interval:
    """The cursor values from `start` up to, not including, `end`; None is unbounded."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class OpenSlice:
    """A slice that a run left unfinished, and where it goes on.

    `mark` is the newest file of the manifest when the slice was opened, `source_count` what the
    source counted then. `is_read` says that all its pages have landed and only its count is not
    proven yet.
    """

    slice_: Slice
    checkpoint: Checkpoint | None
    run_id: str
    mark: int = 0
    source_count: int | None = None
    is_read: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a slice has been read: up to `checkpoint`, to its end where that is None.

    `is_read` says that it was read to its end and waits for its proof.
    """

    slice_: Slice
    checkpoint: Checkpoint | None
    source_count: int | None = None
    is_read: bool = False


def union(spans: Sequence[Interval]) -> list[Interval]:
    """Join intervals that touch or overlap; what lies between the results is a gap."""
    joined: list[Interval] = []
    for span in sorted(spans, key=lambda span: (span.start or _FIRST, span.end or _LAST)):
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
    """Name the state of the readings that refresh fields which do not move the stream's cursor."""
    return stream + UNCURSORED_REFRESH


def full_refresh_of(stream: str) -> str:
    """Name the state that is open during a full refresh.

    The mark of its slice is where that began.
    """
    return stream + FULL_REFRESH


def full_refresh_mismatch_of(stream: str) -> str:
    """Name the state that is open after a full refresh that lacked keys the source lists."""
    return stream + FULL_REFRESH_MISMATCH


def seen_of(connection: str, state: str) -> str:
    """Name the asset of the keys that an open slice has shown and whose rows did not land."""
    return f"seen/{connection}/{state}"


class SyncState(Store):
    """The state of extraction, by connection and the name of a stream or state."""

    def intervals(self, connection: str, stream: str) -> list[Interval]:
        """List the intervals that were read, in order."""
        with self.transaction() as opened:
            return _intervals(opened, connection, stream)

    def open_slices(self, connection: str, stream: str) -> list[OpenSlice]:
        """List the slices that runs left unfinished, oldest first."""
        at = t.open_slices.c
        query = select(at.start, at.end, at.checkpoint, at.run_id, at.mark, at.source_count, at.is_read)
        query = query.where(at.connection == connection, at.stream == stream).order_by(at.id)
        with self.transaction() as opened:
            return [OpenSlice(Slice(start, end), *values) for start, end, *values in opened.execute(query)]

    def land(
        self,
        connection: str,
        stream: str,
        files: Sequence[Written],
        progress: Progress,
        run_id: str,
        pending: Sequence[Written] = (),
    ) -> None:
        """Add files to the manifest and move the state, both or neither.

        A slice that was read to its end is closed, or stays open until its count is proven.
        `pending` are tombstones that count only once they are released, and the keys that the slice
        has shown (`seen_of`).
        """
        with self.transaction() as opened:
            mark = newest_id(opened)
            add_files(opened, files, run_id)
            add_pending(opened, pending, run_id)
            if progress.checkpoint is None and not progress.is_read:
                _close(opened, connection, stream, progress.slice_)
            else:
                _keep_open(opened, connection, stream, progress, run_id, mark)

    def close_slice(self, connection: str, stream: str, slice_: Slice) -> None:
        """Close a slice whose count is proven: its interval has been read."""
        with self.transaction() as opened:
            _close(opened, connection, stream, slice_)

    def discard_slice(self, connection: str, stream: str, slice_: Slice) -> None:
        """Drop the checkpoint of a slice: it stays a gap, and is read from its start again."""
        with self.transaction() as opened:
            opened.execute(delete(t.open_slices).where(*_is_slice(connection, stream, slice_)))
            _forget_shown_keys(opened, connection, stream)

    def rewind(self, connection: str, back: timedelta) -> None:
        """Have the last part of each stream of a connection read again, `back` in length.

        Its open slices are read from their start. Slices without an end belong to streams without a
        cursor, and stay.
        """
        at, slices = t.intervals.c, t.open_slices.c
        is_bounded = (slices.connection == connection, slices.end.is_not(None))
        with self.transaction() as opened:
            for stream in opened.scalars(select(at.stream).where(at.connection == connection).distinct()).all():
                spans = _intervals(opened, connection, stream)
                latest = max((span.end for span in spans if span.end), default=None)
                if latest:
                    _replace(opened, connection, stream, _before(spans, (latest - back).replace(microsecond=0)))
            discarded = opened.scalars(select(slices.stream).where(*is_bounded).distinct()).all()
            opened.execute(delete(t.open_slices).where(*is_bounded))
            for stream in discarded:
                _forget_shown_keys(opened, connection, stream)

    def read_until(self, connection: str) -> datetime | None:
        """Return the newest instant up to which a stream of a connection was read."""
        with self.transaction() as opened:
            ends = select(t.intervals.c.end).where(t.intervals.c.connection == connection)
            return max((end for end in opened.scalars(ends) if end), default=None)

    def reset(self, connection: str, stream: str) -> None:
        """Drop the state of a stream, so that it is read as a whole, into the same generation.

        Tombstones that wait to be released are dropped too: the reading finds them again, unless
        the records are back at the source.
        """
        with self.transaction() as opened:
            _reset(opened, connection, stream)

    def begin_full_refresh(
        self, connection: str, stream: str | None, reason: str, *, has_new_key: bool = False
    ) -> list[str]:
        """Drop the state of a connection or one stream, and open a generation of what is read then.

        With `has_new_key` the new rows have another primary key than the stored ones. Returns the
        streams that had a state.
        """
        with self.transaction() as opened:
            streams = [stream] if stream else _streams_with_state(opened, connection)
            reset = [name for name in streams if _reset(opened, connection, name)]
            for name in {*reset, *([stream] if stream else [])}:
                open_generation(opened, connection, name, reason, has_new_key=has_new_key)
            return sorted(reset)


def _streams_with_state(opened: Connection, connection: str) -> list[str]:
    names: set[str] = set()
    for table in (t.intervals, t.open_slices):
        query = select(table.c.stream).where(table.c.connection == connection).distinct()
        names |= {state.partition("/")[0] for state in opened.scalars(query)}
    return sorted(names)


def _reset(opened: Connection, connection: str, stream: str) -> bool:
    """Drop the state of a stream; returns whether anything had been read of it."""
    states: set[str] = set()
    for table in (t.intervals, t.open_slices):
        is_state = (table.c.connection == connection, table.c.stream.in_(_states(stream)))
        states |= set(opened.scalars(select(table.c.stream).where(*is_state)))
        opened.execute(delete(table).where(*is_state))
    if not states:
        return False
    pending = [f"raw/{connection}/{stream}", *(seen_of(connection, state) for state in _states(stream))]
    opened.execute(delete(t.pending).where(t.pending.c.asset.in_(pending)))
    whole, mark = Progress(WHOLE, None, is_read=True), newest_id(opened)
    _keep_open(opened, connection, full_refresh_of(stream), whole, "", mark)
    of_refreshes = {full_refresh_of(stream), full_refresh_mismatch_of(stream)}  # left open by an earlier reset
    return bool(states - of_refreshes)


def _states(stream: str) -> list[str]:
    return [stream + suffix for suffix in ("", DELETES, UNCURSORED_REFRESH, FULL_REFRESH, FULL_REFRESH_MISMATCH)]


def _is_slice(connection: str, stream: str, slice_: Slice) -> tuple[ColumnElement[bool], ...]:
    at = t.open_slices.c
    return (
        at.connection == connection,
        at.stream == stream,
        at.start.is_not_distinct_from(slice_.start),
        at.end.is_not_distinct_from(slice_.end),
    )


def _keep_open(opened: Connection, connection: str, stream: str, progress: Progress, run_id: str, mark: int) -> None:
    slice_ = progress.slice_
    values: dict[str, Any] = {"checkpoint": progress.checkpoint, "is_read": progress.is_read, "run_id": run_id}
    values |= {"updated_at": datetime.now(UTC)}
    is_slice = _is_slice(connection, stream, slice_)
    if not opened.execute(update(t.open_slices).where(*is_slice).values(values)).rowcount:
        values |= {"connection": connection, "stream": stream, "start": slice_.start, "end": slice_.end}
        values |= {"mark": mark, "source_count": progress.source_count}
        opened.execute(insert(t.open_slices).values(values))


def _close(opened: Connection, connection: str, stream: str, slice_: Slice) -> None:
    opened.execute(delete(t.open_slices).where(*_is_slice(connection, stream, slice_)))
    _forget_shown_keys(opened, connection, stream)
    spans = _intervals(opened, connection, stream)
    if slice_.end is not None:  # what was read as a whole, before the stream had a cursor, covers no later window
        spans = [span for span in spans if span.end is not None]
    _replace(opened, connection, stream, union([*spans, Interval(slice_.start, slice_.end)]))


def _forget_shown_keys(opened: Connection, connection: str, stream: str) -> None:
    """Drop the keys that open slices have shown, once no slice of their state is open."""
    at = t.open_slices.c
    if not opened.scalar(select(func.count()).where(at.connection == connection, at.stream == stream)):
        opened.execute(delete(t.pending).where(t.pending.c.asset == seen_of(connection, stream)))


def _intervals(opened: Connection, connection: str, stream: str) -> list[Interval]:
    at = t.intervals.c
    query = select(at.start, at.end).where(at.connection == connection, at.stream == stream)
    return union([Interval(row.start, row.end) for row in opened.execute(query)])


def _replace(opened: Connection, connection: str, stream: str, spans: Sequence[Interval]) -> None:
    at = t.intervals.c
    opened.execute(delete(t.intervals).where(at.connection == connection, at.stream == stream))
    rows = [{"connection": connection, "stream": stream, "start": span.start, "end": span.end} for span in spans]
    if rows:
        opened.execute(insert(t.intervals), rows)


def _before(spans: Sequence[Interval], point: datetime) -> list[Interval]:
    """Cut intervals off at a point.

    One without an end is that of a stream without a cursor, and stays.
    """
    starting = [span for span in spans if span.end is None or span.start is None or span.start < point]
    return [replace(span, end=min(span.end, point)) if span.end else span for span in starting]
