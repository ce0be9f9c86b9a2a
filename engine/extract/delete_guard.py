"""How much may vanish in one run: a source that loses more than is believable deletes nothing here."""

from engine.extract.result import StreamResult
from engine.extract.stored_stream import StoredStream

ALWAYS_ALLOWED = 3  # so few deletions trip no breaker, however small the stream


class DeleteGuard:
    """Judge the deletions of one stream in one run."""

    def __init__(self, held: StoredStream, result: StreamResult, max_delete_pct: float) -> None:
        self.held, self.result, self.most = held, result, max_delete_pct

    def allows(self, gone: int) -> bool:
        """Tell whether so many records may be deleted; where not, the stream is blocked and says why."""
        if gone <= ALWAYS_ALLOWED or gone * 100 <= self.most * self.held.count:
            return True
        self.trip(
            f"{gone} of {self.held.count} records are gone at the source, more than max_delete_pct {self.most:g}; "
            "none is deleted. If that is right, raise max_delete_pct for one run"
        )
        return False

    def is_outage(self, alive: int) -> bool:
        """Tell whether a source answers no record at all, where there were some before."""
        if alive or not self.held.before or not self.held.count:
            return False
        self.trip("the source answered no record at all, where there were some before; nothing is deleted")
        return True

    def trip(self, why: str) -> None:
        """Block the stream."""
        self.result.stop("blocked", f"{self.result.connection} {self.result.stream}: {why}")
