"""Plans the slices that are left to read: the gaps between the intervals read so far, cut into windows."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from connectors.kit.stream import Slice
from engine.storage.stores.sync_state import Interval, union

Window = timedelta | None


def remaining_slices(
    spans: Sequence[Interval],
    first: datetime | None,
    until: datetime,
    lookback: timedelta = timedelta(0),
    window: Window = None,
    anchor: datetime | None = None,
) -> Iterator[Slice]:
    """Yield the gaps between the intervals read so far, then what came since; each begins `lookback` earlier.

    With an `anchor`, a stored stamp, the last slice reaches back to it: an answer without that record is an outage.
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
            continue  # a reading of the whole stream, from before it had a cursor
        if start is not None and (at is None or at < start):
            yield Slice(_back(at, first, lookback), start)
        at = end if at is None or at < end else at
    since = _back(at, first, lookback)
    since = min(since, anchor) if since is not None and anchor else since
    if since is None or since < until:
        yield Slice(since, until)


def _back(at: datetime | None, first: datetime | None, lookback: timedelta) -> datetime | None:
    """Begin earlier than where a reading ended: rows may have come late there."""
    return at - lookback if at is not None and at != first else at


def _windows(gap: Slice, window: Window) -> Iterator[Slice]:
    """Cut a gap that is bounded on both sides into windows that begin at its start."""
    start, end = gap.start, gap.end
    while window and start and end and end - start > window:
        yield Slice(start, start + window)
        start += window
    yield Slice(start, end)
