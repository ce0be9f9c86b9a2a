"""Reads the slices of a stream, and compares each with the source's own count."""

from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from connectors.kit.base import CountsSlices
from connectors.kit.errors import ConnectorError, ReplyError
from connectors.kit.stream import Slice
from engine.extract.completeness import ObservedKeys, compare_counts, describe_missing, describe_moving
from engine.extract.context import StreamContext
from engine.extract.lake_writer import LakeWriter
from engine.extract.schema_drift.drift import FieldTracker
from engine.storage.stores.slice_counts import SliceCount
from engine.storage.stores.sync_state import UNCURSORED_REFRESH, OpenSlice


class SliceReader:
    """Read the slices of one stream, one at a time."""

    def __init__(self, extraction: StreamContext, tracker: FieldTracker) -> None:
        self.run, self.tracker = extraction, tracker

    def read(self, state: str, slice_: OpenSlice, read_until: datetime | None = None) -> list[pa.ChunkedArray]:
        """Read a slice to its end and prove it; returns the keys that came, of a stream without a cursor."""
        landing = self._landing(state, slice_, read_until=read_until)
        if not slice_.is_read:
            self._pages(landing, slice_)
        if landing.is_empty and self._is_outage(slice_.slice_):
            self.run.ledger.sync.discard_slice(self.run.name, state, slice_.slice_)
        else:
            self._prove(state, slice_, landing)
        return landing.seen

    def _landing(self, state: str, slice_: OpenSlice, **more: Any) -> LakeWriter:
        return LakeWriter(self.run, state, slice_, **more)

    def _pages(self, landing: LakeWriter, slice_: OpenSlice) -> None:
        """Land page after page; what has been gathered lands also when the reading breaks off."""
        page = None
        try:
            for page in self.tracker.watched(
                self.run.connector.read(self.run.stream, slice_.slice_, slice_.checkpoint)
            ):
                landing.add(page)
        except ConnectorError:
            landing.flush()
            raise
        if page is None or page.checkpoint is not None:
            landing.flush()
            raise ReplyError(f"{self.run.label}: the connector ended its pages without one that ends the slice")

    def _is_outage(self, slice_: Slice) -> bool:
        """Return whether an empty answer is an outage: a stream does not lose all of its records at once."""
        is_all = self.run.stream.cursor is None or (slice_.start == self.run.first and slice_.end == self.run.until)
        if is_all or self._must_show(slice_):
            return self.run.delete_guard.is_outage(0)
        counted = self.run.total
        return counted is not None and self.run.delete_guard.is_outage(counted.source_count or 0)

    def _must_show(self, slice_: Slice) -> bool:
        """Return whether a slice covers the newest stored record, which cannot vanish where deletions are flags."""
        anchor = self.anchor
        return bool(anchor and slice_.start and slice_.end and slice_.start <= anchor < slice_.end)

    @cached_property
    def anchor(self) -> datetime | None:
        """The newest stored stamp, of a source that does not count slices and flags its deletions."""
        is_counted = isinstance(self.run.connector, CountsSlices)
        if is_counted or self.run.stream.deletes != "flag" or self.run.stored.generations.is_open:
            return None
        return self.run.stored.newest_stamp(self.run.until)

    def _prove(self, state: str, slice_: OpenSlice, landing: LakeWriter) -> None:
        """Compare a slice with the source's count; if records are missing after a second reading, it stays a gap."""
        open_ = self.run.ledger.sync.open_slices(self.run.name, state)
        read = next(each for each in open_ if each.slice_ == slice_.slice_)
        count, observed, is_settled = self._proven(state, read, landing)
        self.run.ledger.slice_counts.record(replace(count, run_id=self.run.run_id))
        if count.source_count is not None:
            self.run.result.total = (self.run.result.total or 0) + count.source_count
        self.run.result.missing += count.missing
        if count.missing or not is_settled:
            self.run.ledger.sync.discard_slice(self.run.name, state, slice_.slice_)
            self.run.result.stop("short", describe_missing(count) if count.missing else describe_moving(count))
        else:
            if state.endswith(UNCURSORED_REFRESH):
                self._look_for_rollback(observed)
            self.run.ledger.sync.close_slice(self.run.name, state, slice_.slice_)

    def _look_for_rollback(self, observed: ObservedKeys) -> None:
        """Count the records that came in an earlier version than the stored one: the source was restored."""
        settled = self.run.until - self.run.stream.lookback
        self.run.rolled_back += self.run.current().count_lost(observed.files, observed.stored, settled)

    def _proven(self, state: str, read: OpenSlice, landing: LakeWriter) -> tuple[SliceCount, ObservedKeys, bool]:
        """Read a doubtful slice once more; returns also whether both readings of numbered pages agree."""
        observed = self._observed_keys(state, read, landing)
        count = compare_counts(self.run.connector, self.run.stream, read, observed)
        if not self._is_doubtful(count, observed, landing):
            return count, observed, True
        before = self._count_observed(observed, read.slice_, landing)
        landing = self._landing(state, read, before=landing)
        self._pages(landing, OpenSlice(read.slice_, None, self.run.run_id))
        observed = self._observed_keys(state, read, landing)
        count = compare_counts(self.run.connector, self.run.stream, read, observed)
        is_same = self._count_observed(observed, read.slice_, landing) == before
        return count, observed, is_same or not self.run.stream.offset_paged

    def _is_doubtful(self, count: SliceCount, observed: ObservedKeys, landing: LakeWriter) -> bool:
        """Return whether a reading may have missed a record.

        With numbered pages a record that leaves hides another one, so that a matching count proves nothing.
        """
        if count.missing or not self.run.stream.offset_paged:
            return count.missing > 0
        end, is_changing = count.slice_.end, self.run.stream.cursor is not None and landing.pages > 1
        may_have_moved = is_changing and (count.source_count is None or bool(end and observed.count(Slice(end))))
        return count.moved > 0 or may_have_moved or self._count_unlisted(landing) > 0

    def _count_observed(self, observed: ObservedKeys, slice_: Slice, landing: LakeWriter) -> int:
        """Count what two readings must agree on: the records that came, or without a cursor those that did not."""
        return self._count_unlisted(landing) if self.run.stream.cursor is None else observed.count(slice_)

    def _count_unlisted(self, landing: LakeWriter) -> int:
        """Count the stored records that a reading of the whole stream did not show."""
        if self.run.stream.cursor is not None or self.run.stream.deletes != "sweep":
            return 0
        return len(self.run.current().unlisted(chunk.to_pylist() for chunk in landing.seen)[0])

    def _observed_keys(self, state: str, read: OpenSlice, landing: LakeWriter) -> ObservedKeys:
        return ObservedKeys.of(self.run.project, self.run.name, self.run.stream.name, state, read, landing.skipped_keys)
