"""A process that has everything imported and forks a child for each task, so that killing one costs no start."""

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from signal import SIGKILL
from subprocess import PIPE, Popen
from time import sleep
from types import TracebackType
from typing import Any

from engine.config.loader import ROOT

ALIVE = 1000  # no exit code


class Warm:
    """Start children that call a function `module:name` with arguments; they can be killed and waited for."""

    def __init__(self, does: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.nights.warm", does]
        self.process = Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)

    def __enter__(self) -> "Warm":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate("")
        self.process.wait()

    def start(self, **given: Any) -> int:
        """Start a child; tells its process id."""
        return self._told({"do": given})

    def ended(self, pid: int, kill_when: Callable[[], bool]) -> int:
        """Wait for a child, and kill it when it is time; tells its exit code, negative for the signal that ended it."""
        while (code := self._told({"ask": pid})) == ALIVE:
            if kill_when():
                os.kill(pid, SIGKILL)  # until the process that forked it knows, its number is nobody else's
                return self._told({"wait": pid})
            sleep(0.001)
        return code

    def _told(self, asked: dict[str, Any]) -> int:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def serve(does: Any) -> None:
    """Fork and wait as asked, line by line."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "do" in asked:
            told = os.fork() or _child(does, asked["do"])
        else:
            told = _ended(asked.get("ask") or asked["wait"], os.WNOHANG if "ask" in asked else 0)
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()


def _ended(pid: int, how: int) -> int:
    found, status = os.waitpid(pid, how)
    return os.waitstatus_to_exitcode(status) if found else ALIVE


def _child(does: Any, given: dict[str, Any]) -> int:
    """Do one task, and end without a word to the parent's pipe."""
    code = 1
    try:
        does(**given)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    serve(getattr(import_module(module), name))
