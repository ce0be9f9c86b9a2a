"""The stand-in's time, which only waiting moves on: nothing in the contract sleeps."""

from datetime import UTC, datetime, timedelta
from threading import Condition

EPOCH = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)  # far from any clock of ours, so that a mix-up shows


class Time:
    """Tell a time that only waiting moves on, and that never goes back: budgets may outlive a connector."""

    def __init__(self) -> None:
        self.at, self.looks, self._looked = 0.0, 0, Condition()

    def look(self) -> float:
        """Tell the time to the connector, and let the one know who waits for that."""
        with self._looked:
            self.looks += 1
            self._looked.notify_all()
            return self.at

    def wait(self, seconds: float) -> None:
        """Wait, as the connector does: the time moves on at once."""
        with self._looked:
            self.at += max(0.0, seconds)

    def after_a_look(self, looks: int, seconds: float, patience: float) -> float:
        """Let time pass once the connector has looked more often at the clock; one that does not is not waited for again."""
        with self._looked:
            looked = self._looked.wait_for(lambda: self.looks > looks, patience)
            self.at += seconds
            return patience if looked else 0

    def date(self, later: float = 0) -> datetime:
        """Tell the system's clock, in whole seconds as HTTP has them."""
        return EPOCH + timedelta(seconds=int(self.at) + later)


TIME = Time()
