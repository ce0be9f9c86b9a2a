"""Reads one stream in one run: its slices, then its deletions, then the count of the whole stream."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

from connectors.kit.errors import ConnectorError, RecordError, ReplyError
from connectors.kit.stream import Slice
from engine.config.pins import reset_if_changed
from engine.extract import slice_plan
from engine.extract.change_counts import count_changes
from engine.extract.compaction import compact
from engine.extract.context import StreamContext
from engine.extract.deletions import DeletionDetector
from engine.extract.full_refresh import FullRefresh
from engine.extract.result import StreamResult
from engine.extract.rollback import is_restored
from engine.extract.schema_drift.drift import FieldTracker
from engine.extract.slice import SliceReader
from engine.extract.stored_stream import StoredStream
from engine.storage.gc_tuning import rare_garbage_collection
from engine.storage.stores.sync_state import WHOLE, Interval, OpenSlice, full_refresh_of, uncursored_refresh_of
from schemas.mapping import paths

RESTORED = (
    "the source went back to earlier versions of records: it was restored, and the stream is read again as a whole"
)


class StreamReader:
    """Read one stream; with `full` as a whole, into a new generation."""

    def __init__(self, run: StreamContext, tracker: FieldTracker, *, full: bool) -> None:
        self.tracker, self.full = tracker, full
        self._use(run)

    def _use(self, run: StreamContext) -> None:
        self.run, self.result, self.ledger, self.stream = run, run.result, run.ledger, run.stream
        self.slices, self.deletions = SliceReader(run, self.tracker), DeletionDetector(run)

    def done(self) -> StreamResult:
        """Read to the end, or to the first error that stops this stream."""
        start, result = monotonic(), self.result
        with rare_garbage_collection():
            for part in (self._rows, self._settle):
                try:
                    part()
                except ConnectorError as error:
                    result.stop("failed", str(error))
        result.notes += result.repairs.notes()
        result.seconds = monotonic() - start
        return result

    def _rows(self) -> None:
        self.tracker.hold()
        reset_if_changed(self.run.project, self.run.name, self.stream)
        if self.full:
            self._begin_full_refresh("extract --full")
        elif is_restored(self.run):
            self._begin_full_refresh(RESTORED)
        self._read()
        if self.run.rolled_back:
            self._use(self.run.again())
            self._begin_full_refresh(RESTORED)
            self._read()

    def _begin_full_refresh(self, reason: str) -> None:
        """Read the stream as a whole into a new generation from now on."""
        if reason == RESTORED:
            self.result.notes.append(RESTORED)
        self.ledger.sync.begin_full_refresh(self.run.name, self.stream.name, reason)

    def _read(self) -> None:
        """Read what is due; after a reading of the whole stream, complete its generation."""
        (self._whole if self.stream.cursor is None else self._changes)()
        self._release()
        is_whole = self.run.is_whole_reading and not self.run.rolled_back
        if is_whole and (self.result.status == "done" or self.deletions.has_mismatch):
            is_open = self.run.stored.generations.is_open
            if not is_open or FullRefresh(self.run, self.deletions).complete():
                self.ledger.sync.discard_slice(self.run.name, full_refresh_of(self.stream.name), WHOLE)

    def _changes(self) -> None:
        """Read the gaps up to the beginning of the run, then the deletions."""
        ledger, stream, first = self.ledger, self.stream, self.run.first
        open_ = self._open(stream.name)
        spans = ledger.sync.intervals(self.run.name, stream.name)
        covered = spans + [Interval(begun.slice_.start, begun.slice_.end) for begun in open_]
        anchor = None if open_ else self.slices.anchor  # an open slice is read on, not back
        is_continued = not open_ and _is_whole(spans, first)
        remaining = slice_plan.remaining_slices(covered, first, self.run.until, stream.lookback, stream.window, anchor)
        plan = [*open_, *(OpenSlice(slice_, None, self.run.run_id) for slice_ in remaining)]
        self.result.since, self.result.until = (plan[0].slice_.start if plan else None), self.run.until
        self._each(stream.name, plan, spans[-1].end if spans else None)
        is_all = not covered
        if is_all and not self.result.read and (not self.run.stored.before or self.run.delete_guard.is_outage(0)):
            ledger.sync.reset(self.run.name, stream.name)  # it may be an outage: the next run reads all
        elif self.result.status == "done" and plan and plan[0].slice_.start == first and not spans:
            ledger.sync.close_slice(self.run.name, uncursored_refresh_of(stream.name), Slice(first, self.run.until))
        if self.result.status == "done" and self.run.stored.generations.is_open and not is_continued:
            self._catch_up()
        self._refresh(first)
        if self.result.status == "done":
            self.deletions.ask()

    def _catch_up(self) -> None:
        """Read what changed during a reading of the whole stream: it may have left its slice before that was read."""
        run, lookback = self.run, self.stream.lookback
        until = max(run.until, run.connector.now() - self.stream.lag)
        slice_ = Slice(run.until - lookback, until)
        if run.until - lookback < until:
            self._each(self.stream.name, [OpenSlice(slice_, None, run.run_id)], None)
            run.read_until(until)

    def _whole(self) -> None:
        """Read a stream without a cursor as a whole; rows that are stored already do not land."""
        unfinished = self._open(self.stream.name)
        slice_ = unfinished[0] if unfinished else OpenSlice(WHOLE, None, self.run.run_id)
        keys = self.slices.read(self.stream.name, slice_)
        if self.stream.deletes == "sweep" and not unfinished and self.result.status == "done":
            self.deletions.bury_unlisted(chunk.to_pylist() for chunk in keys)

    def _refresh(self, first: datetime | None) -> None:
        """Read everything again when that is due, for fields whose changes move no cursor."""
        ledger, state = self.ledger, uncursored_refresh_of(self.stream.name)
        if not {*self.stream.uncursored_fields} & {*paths(self.stream.fields)}:
            return
        spans, open_ = ledger.sync.intervals(self.run.name, state), self._open(state)
        read_at = spans[-1].end if spans else None
        is_due = read_at is None or self.run.until - read_at >= timedelta(days=self.run.config.refresh_days)
        if self.result.status == "done" and (open_ or is_due):
            self._each(state, open_ or [OpenSlice(Slice(first, self.run.until), None, self.run.run_id)], None)
            read_at = self.run.until if self.result.status == "done" else read_at
        self.result.derived_read_at = read_at

    def _open(self, state: str) -> list[OpenSlice]:
        """List the slices that earlier runs left open; those with numbered pages, which move, begin again."""
        ledger = self.ledger
        if self.stream.offset_paged:
            for begun in ledger.sync.open_slices(self.run.name, state):
                ledger.sync.discard_slice(self.run.name, state, begun.slice_)
        return ledger.sync.open_slices(self.run.name, state)

    def _each(self, state: str, plan: Iterable[OpenSlice], read_until: datetime | None) -> None:
        """Read slices; one whose answers are broken stays open, and the ones after it are read all the same."""
        broken: ConnectorError | None = None
        for slice_ in plan:
            try:
                self.slices.read(state, slice_, read_until)
            except (ReplyError, RecordError) as error:
                broken = broken or error
        if broken:
            raise broken

    def _release(self) -> None:
        """Let the tombstones count that wait for the delete guard, if it allows so many."""
        pending = self.ledger.files.pending(self.run.asset) if self.result.status in ("done", "short") else []
        if pending and self.run.delete_guard.allows(self.run.stored.deleted_by(pending)):
            self.result.files += self.ledger.files.release(self.run.asset, self.run.run_id)

    def _settle(self) -> None:
        """Record fields, the count of the whole stream and what changed, and compact small files."""
        result, run = self.result, self.run
        self.tracker.settle(result)
        if result.status == "done" and run.total:
            self.ledger.slice_counts.record(replace(run.total, run_id=run.run_id))
        result.new, result.changed, result.unchanged, result.deleted = count_changes(run.stored, result.files)
        if result.status == "done":
            compact(StoredStream(run.project, run.asset, run.stream), run.limits)


def _is_whole(spans: Sequence[Interval], first: datetime | None) -> bool:
    """Return whether a stream has been read from its first stamp on, without a gap."""
    return len(spans) == 1 and spans[0].end is not None and spans[0].start in (None, first)
