"""A source process from the side of those who start it."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

from race.measured import environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("source.py")


class Started:
    """Run a source of so many companies, by pages of so many, for as long as a block runs."""

    def __init__(self, count: int, page: int = 100) -> None:
        command = [sys.executable, str(SCRIPT), str(count)]
        self.process = subprocess.Popen(command, env=environment(ROOT), stdout=subprocess.PIPE)
        self.count, self.page = count, page
        told = json.loads(self.process.stdout.readline() if self.process.stdout else b"")
        self.task: dict[str, Any] = told | {"page": page}

    def __enter__(self) -> "Started":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def asked(self) -> list[int]:
        """List the pages that were asked for, in order."""
        return self._tell("asked")

    def forget(self) -> list[int]:
        """List them, and begin anew."""
        return self._tell("forget")

    def fault(self, kind: str = "", page: int = 0) -> None:
        """From a page on, `refuse` (403) or `hold` (never answer); without a kind, answer again."""
        self._tell(f"fault?kind={kind}&page={page}")

    def _tell(self, what: str) -> list[int]:
        with urlopen(f"{self.task['url']}/_source/{what}", timeout=60) as answer:  # noqa: S310 - our own server
            return list(json.load(answer))
