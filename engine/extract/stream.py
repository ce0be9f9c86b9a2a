"""Read one stream in one run: slice after slice, then what was deleted, then the count of the whole."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

from connectors.kit.errors import ConnectorError, RecordError, ReplyError
from connectors.kit.stream import Slice
from engine.config.pins import reset_if_changed
from engine.extract import slice_plan
from engine.extract.change_counts import news
from engine.extract.compaction import compact
from engine.extract.completeness import ObservedKeys
from engine.extract.context import StreamContext
from engine.extract.deletions import DeletionDetector
from engine.extract.result import StreamResult
from engine.extract.schema_drift.drift import FieldTracker
from engine.extract.slice import SliceReader
from engine.extract.source_rollback import set_back_lost_versions
from engine.storage.gc_tuning import sparing_what_stays
from engine.storage.sync_state import WHOLE, Interval, OpenSlice, full_refresh_of, uncursored_refresh_of
from schemas.mapping import paths


class StreamReader:
    """Read one stream, with `full` all of it once more."""

    def __init__(self, extraction: StreamContext, shape: FieldTracker, *, full: bool) -> None:
        self.run, self.shape, self.full = extraction, shape, full
        self.result, self.ledger, self.stream = extraction.result, extraction.ledger, extraction.stream
        self.slices, self.vanished = SliceReader(extraction, shape), DeletionDetector(extraction)

    def done(self) -> StreamResult:
        """Read to the end, or to the first error that this stream cannot pass."""
        start, result = monotonic(), self.result
        with sparing_what_stays():
            for part in (self._rows, self._settle):
                try:
                    part()
                except ConnectorError as error:
                    result.stop("failed", str(error))
        result.notes += result.repairs.notes()
        result.seconds = monotonic() - start
        return result

    def _rows(self) -> None:
        self.shape.hold()
        reset_if_changed(self.run.project, self.run.name, self.stream)
        name, anew = self.run.name, full_refresh_of(self.stream.name)
        if self.full:
            self.ledger.sync.reset(name, self.stream.name)
        self.run.anew = next(iter(self.ledger.sync.open_slices(name, anew)), None)
        (self._whole if self.stream.cursor is None else self._changes)()
        if self.run.anew and (self.result.status == "done" or self.vanished.is_in_vain):
            self._all_read(anew, self.run.anew)

    def _all_read(self, state: str, anew: OpenSlice) -> None:
        """Draw the conclusions of a reading of all, be it of several runs; it is over unless a breaker holds them back."""
        if self.stream.cursor:
            shown = ObservedKeys.of(self.run.project, self.run.name, self.stream.name, state, anew)
            set_back_lost_versions(self.run, shown)
            self.vanished.unshown(shown)
        if self.result.status != "blocked":
            self.ledger.sync.discard_slice(self.run.name, state, anew.slice_)

    def _changes(self) -> None:
        """Read what lies between what has been read and the run's beginning, then what was deleted."""
        ledger, stream, first = self.ledger, self.stream, self.run.first
        open_ = self._open(stream.name)
        spans = ledger.sync.intervals(self.run.name, stream.name)
        covered = spans + [Interval(one.slice_.start, one.slice_.end) for one in open_]
        anchor = None if open_ else self.slices.anchor  # what is half read is read on, not back
        left = slice_plan.left(covered, first, self.run.until, stream.lookback, stream.window, anchor)
        plan = [*open_, *(OpenSlice(slice_, None, self.run.run_id) for slice_ in left)]
        self.result.since, self.result.until = (plan[0].slice_.start if plan else None), self.run.until
        self._each(stream.name, plan, spans[-1].end if spans else None)
        is_all = not covered
        if is_all and not self.result.read and (not self.run.held.before or self.run.breaker.is_outage(0)):
            ledger.sync.reset(
                self.run.name, stream.name
            )  # an empty reading of all may be an outage: the next one asks anew
        elif self.result.status == "done" and plan and plan[0].slice_.start == first and not spans:
            ledger.sync.close_slice(self.run.name, uncursored_refresh_of(stream.name), Slice(first, self.run.until))
        self._refresh(first)
        if self.result.status == "done":
            self.vanished.ask()

    def _whole(self) -> None:
        """Read a stream that has no cursor; only rows that differ from what is held are landed."""
        left = self._open(self.stream.name)
        one = left[0] if left else OpenSlice(WHOLE, None, self.run.run_id)
        seen = self.slices.read(self.stream.name, one)
        if self.stream.deletes == "sweep" and not left and self.result.status == "done":
            self.vanished.missing(chunk.to_pylist() for chunk in seen)

    def _refresh(self, first: datetime | None) -> None:
        """Read everything again when that is due, for the sake of fields that move no cursor."""
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
        """List what earlier runs left open; pages that are told by number have moved since, and are begun anew."""
        ledger = self.ledger
        if self.stream.offset_paged:
            for one in ledger.sync.open_slices(self.run.name, state):
                ledger.sync.discard_slice(self.run.name, state, one.slice_)
        return ledger.sync.open_slices(self.run.name, state)

    def _each(self, state: str, plan: Iterable[OpenSlice], known: datetime | None) -> None:
        """Read slices; one whose answers cannot be trusted stays open, those behind it are read all the same."""
        broken: ConnectorError | None = None
        for one in plan:
            try:
                self.slices.read(state, one, known)
            except (ReplyError, RecordError) as error:
                broken = broken or error
        if broken:
            raise broken

    def _settle(self) -> None:
        """Let tombstones count that may, ask for the count of the whole, and say what is new."""
        result, ledger, asset = self.result, self.ledger, self.run.held.asset
        self.shape.settle(result)
        pending = ledger.files.pending(asset) if result.status in ("done", "short") else []
        if pending and self.run.breaker.allows(self.run.held.deleted_by(pending)):
            result.files += ledger.files.release(asset, self.run.run_id)
        if result.status == "done" and self.run.total:
            ledger.slice_counts.record(replace(self.run.total, run_id=self.run.run_id))
        result.new, result.changed, result.unchanged, result.deleted = news(self.run.held, result.files)
        if result.status == "done":
            compact(self.run.held)
