"""What one run read of one stream."""

from dataclasses import dataclass, field
from datetime import datetime

from connectors.kit.repair import Repairs
from engine.storage.manifest import Written


@dataclass
class StreamResult:
    """What one run read of one stream.

    `status` is done; failed (an error stopped it); short (the source counts or lists records that did
    not come); or blocked (the delete guard held deletions back, or the source answered no record).
    `read` counts rows as they came, `landed` those that were not stored already. `late` counts rows
    with a stamp that had been read before, which is why a stream has a `lookback`. `total` is the
    source's own count of what was asked for, `missing` how many of those did not come.
    `new_fields`, `gone_fields` and `retyped_fields` differ from what was accepted; `never_seen` are
    mapped fields that no record ever had. `derived_read_at` is the stamp up to which fields whose
    changes move no cursor were read last. `notes` are messages for people; `repairs` counts the
    broken text that was replaced.
    """

    connection: str
    stream: str
    status: str = "done"
    error: str | None = None
    read: int = 0
    landed: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    late: int = 0
    pages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    total: int | None = None
    missing: int = 0
    since: datetime | None = None
    until: datetime | None = None
    derived_read_at: datetime | None = None
    notes: list[str] = field(default_factory=list)
    repairs: Repairs = field(default_factory=Repairs)
    new_fields: list[str] = field(default_factory=list)
    gone_fields: list[str] = field(default_factory=list)
    retyped_fields: list[str] = field(default_factory=list)
    never_seen: list[str] = field(default_factory=list)
    files: list[Written] = field(default_factory=list, repr=False)

    def stop(self, status: str, reason: str) -> None:
        """Record the first thing that went wrong."""
        if self.status == "done":
            self.status, self.error = status, reason
