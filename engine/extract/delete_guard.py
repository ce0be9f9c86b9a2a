"""Holds deletions back when a source loses more records in one run than `max_delete_pct` allows."""

from engine.extract.result import StreamResult
from engine.extract.stored_stream import StoredStream

ALWAYS_ALLOWED = 3  # deletions, however small the stream is


class DeleteGuard:
    """Judge the deletions of one stream in one run, by the number of records that were stored before it."""

    def __init__(self, stored: StoredStream, result: StreamResult, max_delete_pct: float) -> None:
        self.stored, self.result, self.most = stored, result, max_delete_pct

    def allows(self, deletions: int) -> bool:
        """Return whether so many records may be deleted; if not, the stream is blocked and says why."""
        if deletions <= ALWAYS_ALLOWED or deletions * 100 <= self.most * self.stored.count:
            return True
        self.trip(
            f"{deletions} of {self.stored.count} records are gone at the source, more than max_delete_pct {self.most:g}; "
            "none is deleted. If that is right, raise max_delete_pct for one run"
        )
        return False

    def is_outage(self, alive: int) -> bool:
        """Return whether a stream that had records has none now; if so, it is blocked."""
        if alive or not self.stored.before or not self.stored.count:
            return False
        self.trip("the source answered no record at all, where there were some before; nothing is deleted")
        return True

    def trip(self, reason: str) -> None:
        """Block the stream."""
        self.result.stop("blocked", f"{self.result.connection} {self.result.stream}: {reason}")
