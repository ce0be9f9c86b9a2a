"""A source whose clock or whose records went back: what is stored follows."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from connectors.kit.errors import ReplyError
from engine.config.project import Project
from engine.extract.completeness import ObservedKeys
from engine.extract.context import StreamContext
from engine.extract.stored_stream import StoredStream

if TYPE_CHECKING:
    import ibis.expr.types as ir


def set_back_lost_versions(run: StreamContext, shown: ObservedKeys) -> None:
    """Let versions count no more that are later than those that a reading of all has shown.

    An answer may lag behind, so that what is younger than the stream's lookback stays.
    """
    if not shown.files:
        return
    held = run.current()
    stamps = held.stamps(shown.files, shown.same, run.until - run.stream.lookback)
    if lost := held.lost(stamps):
        set_behind(held, stamps)
        run.result.notes.append(f"the source went back to earlier versions of {lost} records, and so they did here")


# Stamps of rows that are held, set back: those that a wrong clock gave, and those of versions
# that a source lost.
#
# The version of a record that counts is the newest, by its stamp. One whose stamp was wrong, or
# one of an edit that a restored source knows nothing of any more, would be the newest for ever.


STAMPS = ("_extracted_at", "_cursor")


def set_before(held: StoredStream, now: datetime, back: timedelta) -> None:
    """Set stamps that lie ahead of now back by so much: they would seem newer than what comes from now on."""
    import ibis

    span = ibis.interval(microseconds=back // timedelta(microseconds=1))

    def earlier(rows: "ir.Table") -> "ir.Table":
        return rows.mutate(**{name: (rows[name] > now).ifelse(rows[name] - span, rows[name]) for name in STAMPS})

    for file in held.before:
        if held.is_ahead(file, now):
            held.project.lake.compact(held.engine, held.asset, [file], earlier)


def set_behind(held: StoredStream, stamps: str) -> None:
    """Set versions that a source has lost just behind the one that it shows now, by a table of the engine."""
    import ibis

    def behind(rows: "ir.Table") -> "ir.Table":
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


# A source's clock, beside ours: by how much it was ahead is remembered, for it may be set right
# one day.
#
# What lies on a cursor is the source's own stamps, up to its own clock. Where that clock was an
# hour ahead, an hour counts as read that was yet to come, and all that is stamped in it once the
# clock is right would be passed over.


STEP = timedelta(minutes=1)  # less is drift, or the hosts behind one name: streams have their lag for that
FARTHEST = timedelta(days=3650)


def ours() -> datetime:
    """Tell this machine's clock; nothing is read by it, only compared."""
    return datetime.now(UTC)


def ahead(name: str, clock: datetime) -> timedelta:
    """Tell by how much a source's clock is ahead of ours; raises ReplyError for one that is none."""
    found = clock - ours()
    if abs(found) > FARTHEST:
        raise ReplyError(
            f"{name}: the source's clock says {clock:%Y-%m-%d %H:%M}, which cannot be; nothing is read by it"
        )
    return found


def set_back_clock(project: Project, name: str, clock: datetime, back: timedelta) -> timedelta | None:
    """Take back what was read by a clock that has gone back since; answers by how much it went, at least.

    `back` is how far it went beside ours. Where both were set back, which only shows while what has been read lies
    ahead of it, nobody knows how far: all is read again. The rows stay, yet none is newer than what comes now.
    """
    if back > STEP:
        _set_stamps_back(project, name, clock, back)
        project.ledger.sync.rewind(name, back)
    until = project.ledger.sync.read_until(name)
    if until and until - clock > STEP:
        back = max(back, until - clock)
        _set_stamps_back(project, name, clock, back)
        project.ledger.sync.reset(name)
    return back if back > STEP else None


def _set_stamps_back(project: Project, name: str, clock: datetime, back: timedelta) -> None:

    for stream in project.streams(name):
        set_before(StoredStream(project, f"raw/{name}/{stream.name}", stream), clock, back)
