"""Finds records that a source has deleted: it reports them, or does not list their keys any more."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from connectors.kit.base import ListsKeys, ReadsByKey, ReportsDeletes
from connectors.kit.errors import SettingsError
from connectors.kit.stream import Slice
from engine.extract.completeness import MOST, changed_since
from engine.extract.context import StreamContext
from engine.extract.lake_writer import gathered, without_payload
from engine.extract.stored_stream import StoredStream
from engine.storage.manifest import Written
from engine.storage.stores.sync_state import WHOLE, Progress, deletes_of, full_refresh_mismatch_of


class DeletionDetector:
    """Find the deleted records of one stream, and land their tombstones."""

    def __init__(self, extraction: StreamContext) -> None:
        self.run = extraction

    @property
    def has_mismatch(self) -> bool:
        """Whether the source lists keys that a reading of the whole stream did not show."""
        return bool(self.run.ledger.sync.open_slices(self.run.name, full_refresh_mismatch_of(self.run.stream.name)))

    def ask(self) -> None:
        """Ask the source, in the way that the stream declares."""
        connector, deletes = self.run.connector, self.run.stream.deletes
        if isinstance(connector, ReportsDeletes) and deletes in ("list", "feed"):
            self._reported(connector)
        elif isinstance(connector, ListsKeys) and deletes == "sweep":
            self.bury_unlisted(connector.keys(self.run.stream))

    def bury_unlisted(self, keys: Iterable[Sequence[str]]) -> None:
        """Delete the stored records that are not among all keys of the source."""
        stored = self.run.current()
        unlisted, listed = stored.unlisted(keys)
        if unlisted and not self.run.delete_guard.is_outage(listed):
            self.bury(stored, unlisted)
        is_bounded = self.run.first is not None  # keys of records before `start` are listed, too
        if self.run.stream.cursor:
            self._read_all_for(stored.listed_only(were_stored=is_bounded))

    def _reported(self, connector: ReportsDeletes) -> None:
        """Land the deletions that the source reports; if the guard blocks them, the next run asks again."""
        run, stream, state = self.run, self.run.stream, deletes_of(self.run.stream.name)
        spans, stored = run.ledger.sync.intervals(run.name, state), run.current()
        last = spans[-1].end if spans else None
        slice_ = Slice(last - stream.lookback if last else run.first, run.until)
        deleted: set[str] = set()
        written: list[Written] = []
        tombstones = (stored.unseen_tombstones(page.records) for page in connector.deletes(stream, slice_))
        for rows in gathered((without_payload(part, stream) for part in tombstones), run.limits):
            deleted |= stored.alive(rows.column("_key"))
            written.append(run.project.lake.write(stored.asset, run.row_numbers.number(rows)))
        if run.delete_guard.allows(len(deleted)):
            run.ledger.sync.land(run.name, state, written, Progress(slice_, None), run.run_id)
            run.result.files += written
            run.result.landed += sum(file.rows for file in written)
            run.result.bytes += sum(file.bytes for file in written)

    def _read_all_for(self, keys: Sequence[str]) -> None:
        """Let the next run read the whole stream if keys are listed that were never read, once."""
        run, state = self.run, full_refresh_mismatch_of(self.run.stream.name)
        since = changed_since(run.connector, run.stream, run.to_come) if keys else set()
        lost = len({*keys} - since) if since is not None else 0
        if not lost:
            return run.ledger.sync.discard_slice(run.name, state, WHOLE)
        reason = (
            "and a reading of the whole stream did not show them: compare what the connector lists with what it reads"
        )
        if run.is_whole_reading:
            run.ledger.sync.land(run.name, state, [], Progress(WHOLE, None, is_read=True), run.run_id)
        elif not self.has_mismatch:
            run.ledger.sync.reset(run.name, run.stream.name)
            reason = "and their stamps did not move; the next run reads the stream as a whole"
        return run.result.stop("short", f"{run.label}: {lost} records are listed that are not stored, {reason}")

    def answered_keys(self, keys: Sequence[str], controls: Sequence[str]) -> set[str] | None:
        """Ask for records by key, and return the keys of those that exist; None if the answer proves nothing.

        `controls` are records that the source has just shown. If it does not answer for them, for want of rights
        perhaps, its silence about the others means nothing either.
        """
        if len(keys) > MOST or not isinstance(self.run.connector, ReadsByKey):
            return None
        with suppress(SettingsError):
            answered = set(self.run.connector.fetch(self.run.stream, [*keys, *controls], ()))
            return answered if {*controls} <= answered else None
        return None

    def bury(self, stored: StoredStream, keys: Sequence[str]) -> bool:
        """Land tombstones if the delete guard allows so many; returns whether it does."""
        run = self.run
        if not run.delete_guard.allows(len(keys)):
            return False
        tombstones = run.row_numbers.number(stored.tombstones(keys, run.connector.now()))
        written = run.project.lake.write(stored.asset, tombstones)
        run.ledger.files.add([written], run.run_id)
        run.result.files.append(written)
        return True
