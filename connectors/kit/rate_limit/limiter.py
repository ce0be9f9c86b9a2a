"""How often an account may be asked, by all that use it: moving windows, holds, and the vendor's own word."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from time import sleep

from connectors.kit.arrow import whole_number
from connectors.kit.errors import BusyError
from connectors.kit.rate_limit.sliding_window import Window
from connectors.kit.rate_limit.usage_store import POLL, FileUsageStore, MemoryUsageStore, Usage, UsageStore, ticks

LONGEST_WAIT = 120.0
LONGEST_HOLD = 86_400.0  # whatever a source asks for: after a day it may be asked again
_NAMES = {60: "the minute's quota", 3600: "the hour's quota", 86_400: "the day's quota"}
_UNBOUNDED = 10**9


@dataclass(frozen=True)
class Limit:
    """Allow so many requests in so many seconds.

    `scope` None counts every request, a scope only those that are sent with it. `reserve` is the share that is kept
    for writes.
    """

    requests: int
    seconds: float
    scope: str | None = None
    reserve: float = 0.0

    def __post_init__(self) -> None:
        if self.requests < 1 or self.seconds <= 0 or not 0 <= self.reserve < 1:
            raise ValueError(f"no limit: {self}")

    @cached_property
    def key(self) -> str:
        """Name the window, which connections of one account share whatever they set."""
        return f"{self.scope or ''}/{self.seconds:g}"

    def most(self, announced: int | None, *, writes: bool) -> int:
        """Tell how many may be sent, by the lower of our limit and the vendor's."""
        most = self.requests if announced is None else min(self.requests, max(announced, 1))
        return most if writes else max(1, int(most * (1 - self.reserve)))


@dataclass(frozen=True)
class RateHeader:
    """Name the headers by which a vendor tells how many requests remain in a window, and its limit there."""

    remaining: str
    seconds: float
    limit: str | None = None
    scope: str | None = None


