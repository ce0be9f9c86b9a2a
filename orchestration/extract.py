"""The extract beat: pull what changed of one connection into the raw lake, page by page, resumable."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from connectors.kit.base import Connector, ListsKeys, ReportsDeletes
from connectors.kit.errors import ConnectorError, SettingsError, choices
from connectors.kit.page import Page
from connectors.kit.records import raw_schema, raw_table
from connectors.kit.stream import Checkpoint, Slice, Stream
from orchestration.held import Held
from orchestration.project import Project
from orchestration.storage.lease import lease
from orchestration.storage.manifest import Written
from orchestration.storage.state import Interval, deletes_of, union

ALWAYS_ALLOWED = 3  # so few deletions trip no breaker, however small the stream
OnPage = Callable[[str, int, int | None], None]


@dataclass
class StreamResult:
    """Say what one run read of one stream. `total` is the source's own count of the slice, where it tells one."""

    connection: str
    stream: str
    status: str = "done"  # done, failed, blocked
    error: str | None = None
    read: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    pages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    total: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    landed: list[Written] = field(default_factory=list, repr=False)


def extract(
    project: Project,
    name: str,
    run_id: str,
    *,
    streams: Sequence[str] | None = None,
    full: bool = False,
    on_page: OnPage | None = None,
) -> Iterator[StreamResult]:
    """Read a connection's streams one after the other, yielding each result as it is known.

    A stream that fails ends alone; what it landed stays and is not read again. Raises LeaseHeld when another run
    reads this connection, and ConnectorError when the connection as a whole cannot be used.
    """
    chosen = _chosen(project, name, streams)
    with lease(project.ledger, f"connection:{name}", run_id):
        unread = _unread(project, name, chosen)
        _note(project, name, run_id, "reading", unread)  # what a run that is killed leaves behind
        try:
            connector = project.open(name)
            try:
                connector.check()
                for stream in connector.streams:
                    if stream.name in chosen:
                        result = _Reading(project, connector, stream, run_id, full, on_page).done()
                        if result.status == "done":
                            del unread[stream.name]
                        else:
                            unread[stream.name] = result.error
                        yield result
            finally:
                connector.close()
        except ConnectorError as error:
            _note(project, name, run_id, "failed", unread, str(error))
            raise
        _note(project, name, run_id, "failed" if unread else "done", unread)


def failed_required(project: Project) -> list[str]:
    """Name the required connections whose last reading failed, wholly or in part."""
    last = {
        name: project.ledger.last_run(f"extract:{name}")
        for name, config in project.connections.items()
        if config.required
    }
    return [name for name, note in last.items() if note is None or note["summary"]["status"] != "done"]


def stale(project: Project) -> list[str]:
    """Name the connections whose last reading failed: their tables are those of an earlier night."""
    notes = {name: project.ledger.last_run(f"extract:{name}") for name in project.connections}
    return [name for name, note in notes.items() if note and note["summary"]["status"] != "done"]


def _chosen(project: Project, name: str, streams: Sequence[str] | None) -> list[str]:
    known = [stream.name for stream in project.streams(name)]
    for asked in streams or ():
        if asked not in known:
            raise SettingsError(f"connection {name!r}: no stream {asked!r}; {choices(asked, known)}")
    return known if streams is None else [one for one in known if one in streams]


def _unread(project: Project, name: str, chosen: Sequence[str]) -> dict[str, str | None]:
    """Begin with every stream of this run, and those that an earlier run failed at and this one leaves out."""
    last = project.ledger.last_run(f"extract:{name}")
    known = {stream.name for stream in project.streams(name)} - set(chosen)
    failed = {stream: why for stream, why in (last["summary"]["streams"] if last else {}).items() if stream in known}
    return failed | dict.fromkeys(chosen, "it was not read to its end")


