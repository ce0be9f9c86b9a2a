"""The sandbox's own time: it starts at five in the morning of its day and runs on, or is pushed on."""

from datetime import UTC, date, datetime, time, timedelta
from time import monotonic


class Clock:
    """Tell the sandbox's time."""

    def __init__(self, today: date) -> None:
        self._start = datetime.combine(today, time(5), UTC)
        self._since = monotonic()
        self._stopped: float | None = None
        self._pushed = timedelta()

    def now(self) -> datetime:
        """Tell the time, aware, in UTC."""
        until = monotonic() if self._stopped is None else self._stopped
        return self._start + self._pushed + timedelta(seconds=until - self._since)

    def advance(self, seconds: float) -> datetime:
        """Push the clock on."""
        self._pushed += timedelta(seconds=seconds)
        return self.now()

    def stop(self) -> None:
        """Let time stand at the clock's start, to be pushed on only: the same history gives the same stamps."""
        self._stopped = self._since


def iso(moment: datetime) -> str:
    """Write an instant as HubSpot and Zendesk do: milliseconds and Z."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def seconds(moment: datetime) -> str:
    """Write an instant as Odoo does: whole seconds, UTC, without a zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
