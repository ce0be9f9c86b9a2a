"""A CRM that is written to: the sandbox's HubSpot with so many companies and nothing else, in a process of its own."""

import gc
from collections import Counter
from datetime import date
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from sandbox.server import Sandbox

TODAY = date(2026, 10, 20)
FIELD = "belvedere_retention_score"


def serve(told: Connection, count: int) -> None:
    """Run the sandbox, and do what is asked through the pipe."""
    with Sandbox(customers=20, today=TODAY) as sandbox:
        sandbox.hubspot.objects["companies"].clear()
        ids = [sandbox.create("hubspot", "companies", {"name": f"Company {one}", FIELD: "1"}) for one in range(count)]
        gc.freeze()  # what stays is not walked through again and again: the pauses would be the target's, not the link's
        told.send((f"{sandbox.url}/hubspot", ids))
        while asked := told.recv():
            told.send(_done(sandbox, *asked))


def _done(sandbox: Sandbox, what: str, *given: Any) -> Any:
    if what == "latency":
        sandbox.faults.clear()
        sandbox.faults.add("/hubspot", "latency", ms=given[0])
    if what == "requests":
        counted = Counter(sandbox.requests)
        sandbox.requests.clear()
        return counted
    if what == "held":
        rows = sandbox.hubspot.objects["companies"]
        return {number: rows[number]["properties"].get(FIELD) for number in rows}
    return None


class Target:
    """Run such a CRM for as long as a block runs."""

    def __init__(self, count: int) -> None:
        context = get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, count), daemon=True)
        self._process.start()
        there.close()
        self.url, self.ids = self._pipe.recv()

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.send(None)
        self._process.terminate()
        self._process.join()

    def delay(self, ms: int) -> None:
        """Let every answer take so many milliseconds more."""
        self._asked("latency", ms)

    def requests(self) -> Counter[tuple[str, str]]:
        """Count what was asked since the last count."""
        return Counter(self._asked("requests"))

    def held(self) -> dict[str, str]:
        """Tell what every company holds in the field."""
        return dict(self._asked("held"))

    def _asked(self, *what: Any) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()
