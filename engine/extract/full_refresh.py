"""The end of a full refresh: its generation is complete once it is known what became of every stored record."""

from collections.abc import Sequence

from engine.extract.context import StreamContext
from engine.extract.delete_guard import DeleteGuard
from engine.extract.deletions import DeletionDetector
from engine.extract.stored_stream import StoredStream

LISTED = 20  # keys in one note


class FullRefresh:
    """Complete the newest generation of a stream that has been read as a whole."""

    def __init__(self, run: StreamContext, deletions: DeletionDetector) -> None:
        self.run, self.deletions = run, deletions

    def complete(self) -> bool:
        """Let the older generations count no more, unless more records would be gone than the delete guard allows.

        Records that the new generation lacks are gone where the source does not list them, or does not answer for them
        by key. Their rows are carried over where it does, and where it cannot be asked.
        """
        stored = self.run.current()
        if stored.generations.has_new_key:
            return self._switch(stored)
        absent = stored.absent_from_newest()
        staying = self._staying(stored, absent)
        deleted = sorted({*absent} - {*staying})
        if deleted and not self.deletions.bury(stored, deleted):
            return False
        self._close(stored, staying)
        return True

    def _switch(self, stored: StoredStream) -> bool:
        """Take the rows with the new key for those with the old one, if there are about as many records."""
        run, complete = self.run, stored.generations.complete
        before = StoredStream(run.project, run.asset, run.stream, generations=(complete, complete))
        if not DeleteGuard(before, run.result, run.config.max_delete_pct).allows(before.count - stored.count):
            return False
        self._close(stored, [])
        return True

    def _close(self, stored: StoredStream, staying: Sequence[str]) -> None:
        run = self.run
        rows = [run.project.lake.write(run.asset, stored.carried(staying), con=stored.engine)] if staying else []
        run.ledger.generations.complete(run.name, run.stream.name, stored.last, rows)

    def _staying(self, stored: StoredStream, absent: Sequence[str]) -> Sequence[str]:
        """Tell which of the records that the new generation lacks are not gone."""
        if not absent:
            return []
        if self.run.stream.deletes == "sweep":  # its keys were listed just now, or all of it was read
            return absent if self.run.stream.cursor else []
        answered = self.deletions.answered_keys(absent, stored.some_in_newest())
        if answered is None:
            listed = ", ".join(absent[:LISTED]) + (", ..." if len(absent) > LISTED else "")
            self.run.result.notes.append(
                f"{len(absent)} records are stored that the full refresh did not show, and this connector cannot be asked "
                f"whether they are gone; they stay: {listed}"
            )
            return absent
        return [key for key in absent if key in answered]
