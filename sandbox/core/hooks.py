"""What is to happen between two requests of a client: edits while it pages come out the same each time."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass
class Hook:
    """Do something once, when so many requests whose place begins with `match` have been answered."""

    match: str
    after: int
    do: Callable[[], object]
    method: str | None = None
    seen: int = 0
    done: bool = False

    def is_due(self, method: str, path: str) -> bool:
        """Count an answered request and tell whether it is the one that was waited for."""
        if self.done or not path.startswith(self.match) or self.method not in (None, method):
            return False
        self.seen += 1
        self.done = self.seen >= self.after
        return self.done


class Hooks:
    """Keep what waits. What a hook raises is kept for the sandbox to raise when it closes."""

    def __init__(self) -> None:
        self.active: list[Hook] = []
        self.errors: list[Exception] = []
        self._lock = Lock()

    def add(self, match: str, after: int, do: Callable[[], object], method: str | None = None) -> Hook:
        """Let something wait."""
        hook = Hook(match, after, do, method)
        with self._lock:
            self.active.append(hook)
        return hook

    def answered(self, method: str, path: str) -> None:
        """Do what was waiting for this answer, before the client has it."""
        with self._lock:
            due = [hook for hook in self.active if hook.is_due(method, path)]
        for hook in due:
            try:
                hook.do()
            except Exception as error:  # raised in a thread of the server, where nobody would see it
                self.errors.append(error)