def _note(
    project: Project,
    name: str,
    run_id: str,
    status: str,
    unread: Mapping[str, str | None],
    error: str | None = None,
) -> None:
    summary = {"status": status, "error": error, "streams": dict(unread)}
    project.ledger.note_run(run_id, f"extract:{name}", summary)


class _Reading:
    """Read one stream."""

    def __init__(
        self,
        project: Project,
        connector: Connector,
        stream: Stream,
        run_id: str,
        full: bool,
        on_page: OnPage | None,
    ) -> None:
        self.project, self.connector, self.stream, self.run_id = project, connector, stream, run_id
        self.full, self.on_page = full, on_page
        self.asset = f"raw/{connector.name}/{stream.name}"
        self.config = project.connection(connector.name)
        self.result = StreamResult(connector.name, stream.name)
        self.held = Held(project, self.asset, stream)

    def done(self) -> StreamResult:
        """Read to the end, or to the first error that this stream cannot pass."""
        start = monotonic()
        result = self.result
        for step in (self._read, self._count, self._compact):
            try:
                step()
            except ConnectorError as error:
                result.status, result.error = "failed", result.error or str(error)
        result.seconds = monotonic() - start
        return result

    def _count(self) -> None:
        result = self.result
        result.new, result.changed, result.unchanged, result.deleted = self.held.compare(result.landed)

    def _compact(self) -> None:
        if self.result.status == "done":
            self.held.compact()

    def _read(self) -> None:
        if self.full:
            self.project.ledger.reset(self.connector.name, self.stream.name)
        if self.stream.cursor is None:
            self._whole()
        else:
            self._changes()

    def _changes(self) -> None:
        until = self.connector.now() - self.stream.lag
        plan = self._slices(until)
        for slice_, checkpoint in plan:
            for page in self.connector.read(self.stream, slice_, checkpoint):
                self._land(_flagged(page.records, self.stream), page, slice_)
        self.result.since, self.result.until = (plan[0][0].start if plan else None), until
        if isinstance(self.connector, ReportsDeletes) and self.stream.deletes in ("list", "feed"):
            self._reported_deletes(until)
        elif isinstance(self.connector, ListsKeys) and self.stream.deletes == "sweep":
            self._missing({key for keys in self.connector.keys(self.stream) for key in keys})

    def _slices(self, until: datetime) -> list[tuple[Slice, Checkpoint | None]]:
        """Plan what is left to read: the slice a crash left open, then every gap up to `until`."""
        ledger, name = self.project.ledger, self.connector.name
        left = ledger.open_slice(name, self.stream.name)
        spans = ledger.intervals(name, self.stream.name)
        plan: list[tuple[Slice, Checkpoint | None]] = [(left.slice_, left.checkpoint)] if left else []
        covered = spans + ([Interval(left.slice_.start, left.slice_.end)] if left else [])
        plan += [(gap, None) for gap in _gaps(covered, self._first(), until, self.stream.lookback)]
        return plan

    def _first(self) -> datetime | None:
        if not self.config.start:
            return None
        try:
            start = datetime.fromisoformat(self.config.start)
        except ValueError:
            raise SettingsError(
                f"connection {self.connector.name!r}: start: {self.config.start!r} is no ISO date"
            ) from None
        return start if start.tzinfo else start.replace(tzinfo=UTC)

    def _whole(self) -> None:
        """Read a stream that has no cursor; only rows that differ from what is held are landed."""
        left = self.project.ledger.open_slice(self.connector.name, self.stream.name)
        slice_, keys = Slice(), set()
        for page in self.connector.read(self.stream, slice_, left.checkpoint if left else None):
            keys |= set(page.records.column("_key").drop_null().to_pylist())
            self._land(self.held.unseen(_flagged(page.records, self.stream)), page, slice_)
        if self.stream.deletes == "sweep" and not left:
            self._missing(keys)

    def _land(self, rows: pa.Table, page: Page, slice_: Slice) -> None:
        written = [self.project.lake.write(self.asset, rows)] if rows.num_rows else []
        name, stream = self.connector.name, self.stream.name
        self.project.ledger.land(name, stream, written, slice_, page.checkpoint, self.run_id)
        result = self.result
        result.landed += written
        result.pages += 1
        result.read += page.records.num_rows
        result.bytes += sum(file.bytes for file in written)
        if page.total is not None:
            result.total = (result.total or 0) + page.total
        if self.on_page:
            self.on_page(stream, result.read, result.total)

    def _reported_deletes(self, until: datetime) -> None:
        """Land what the source says is gone since it was asked last; refused or broken off, it is asked again."""
        state = deletes_of(self.stream.name)
        spans = self.project.ledger.intervals(self.connector.name, state)
        slice_ = Slice(spans[-1].end if spans else self._first(), until)
        pages = [page.records for page in self.connector.deletes(self.stream, slice_)]  # type: ignore[attr-defined]
        gone = self.held.unseen_tombstones(pa.concat_tables([raw_schema(self.stream).empty_table(), *pages]))
        keys = set(gone.column("_key").to_pylist()) & self.held.keys()
        if not self._breaks(len(keys)):
            written = [self.project.lake.write(self.asset, gone)] if gone.num_rows else []
            self.project.ledger.land(self.connector.name, state, written, slice_, None, self.run_id)
            self.result.landed += written

    def _missing(self, alive: set[str]) -> None:
        held = self.held.keys()
        gone = sorted(held - alive)
        if held and not alive:
            self._block("the source answered no record at all, where there were some before; nothing is deleted")
        elif gone and not self._breaks(len(gone)):
            self._tombstone(self.held.tombstones(gone, self.connector.now()))

    def _breaks(self, gone: int) -> bool:
        held = len(self.held.keys())
        most = self.config.max_delete_pct
        if gone <= ALWAYS_ALLOWED or gone * 100 <= most * held:
            return False
        self._block(
            f"{gone} of {held} records are gone at the source, more than max_delete_pct {most:g}; none is deleted"
        )
        return True

    def _block(self, why: str) -> None:
        self.result.status, self.result.error = "blocked", f"{self.connector.name} {self.stream.name}: {why}"

    def _tombstone(self, rows: pa.Table) -> None:
        if rows.num_rows:
            written = self.project.lake.write(self.asset, rows)
            self.project.ledger.add([written], self.run_id)
            self.result.landed.append(written)


