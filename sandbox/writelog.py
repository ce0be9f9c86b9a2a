"""The log of every write that was applied: what tests compare our own audit log with."""

from threading import Lock
from typing import Any

from sandbox.clock import Clock, iso


class WriteLog:
    """Keep applied writes in order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.entries: list[dict[str, Any]] = []
        self._lock = Lock()

    def add(
        self, system: str, kind: str, record: Any, action: str, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        """Log one write with the values that it touched."""
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        entry = {
            "system": system,
            "object": kind,
            "id": str(record),
            "action": action,
            "at": iso(self.clock.now()),
        }
        entry |= {
            "before": {name: before.get(name) for name in changed},
            "after": changed,
            "no_change": not changed,
        }
        with self._lock:
            self.entries.append({"seq": len(self.entries) + 1, **entry})
