"""The log of every write that was applied: what tests compare our own audit log with."""

from collections import defaultdict
from threading import Lock
from typing import Any, Literal

from sandbox.core.clock import Clock, iso

Entry = dict[str, Any]
CREATES = ("create",)


class WriteLog:
    """Keep applied writes in order: ours, and what people did between them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.entries: list[Entry] = []
        self._lock = Lock()

    def add(
        self,
        system: str,
        kind: str,
        record: Any,
        action: str,
        before: dict[str, Any],
        after: dict[str, Any],
        *,
        op: str | None = None,
        key: str | None = None,
        by: Literal["us", "people"] = "us",
    ) -> None:
        """Log one write with the values that it touched.

        `op` is the id by which the writer knows it again (trace id, idempotency key), `key` what names a record once
        and for all (unique field, external id), where the protocol carries them.
        """
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        entry: Entry = {
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
            "same": [name for name in after if name not in changed],
        }
        entry |= {"op": op, "key": key, "by": by}
        with self._lock:
            self.entries.append({"seq": len(self.entries) + 1, **entry})

    def by(self, whom: str) -> list[Entry]:
        """List what one side wrote: "us" or "people"."""
        return [entry for entry in list(self.entries) if entry["by"] == whom]

    def created(self, system: str, kind: str) -> list[str]:
        """List the ids of the records of a kind that we created, in order."""
        ours = (entry for entry in self.by("us") if entry["action"] in CREATES)
        return [entry["id"] for entry in ours if (entry["system"], entry["object"]) == (system, kind)]

    def doubled(self, field: str | None = None) -> dict[tuple[str, str, str], list[str]]:
        """List the keys under which we created more than one record; or the values of a field, where nothing is unique."""
        creations: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        for entry in self.by("us"):
            key = entry["after"].get(field) if field else entry["key"]
            if entry["action"] in CREATES and key is not None:
                creations[str(entry["system"]), str(entry["object"]), str(key)].append(entry["id"])
        return {key: ids for key, ids in creations.items() if len(ids) > 1}

    def needless(self) -> list[Entry]:
        """List our writes of a value that was already there."""
        return [entry for entry in self.by("us") if entry["same"] or entry["no_change"]]