def _gaps(
    spans: Sequence[Interval], first: datetime | None, until: datetime, lookback: timedelta = timedelta(0)
) -> Iterator[Slice]:
    """Yield what lies between the intervals read so far, and what came since; the last bit is read again."""
    at = first
    for start, end in ((span.start, span.end) for span in union(spans)):
        if end is None:
            continue  # the whole stream, from before it had a cursor
        if start is not None and (at is None or at < start):
            yield Slice(at, start)
        at = end if at is None or at < end else at
    since = at - lookback if at is not None and at != first else at
    if since is None or since < until:
        yield Slice(since, until)


def _flagged(rows: pa.Table, stream: Stream) -> pa.Table:
    """Mark the rows by which a source says that their record is deleted."""
    deleted = rows.column("_deleted")
    for path, words in stream.deleted_values.items():
        says = pc.fill_null(pc.is_in(_texts(rows, path, stream), value_set=pa.array(words)), False)
        deleted = pc.or_(deleted, says)
    return rows.set_column(rows.schema.get_field_index("_deleted"), "_deleted", deleted)


def _texts(rows: pa.Table, path: str, stream: Stream) -> pa.ChunkedArray:
    """Give the texts at a path; one that feeds no field of ours has no column and is read from the payload."""
    if path in rows.column_names:
        return rows.column(path)
    records = [payload.encode() for payload in rows.column("_payload").to_pylist()]
    return raw_table(records, replace(stream, fields={"mark": path}), datetime.now(UTC)).column(path)
