"""The sandbox's own time: it starts at five in the morning of its day and runs on, or is pushed on."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock, Timer
from time import monotonic


class Clock:
    """Tell the sandbox's time."""

    def __init__(self, today: date) -> None:
        self._start = datetime.combine(today, time(5), UTC)
        self._since = monotonic()
        self._stopped: float | None = None
        self._pushed = timedelta()
        self._alarms: list[tuple[datetime, Callable[[], object]]] = []
        self._lock = Lock()

    def now(self) -> datetime:
        """Tell the time, aware, in UTC."""
        until = monotonic() if self._stopped is None else self._stopped
        return self._start + self._pushed + timedelta(seconds=until - self._since)

    def advance(self, seconds: float) -> datetime:
        """Push the clock on."""
        self._pushed += timedelta(seconds=seconds)
        self._ring()
        return self.now()

    def stop(self) -> None:
        """Let time stand at the clock's start, to be pushed on only: the same history gives the same stamps."""
        self._stopped = self._since

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        """Do something when so many seconds have passed: as soon as the clock is pushed, or by itself while it runs."""
        with self._lock:
            self._alarms.append((self.now() + timedelta(seconds=seconds), do))
        if self._stopped is None:
            timer = Timer(seconds + 0.001, self._ring)  # a timer may ring a microsecond early
            timer.daemon = True
            timer.start()

    def _ring(self) -> None:
        """Do what is due, in its order, each once."""
        with self._lock:
            now, waiting = self.now(), self._alarms
            due = sorted((alarm for alarm in waiting if alarm[0] <= now), key=lambda alarm: alarm[0])
            self._alarms = [alarm for alarm in waiting if alarm not in due]
        for _, do in due:
            do()


def iso(moment: datetime) -> str:
    """Write an instant as HubSpot and Zendesk do: milliseconds and Z."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def seconds(moment: datetime) -> str:
    """Write an instant as Odoo does: whole seconds, UTC, without a zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
