"""A source that went back: its clock was set right, or its records were restored from a backup.

Stored rows may then be stamped later than what comes from now on, and would count over it for ever. So such a stream
is read as a whole into a new generation, whose rows count over older ones whatever their stamps.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.kit.base import ReadsByKey
from connectors.kit.errors import ConnectorError, ReplyError
from connectors.kit.stream import Stream, parse_cursor
from engine.config.project import Project
from engine.extract.context import StreamContext
from engine.extract.stored_stream import StoredStream

STEP = timedelta(minutes=1)  # less is drift, or the hosts behind one name: streams have their lag for that
FARTHEST = timedelta(days=3650)
ASKED = 5  # of the newest records so many are asked for: some may have been deleted since
SECOND = timedelta(seconds=1)  # sources tell stamps to the second, or finer


def ours() -> datetime:
    """Return this machine's clock; nothing is read by it, only compared."""
    return datetime.now(UTC)


def clock_offset(name: str, clock: datetime) -> timedelta:
    """Return by how much a source's clock is ahead of ours; raises ReplyError for one that is ten years away."""
    offset = clock - ours()
    if abs(offset) > FARTHEST:
        raise ReplyError(
            f"{name}: the source's clock says {clock:%Y-%m-%d %H:%M}, which cannot be; nothing is read by it"
        )
    return offset


def follow_clock(project: Project, name: str, clock: datetime, back: timedelta) -> dict[str, str]:
    """Read again what a connection's streams may have missed since their source's clock went back; notes by stream.

    `back` is how far it went beside ours. Where both clocks went back, which shows while what has been read lies ahead
    of the source's clock, nobody knows how far. Within a stream's lookback that span is read again. A longer step, or
    stored rows with stamps that come again, begin a full refresh: the order of those stamps is not that of the changes.
    """
    until = project.ledger.sync.read_until(name)
    is_ahead = until is not None and until - clock > STEP
    if back <= STEP and not is_ahead:
        return {}
    notes = {}
    step = max(back, until - clock if until and is_ahead else back)
    if back > STEP:
        project.ledger.sync.rewind(name, back)
    for stream in project.streams(name):
        if is_ahead or step > stream.lookback or _repeats_stamps(project, name, stream, until, back):
            project.ledger.sync.begin_full_refresh(name, stream.name, f"the source's clock went back by {step}")
            notes[stream.name] = f"the source's clock has gone back by {step}; the stream is read again as a whole"
        else:
            notes[stream.name] = f"the source's clock has gone back by {step}; so much was read again"
    return notes


def _repeats_stamps(project: Project, name: str, stream: Stream, until: datetime | None, back: timedelta) -> bool:
    """Tell whether rows are stored whose stamps the source gives once more, to later changes."""
    stored = StoredStream(project, f"raw/{name}/{stream.name}", stream)
    return until is not None and stored.has_stamps_after(until - back)


def is_restored(run: StreamContext) -> bool:
    """Ask for the newest records that are stored: whether the source holds one of them in an earlier version.

    One request, for a stream with a cursor whose records can be asked for by key. What is younger than the stream's
    lookback proves nothing, for an answer may lag behind, nor does a record that is not there: it may have been deleted.
    """
    stream, connector = run.stream, run.connector
    if stream.cursor is None or not isinstance(connector, ReadsByKey):
        return False
    stored = StoredStream(run.project, run.asset, stream)
    if stored.generations.is_open:
        return False
    stamps = stored.newest_records(run.until - stream.lookback, ASKED)
    fields = tuple(dict.fromkeys((stream.cursor, stream.cursor.rpartition(".")[2])))  # a path, or a name of its own
    with suppress(ConnectorError):  # who cannot be asked by key is left to `belvedere reconcile`
        records = connector.fetch(stream, [*stamps], fields) if stamps else {}
        answers = {key: _cursor_of(record.values, fields, stream) for key, record in records.items()}
        return any(
            stamp is not None and stamp < stamps[key] - SECOND for key, stamp in answers.items() if key in stamps
        )
    return False


def _cursor_of(values: Mapping[str, Any], fields: Sequence[str], stream: Stream) -> datetime | None:
    """Return the cursor of a record that was asked for by key."""
    value = next((values[field] for field in fields if values.get(field) is not None), None)
    return parse_cursor(value, stream.cursor_unit)