class Budget:
    """Charge every physical request and wait where a window is full.

    A wait beyond LONGEST_WAIT raises BusyError with the time and the reason.
    """

    def __init__(
        self,
        limits: Iterable[Limit] = (),
        clock: Callable[[], float] = ticks,
        wait: Callable[[float], None] = sleep,
        *,
        rates: Sequence[RateHeader] = (),
        places: int | None = None,
        name: str = "account",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._limits = _with_rates(tuple(limits), rates)
        scopes = {None, *(limit.scope for limit in self._limits)}
        self._scoped = {scope: [one for one in self._limits if one.scope in (None, scope)] for scope in scopes}
        self._rates, self._places, self._name = tuple(rates), places, name
        self._clock, self._wait, self._now = clock, wait, now
        self._account: UsageStore = MemoryUsageStore(clock, places)
        self._left: dict[str, tuple[int, int | None]] = {}  # as of our last request: what was left, the vendor's limit

    def share(self, folder: Path, account: str) -> None:
        """Go on by the file of an account, which all processes of the machine share."""
        self._account = FileUsageStore(folder / f"{account}.json", self._clock, self._places, self._wall)

    def spend(self, scope: str | None = None, *, writes: bool = False) -> None:
        """Wait until one more request is allowed, and charge it."""
        with self.spent(scope, writes=writes):
            pass

    @contextmanager
    def spent(self, scope: str | None = None, *, writes: bool = False) -> Iterator[None]:
        """Wait until one more request is allowed, charge it, and keep its place as long as it is under way."""
        while True:
            with self._account.request_slot() as is_free:
                pause = self._charged(scope, writes) if is_free else POLL
                if pause <= 0:
                    yield
                    return
            self._wait(pause)

    def hold(self, seconds: float, reason: str = "the source asked to wait") -> None:
        """Let nobody send for so long: the source asked for it."""
        with self._account.opened() as use:
            until = use.at + min(seconds, LONGEST_HOLD)
            if until > use.held_until:
                use.held_until, use.held_why = until, reason

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Charge what others have used, where the vendor says that fewer remain than we think."""
        for rate in self._rates:
            remaining = whole_number(headers.get(rate.remaining))
            if remaining is None:
                continue
            announced = whole_number(headers.get(rate.limit)) if rate.limit else None
            for limit in self._limits:
                if (limit.scope, limit.seconds) == (rate.scope, rate.seconds):
                    self._believe(limit, remaining, announced)

    def goes_on(self, seconds: float) -> str:
        """Say when a wait of so many seconds is over."""
        now = self._now().astimezone(UTC)
        until = now + timedelta(seconds=seconds + 59)  # the seconds are cut off, and it must not come too early
        return f"goes on at {until:%H:%M} UTC" + ("" if until.date() == now.date() else f" on {until:%Y-%m-%d}")

    def _wall(self) -> float:
        return self._now().timestamp()

    def _believe(self, limit: Limit, remaining: int, announced: int | None) -> None:
        remaining_before, believed = self._left.get(limit.key, (_UNBOUNDED, None))
        if remaining >= remaining_before and announced == believed:  # nothing new: the file is left alone
            return
        with self._account.opened() as use:
            window = use.window(limit.key)
            window.said = announced
            others = limit.most(announced, writes=True) - window.used(use.at, limit.seconds) - remaining
            if others > 0:
                window.charge(use.at, limit.seconds, others)

    def _charged(self, scope: str | None, writes: bool) -> float:
        mine = self._scoped.get(scope, self._scoped[None])
        with self._account.opened() as use:
            if use.is_lost:
                self._presume(use)
            pause, reason = use.held_until - use.at, use.held_why
            windows = [(limit, window := use.window(limit.key), window.used(use.at, limit.seconds)) for limit in mine]
            for limit, window, used in windows:
                most = limit.most(window.said, writes=writes)
                if used >= most and (free := window.free_at(used, most, limit.seconds) - use.at) > pause:
                    pause, reason = free, _full(limit, window, used, most)
            if pause <= 0:
                self._charge(use, windows)
        if pause > LONGEST_WAIT:
            raise BusyError(f"{self._name}: {reason}; {self.goes_on(pause)}")
        return pause

    def _charge(self, use: Usage, windows: Sequence[tuple[Limit, Window, int]]) -> None:
        for window, seconds in {limit.key: (window, limit.seconds) for limit, window, _ in windows}.values():
            window.charge(use.at, seconds)
        for limit, window, used in windows:
            self._left[limit.key] = limit.most(window.said, writes=True) - used - 1, window.said

    def _presume(self, use: Usage) -> None:
        """Take windows as full of which nothing is known any more, where they pass soon; longer ones begin anew."""
        for limit in self._limits:
            if limit.seconds <= LONGEST_WAIT:
                use.window(limit.key).charge(use.at, limit.seconds, limit.requests)
        use.is_lost = False


def _full(limit: Limit, window: Window, used: int, most: int) -> str:
    """Say that a limit lets nothing more through."""
    whole, kind = limit.most(window.said, writes=True), f"{limit.scope} requests" if limit.scope else "requests"
    name = _NAMES.get(int(limit.seconds), f"the quota of {limit.seconds:g} s")
    message = f"{name} for {kind if most == whole else 'reads'} is used up: {used:,} of {whole:,}"
    return message if most == whole else f"{message}, the rest is kept for write-back"


def _with_rates(limits: tuple[Limit, ...], rates: Sequence[RateHeader]) -> tuple[Limit, ...]:
    """Give a window to every header that has no limit of ours beside it."""
    configured = {(limit.scope, limit.seconds) for limit in limits}
    more = {(rate.scope, rate.seconds) for rate in rates} - configured
    return (*limits, *(Limit(_UNBOUNDED, seconds, scope) for scope, seconds in sorted(more, key=str)))
