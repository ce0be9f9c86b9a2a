"""What a source holds no more, in whichever way it is known: told, listed no more, or not shown by a reading of all."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from connectors.kit.base import ListsKeys, ReadsByKey, ReportsDeletes
from connectors.kit.errors import SettingsError
from connectors.kit.stream import Slice
from engine.extract.completeness import MOST, ObservedKeys, changed_since
from engine.extract.context import StreamContext
from engine.extract.lake_writer import gathered
from engine.extract.stored_stream import StoredStream
from engine.storage.manifest import Written
from engine.storage.sync_state import WHOLE, Progress, deletes_of, full_refresh_mismatch_of


class DeletionDetector:
    """Find what is gone of one stream, and land its tombstones."""

    def __init__(self, extraction: StreamContext) -> None:
        self.run = extraction

    @property
    def is_in_vain(self) -> bool:
        """Tell whether a reading of all did not show what is listed."""
        return bool(self.run.ledger.sync.open_slices(self.run.name, full_refresh_mismatch_of(self.run.stream.name)))

    def ask(self) -> None:
        """Ask the source, in the stream's own way."""
        connector, deletes = self.run.connector, self.run.stream.deletes
        if isinstance(connector, ReportsDeletes) and deletes in ("list", "feed"):
            self._reported(connector)
        elif isinstance(connector, ListsKeys) and deletes == "sweep":
            self.missing(connector.keys(self.run.stream))

    def missing(self, keys: Iterable[list[str]]) -> None:
        """Compare what is held with all keys that there are."""
        held = self.run.current()
        gone, listed = held.gone(keys)
        if gone and not self.run.breaker.is_outage(listed):
            self._bury(held, gone)
        is_bounded = self.run.first is not None  # then keys are listed that lie before the first stamp
        if self.run.stream.cursor:
            self._read_all_for(held.listed_only(known=is_bounded))

    def unshown(self, shown: ObservedKeys) -> None:
        """Look for what a whole reading did not show, where nobody lists the keys: what is not there by its key is gone."""
        if self.run.stream.deletes == "sweep":
            return
        held = self.run.current()
        keys = held.absent(shown.files)
        there = self._known(keys, held.some_in(shown.files)) if keys else set()
        if there is None:
            self.run.result.notes.append(
                f"{len(keys)} records are held that a reading of all did not show; whether they are gone or were edited "
                "meanwhile, this connector cannot ask"
            )
        elif gone := [key for key in keys if key not in there]:
            self._bury(held, gone)

    def _reported(self, connector: ReportsDeletes) -> None:
        """Land what the source says is gone, looking back; refused or broken off, it is asked for again."""
        run, stream, state = self.run, self.run.stream, deletes_of(self.run.stream.name)
        spans, held = run.ledger.sync.intervals(run.name, state), run.current()
        slice_ = Slice(spans[-1].end - stream.lookback if spans else run.first, run.until)
        gone: set[str] = set()
        written: list[Written] = []
        for rows in gathered(held.unseen_tombstones(page.records) for page in connector.deletes(stream, slice_)):
            gone |= held.alive(rows.column("_key"))
            written.append(run.project.lake.write(held.asset, rows))
        if run.breaker.allows(len(gone)):
            run.ledger.sync.land(run.name, state, written, Progress(slice_, None), run.run_id)
            run.result.files += written
            run.result.landed += sum(file.rows for file in written)
            run.result.bytes += sum(file.bytes for file in written)

    def _read_all_for(self, keys: Sequence[str]) -> None:
        """Read all again for the sake of keys that are listed and were not read, unless the next run reads them anyway."""
        run, state = self.run, full_refresh_mismatch_of(self.run.stream.name)
        since = changed_since(run.connector, run.stream, run.to_come) if keys else set()
        lost = len({*keys} - since) if since is not None else 0
        if not lost:
            return run.ledger.sync.discard_slice(run.name, state, WHOLE)
        why = "and a reading of all did not show them: compare what the connector lists with what it reads"
        if run.anew:
            run.ledger.sync.land(run.name, state, [], Progress(WHOLE, None, is_read=True), run.run_id)
        elif not self.is_in_vain:
            run.ledger.sync.reset(run.name, run.stream.name)
            why = "and no stamp of theirs moved; the next run reads the stream as a whole"
        return run.result.stop("short", f"{run.place}: {lost} records are listed that are not here, {why}")

    def _known(self, keys: Sequence[str], shown: Sequence[str]) -> set[str] | None:
        """Ask for records by their keys; None where that cannot be done, or is not to be believed.

        Asked for are also some that were shown just now: a source that does not answer for them answers for nobody.
        """
        if len(keys) > MOST or not isinstance(self.run.connector, ReadsByKey):
            return None
        with suppress(SettingsError):
            found = set(self.run.connector.fetch(self.run.stream, [*keys, *shown], ()))
            return found if {*shown} <= found else None
        return None

    def _bury(self, held: StoredStream, gone: Sequence[str]) -> None:
        """Land tombstones, if so many are believed."""
        run = self.run
        if run.breaker.allows(len(gone)):
            written = run.project.lake.write(held.asset, held.tombstones(gone, run.connector.now()))
            run.ledger.files.add([written], run.run_id)
            run.result.files.append(written)
