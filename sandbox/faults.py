"""Faults that can be switched on by route."""

from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any

KINDS = (
    "latency",
    "rate_limit",
    "error",
    "reset",
    "truncated",
    "html",
    "expired_token",
    "lost_answer",
    "delayed_write",
    "empty",
    "drip",
    "foreign_link",
    "foreign_redirect",
    "duplicate_page",
    "bad_json",
)
NOWHERE = "http://127.0.0.1:9"  # the port of the discard service: nobody listens


@dataclass
class Fault:
    """Spoil the requests whose path begins with `match`; Odoo's go to `/odoo/jsonrpc/<model>/<method>`.

    Which of them: all, or the first `times`, a `share` of them (seeded), `every` n-th, those `after` so many.
    `ms`, `retry_after`, `status`, `delay` (seconds) and `to` (an origin) say more where a kind wants it.
    """

    match: str
    kind: str
    method: str | None = None
    times: int | None = None
    share: float | None = None
    every: int | None = None
    after: int = 0
    ms: int = 0
    retry_after: int | None = None
    status: int = 500
    delay: float = 1.0
    to: str = NOWHERE
    seen: int = 0
    hits: int = 0
    random: Random = field(default_factory=lambda: Random(1), repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; choices: {', '.join(KINDS)}")

    def strikes(self, method: str, path: str) -> bool:
        """Tell whether this request is spoilt, and count it."""
        if not path.startswith(self.match) or (self.method and self.method != method):
            return False
        self.seen += 1
        chosen = self.seen > self.after
        chosen = chosen and (self.times is None or self.hits < self.times)
        chosen = chosen and (self.every is None or self.seen % self.every == 0)
        chosen = chosen and (self.share is None or self.random.random() < self.share)
        self.hits += chosen
        return chosen


class Faults:
    """Keep what is switched on."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._lock = Lock()

    def add(self, match: str, kind: str, **options: Any) -> Fault:
        """Switch a fault on."""
        fault = Fault(match, kind, **options)
        with self._lock:
            self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all off."""
        with self._lock:
            self.active.clear()

    def has(self, kind: str) -> bool:
        """Tell whether a kind of fault is switched on."""
        return any(fault.kind == kind for fault in self.active)

    def of(self, method: str, path: str) -> list[Fault]:
        """List the faults that strike a request."""
        with self._lock:
            return [fault for fault in self.active if fault.strikes(method, path)]
