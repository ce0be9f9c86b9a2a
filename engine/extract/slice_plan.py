"""Which parts of a stream are left to read: the gaps between what has been read, in windows."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from connectors.kit.stream import Slice
from engine.storage.sync_state import Interval, union

Window = timedelta | None


def left(
    spans: Sequence[Interval],
    first: datetime | None,
    until: datetime,
    lookback: timedelta = timedelta(0),
    window: Window = None,
    anchor: datetime | None = None,
) -> Iterator[Slice]:
    """Yield what lies between the intervals read so far, and what came since; the last bit before each is read again.

    With an `anchor`, a stamp that is held, the last bit reaches back to it: an answer without it is none.
    """
    for gap in _gaps(spans, first, until, lookback, anchor):
        yield from _windows(gap, window)


def _gaps(
    spans: Sequence[Interval],
    first: datetime | None,
    until: datetime,
    lookback: timedelta,
    anchor: datetime | None,
) -> Iterator[Slice]:
    at = first
    for start, end in ((span.start, span.end) for span in union(spans)):
        if end is None:
            continue  # the whole stream, from before it had a cursor
        if start is not None and (at is None or at < start):
            yield Slice(_back(at, first, lookback), start)
        at = end if at is None or at < end else at
    since = _back(at, first, lookback)
    since = min(since, anchor) if since is not None and anchor else since
    if since is None or since < until:
        yield Slice(since, until)


def _back(at: datetime | None, first: datetime | None, lookback: timedelta) -> datetime | None:
    """Go back from where something had been read up to: rows may have come late there."""
    return at - lookback if at is not None and at != first else at


def _windows(gap: Slice, window: Window) -> Iterator[Slice]:
    """Cut a gap that is bounded on both sides; the cuts do not depend on when it is cut."""
    start, end = gap.start, gap.end
    while window and start and end and end - start > window:
        yield Slice(start, start + window)
        start += window
    yield Slice(start, end)
