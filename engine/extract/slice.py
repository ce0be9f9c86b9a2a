"""A slice of a stream: read to its end, doubted where it is empty, proven by the source's own count."""

from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from connectors.kit.base import CountsSlices
from connectors.kit.errors import ConnectorError, ReplyError
from connectors.kit.stream import Slice
from engine.extract.completeness import ObservedKeys, balance, moving, said
from engine.extract.context import StreamContext
from engine.extract.lake_writer import LakeWriter
from engine.extract.schema_drift.drift import FieldTracker
from engine.extract.source_rollback import set_back_lost_versions
from engine.storage.slice_counts import SliceCount
from engine.storage.sync_state import UNCURSORED_REFRESH, OpenSlice


class SliceReader:
    """Read the slices of one stream, one at a time."""

    def __init__(self, extraction: StreamContext, shape: FieldTracker) -> None:
        self.run, self.shape = extraction, shape

    def read(self, state: str, one: OpenSlice, known: datetime | None = None) -> list[pa.ChunkedArray]:
        """Read a slice and prove it; answers the keys that were seen."""
        landing = self._landing(state, one, known=known)
        if not one.is_read:
            self._pages(landing, one)
        if landing.is_empty and self._is_outage(one.slice_):
            self.run.ledger.sync.discard_slice(self.run.name, state, one.slice_)
        else:
            self._prove(state, one, landing)
        return landing.seen

    def _landing(self, state: str, one: OpenSlice, **more: Any) -> LakeWriter:
        held, is_anew = self.run.current(), bool(self.run.anew and self.run.stream.cursor)
        return LakeWriter(self.run.project, held, state, one, self.run.result, self.run.run_id, is_anew=is_anew, **more)

    def _pages(self, landing: LakeWriter, one: OpenSlice) -> None:
        """Land page after page; what has gathered lands also where the reading breaks off."""
        page = None
        try:
            for page in self.shape.watched(self.run.connector.read(self.run.stream, one.slice_, one.checkpoint)):
                landing.add(page)
        except ConnectorError:
            landing.flush()
            raise
        if page is None or page.checkpoint is not None:
            landing.flush()
            raise ReplyError(f"{self.run.place}: the reading ended without saying that this is the end")

    def _is_outage(self, slice_: Slice) -> bool:
        """Look behind an empty answer: a stream that held records does not lose all of them at once."""
        is_all = self.run.stream.cursor is None or (slice_.start == self.run.first and slice_.end == self.run.until)
        if is_all or self._must_show(slice_):
            return self.run.breaker.is_outage(0)
        counted = self.run.total
        return counted is not None and self.run.breaker.is_outage(counted.source_count or 0)

    def _must_show(self, slice_: Slice) -> bool:
        """Tell whether a slice holds our newest record: where deletions are flags, it cannot be gone."""
        anchor = self.anchor
        return bool(anchor and slice_.start and slice_.end and slice_.start <= anchor < slice_.end)

    @cached_property
    def anchor(self) -> datetime | None:
        """Find the newest stamp that is held, where the source tells no count but flags what it deletes."""
        if isinstance(self.run.connector, CountsSlices) or self.run.stream.deletes != "flag":
            return None
        return self.run.held.newest_stamp(self.run.until)

    def _prove(self, state: str, one: OpenSlice, landing: LakeWriter) -> None:
        """Compare a slice with the source's count; what is missing is asked for once more, then it stays a gap."""
        open_ = self.run.ledger.sync.open_slices(self.run.name, state)
        read = next(each for each in open_ if each.slice_ == one.slice_)
        found, shown, is_settled = self._proven(state, read, landing)
        self.run.ledger.slice_counts.record(replace(found, run_id=self.run.run_id))
        if found.source_count is not None:
            self.run.result.total = (self.run.result.total or 0) + found.source_count
        self.run.result.missing += found.missing
        if found.missing or not is_settled:
            self.run.ledger.sync.discard_slice(self.run.name, state, one.slice_)
            self.run.result.stop("short", said(found) if found.missing else moving(found))
        else:
            if state.endswith(UNCURSORED_REFRESH):
                set_back_lost_versions(self.run, shown)
            self.run.ledger.sync.close_slice(self.run.name, state, one.slice_)

    def _proven(self, state: str, read: OpenSlice, landing: LakeWriter) -> tuple[SliceCount, ObservedKeys, bool]:
        """Read once more what is in doubt; tells whether pages by number showed the same both times."""
        shown = self._shown(state, read, landing)
        found = balance(self.run.connector, self.run.stream, read, shown)
        if not self._is_doubtful(found, shown, landing):
            return found, shown, True
        before = self._known(shown, read.slice_, landing)
        landing = self._landing(state, read, before=landing)
        self._pages(landing, OpenSlice(read.slice_, None, self.run.run_id))
        shown = self._shown(state, read, landing)
        found = balance(self.run.connector, self.run.stream, read, shown)
        is_same = self._known(shown, read.slice_, landing) == before
        return found, shown, is_same or not self.run.stream.offset_paged

    def _is_doubtful(self, found: SliceCount, shown: ObservedKeys, landing: LakeWriter) -> bool:
        """Tell whether a reading may have passed somebody over: of pages that have moved a count alone proves nothing."""
        if found.missing or not self.run.stream.offset_paged:
            return found.missing > 0
        end, is_changing = found.slice_.end, self.run.stream.cursor is not None and landing.pages > 1
        may_have_moved = is_changing and (found.source_count is None or bool(end and shown.count(Slice(end))))
        return found.moved > 0 or may_have_moved or self._lacking(landing) > 0

    def _known(self, shown: ObservedKeys, slice_: Slice, landing: LakeWriter) -> int:
        """Count what two readings have to agree on: who came, or of a whole reading, which repeats each night, who lacks."""
        return self._lacking(landing) if self.run.stream.cursor is None else shown.count(slice_)

    def _lacking(self, landing: LakeWriter) -> int:
        """Count who is held and was not shown by a whole reading."""
        if self.run.stream.cursor is not None or self.run.stream.deletes != "sweep":
            return 0
        return len(self.run.current().gone(chunk.to_pylist() for chunk in landing.seen)[0])

    def _shown(self, state: str, read: OpenSlice, landing: LakeWriter) -> ObservedKeys:
        return ObservedKeys.of(self.run.project, self.run.name, self.run.stream.name, state, read, landing.skipped_keys)
