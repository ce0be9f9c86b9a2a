"""How often an account may be asked: moving windows, shared by all that use the account in this process."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from time import monotonic, sleep


@dataclass(frozen=True)
class Limit:
    """Allow so many requests in so many seconds."""

    requests: int
    seconds: float


class Budget:
    """Charge every physical request and wait where a window is full."""

    def __init__(
        self,
        limits: Iterable[Limit],
        clock: Callable[[], float] = monotonic,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._windows: list[tuple[Limit, deque[float]]] = [(limit, deque()) for limit in limits]
        self._clock, self._wait, self._lock = clock, wait, Lock()
        self._not_before = 0.0

    def spend(self) -> None:
        """Wait until one more request is allowed, and charge it."""
        while (pause := self._charged()) > 0:
            self._wait(pause)

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long: the source asked for it."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def _charged(self) -> float:
        with self._lock:
            now = self._clock()
            pause = self._not_before - now
            for limit, sent in self._windows:
                while sent and sent[0] <= now - limit.seconds:
                    sent.popleft()
                if len(sent) >= limit.requests:
                    pause = max(pause, sent[0] + limit.seconds - now)
            if pause <= 0:
                for _, sent in self._windows:
                    sent.append(now)
            return pause
