"""What one run read of one stream."""

from dataclasses import dataclass, field
from datetime import datetime

from connectors.kit.repair import Repairs
from engine.storage.manifest import Written


@dataclass
class StreamResult:
    """Say what one run read of one stream.

    `status` is done; failed (an error stopped it); short (the source counts records that it did not send); or blocked
    (more records would be deleted than is believable). `read` are rows as they came, `landed` those that were not held
    already. `late` came under a stamp that had been read before: more of them than none says that the connector's
    `lookback` is needed. `total` is the source's own count of what was asked for, `missing` what it did not send.
    `new_fields`, `gone_fields` and `retyped_fields` are not as they were accepted; `never_seen` are mapped, and no record
    ever had them.
    `derived_read_at` is the stamp up to which fields that move no cursor were read last. `notes` say what somebody may
    want to know of a reading that is done; `repairs` count the broken text that was replaced in what was read.
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

    def stop(self, status: str, why: str) -> None:
        """Note the first thing that went wrong."""
        if self.status == "done":
            self.status, self.error = status, why
