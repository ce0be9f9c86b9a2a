"""Ctrl-C and SIGTERM end a command within seconds, whatever it is doing.

Dagster replaces the signal handlers while it runs a job, and acts on a signal only between steps. Python's wakeup
descriptor reports every signal whatever the handler, so a thread that reads it can end the process when the orderly
exit takes too long.
"""

import multiprocessing
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

GRACE = 5.0  # seconds for an orderly exit: temporary files, leases, the status of the run
NAMES = {signal.SIGINT: "Ctrl-C (SIGINT)", signal.SIGTERM: "SIGTERM"}
NOISE = "Exception while writing logger call to event log"  # Dagster prints it and raises the same error, too


class NoiseFilter:
    """A text stream that drops what Dagster prints about errors that it raises as well."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text unless it is such noise."""
        return len(text) if text.startswith(NOISE) else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Stop:
    """Whether a command was asked to end; ends it when it does not."""

    def __init__(self, stderr: int) -> None:
        self.number: int | None = None
        self.last: Callable[[], object] = end_children  # called before a hard exit
        self._stderr = stderr  # a copy: Dagster redirects descriptor 2 while a step runs
        self._is_written = False
        self._lock = threading.Lock()

    @property
    def code(self) -> int:
        """Return the exit code of a command that was stopped: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.number or signal.SIGINT)

    def report(self, command: str) -> None:
        """Write once, in one line, what stopped the command and how to go on."""
        with self._lock:
            if self._is_written:
                return
            self._is_written = True
        name = NAMES[signal.Signals(self.number or signal.SIGINT)]
        line = f"belvedere: {command} was stopped by {name}; what it had finished is stored; run it again to go on"
        prefix = "\x1b[?25h" if os.isatty(self._stderr) else ""  # a progress bar hides the cursor
        with suppress(OSError):
            os.write(self._stderr, f"{prefix}{line}\n".encode())

    def watch(self, signals: int, command: str) -> None:
        """Read signals until the command is over; after a second one, or GRACE seconds, end the process."""
        while select.select([signals], [], [], None if self.number is None else GRACE)[0]:
            try:
                read = os.read(signals, 1)
            except OSError:
                return
            if not read:
                return  # the command is over
            if read[0] not in NAMES:
                continue
            if self.number is not None:
                break
            self.number = read[0]
        self.report(command)
        ending = threading.Thread(target=self.last, daemon=True)
        ending.start()
        ending.join(GRACE)
        os._exit(self.code)


_running: list[Stop] = []


def is_stopped() -> bool:
    """Return whether the running command was asked to end."""
    return any(stop.number is not None for stop in _running)


def before_hard_end(callback: Callable[[], object]) -> None:
    """Set what is called before a hard exit, when the orderly one takes too long."""
    for stop in _running:
        stop.last = callback


def end_children() -> None:
    """Kill the step processes that this process started; each can be killed at any moment."""
    for child in multiprocessing.active_children():
        child.kill()


@contextmanager
def stopping(command: str) -> Iterator[Stop]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt in a block, and bound the time it takes to end."""
    stop = Stop(_copy_of_stderr())
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in NAMES}
    threading.Thread(target=stop.watch, args=(read, command), daemon=True).start()
    _running.append(stop)
    try:
        yield stop
    finally:
        _running.remove(stop)
        if stop.number is None:  # else keep watching: threads may keep the interpreter alive
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(write)


def _copy_of_stderr() -> int:
    try:
        return os.dup(sys.__stderr__.fileno() if sys.__stderr__ else 2)
    except (OSError, ValueError):
        return 2
