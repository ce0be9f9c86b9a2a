"""Faults that can be switched on by route."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any

from sandbox.core.request_log import is_write

OF_WRITES = ("locked", "partial", "silent")  # reading knows nothing of these
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
    *OF_WRITES,
)
NOWHERE = "http://127.0.0.1:9"  # the port of the discard service: nobody listens


@dataclass
class Fault:
    """Spoil the requests whose path begins with `match`; Odoo's go to `/odoo/jsonrpc/<model>/<method>`.

    Which of them: all, or the first `times`, a `share` of them (by `seed`), `every` n-th, those `after` so many, those
    that come when more than `beyond` of them are under way; `writes` leaves reading alone.
    `ms`, `retry_after`, `status`, `delay` (seconds), `to` (an origin), `record` (which of a batch, from 0), `echo` (the
    answer claims what was sent) and `lock` (Odoo's: serialize, deadlock or nowait) say more where a kind wants it.
    """

    match: str
    kind: str
    method: str | None = None
    times: int | None = None
    share: float | None = None
    every: int | None = None
    after: int = 0
    beyond: int = 0
    writes: bool = False
    seed: int = 1
    ms: int = 0
    retry_after: int | None = None
    status: int = 500
    delay: float = 1.0
    to: str = NOWHERE
    record: int = 0
    echo: bool = False
    lock: str = "serialize"
    seen: int = 0
    hits: int = 0
    under_way: int = 0
    random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; choices: {', '.join(KINDS)}")
        self.random = Random(self.seed)

    def concerns(self, method: str, path: str) -> bool:
        """Tell whether a request is of those that may be spoilt."""
        is_meant = path.startswith(self.match) and self.method in (None, method)
        return is_meant and (not self.writes or is_write(method, path))

    def strikes(self, method: str, path: str) -> bool:
        """Tell whether this request is spoilt, and count it."""
        if not self.concerns(method, path):
            return False
        self.seen += 1
        chosen = self.seen > self.after and self.under_way >= self.beyond
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

    @contextmanager
    def striking(self, method: str, path: str) -> Iterator[list[Fault]]:
        """List the faults that strike a request, which is under way for as long as the block runs."""
        with self._lock:
            near = [fault for fault in self.active if fault.concerns(method, path)]
            struck = [fault for fault in near if fault.strikes(method, path)]
            self._count(near, 1)
        try:
            yield struck
        finally:
            with self._lock:
                self._count(near, -1)

    @staticmethod
    def _count(faults: list[Fault], step: int) -> None:
        for fault in faults:
            fault.under_way += step
