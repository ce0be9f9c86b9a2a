"""What is known of an account's use: in this process, or in a file that all processes of the machine share.

The file holds a time of its own, which goes on by the machine's running clock. Only when the machine was started anew
does the wall clock tell how much time has passed, and never less than none: set back, it lengthens a wait by as much
as was waited before, and no more.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Protocol

import msgspec

from connectors.kit.errors import SettingsError
from connectors.kit.rate_limit.sliding_window import Window

PIECE = 1 << 14  # bytes: to make room for more would cost more than to read them
POLL = 0.02
NO_PLACES = nullcontext(True)  # as many at once as like
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Usage(msgspec.Struct):
    """Hold how an account was used: its windows, and until when nobody may ask it.

    `is_lost` says that what was known could not be read.
    """

    at: float = 0.0
    offset: float = 0.0
    wall: float = 0.0
    boot: str = ""
    windows: dict[str, Window] = {}
    held_until: float = 0.0
    held_why: str = ""
    is_lost: bool = False

    def window(self, key: str) -> Window:
        """Find a window, a new one where there is none."""
        return self.windows.get(key) or self.windows.setdefault(key, Window())

    def move_on(self, boot: str, ticks: float, wall: float) -> None:
        """Set the time; it never goes back."""
        if boot != self.boot or ticks + self.offset < self.at:
            self.offset = self.at + max(0.0, wall - self.wall) - ticks
        self.boot, self.at, self.wall = boot, ticks + self.offset, wall


class UsageStore(Protocol):
    """Keep an account's use; one at a time looks at it and changes it."""

    def opened(self) -> AbstractContextManager[Usage]: ...

    def request_slot(self) -> AbstractContextManager[object]: ...


class MemoryUsageStore:
    """Keep an account's use in this process."""

    def __init__(self, clock: Callable[[], float], places: int | None = None) -> None:
        self._clock, self._use, self._lock = clock, Usage(), Lock()
        self._places = BoundedSemaphore(places) if places else None

    @contextmanager
    def opened(self) -> Iterator[Usage]:
        """Look at the use as of now."""
        with self._lock:
            self._use.move_on("", self._clock(), 0.0)
            yield self._use

    def request_slot(self) -> AbstractContextManager[object]:
        """Wait for one of the places from which the account may be asked at once."""
        return self._places or NO_PLACES


class FileUsageStore:
    """Keep an account's use in a file, which any process may open, and which outlives them."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        places: int | None = None,
        wall: Callable[[], float] = time.time,
        boot: str | None = None,
    ) -> None:
        self._path, self._clock, self._wall = path, clock, wall
        self._boot = boot if boot is not None else _boot()
        self._count, self._places = places, BoundedSemaphore(places) if places else None
        self._last: tuple[bytes, Usage] | None = None

    @contextmanager
    def opened(self) -> Iterator[Usage]:
        """Look at the use as of now, and write down what was changed; opened anew each time, as forks demand."""
        file = self._open(self._path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = _text_of(file)
            use = self._parsed(text)
            use.move_on(self._boot, self._clock(), self._wall())
            yield use
            written = msgspec.json.encode(use)
            os.pwrite(file, written, 0)
            if len(written) < len(text):
                os.ftruncate(file, len(written))
            self._last = written, use
        finally:
            os.close(file)

    def request_slot(self) -> AbstractContextManager[object]:
        """Take one of the places from which the account may be asked at once; False where all are taken.

        A place is a locked file, which its process lets go of even when it is killed.
        """
        return self._one_of(self._places) if self._places else NO_PLACES

    @contextmanager
    def _one_of(self, places: BoundedSemaphore) -> Iterator[bool]:
        with places:
            for number in range(self._count or 0):
                if (file := self._taken(number)) is not None:
                    break
            try:
                yield file is not None
            finally:
                if file is not None:
                    os.close(file)

    def _taken(self, number: int) -> int | None:
        file = self._open(self._path.with_suffix(f".place{number}"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        return file

    def _open(self, path: Path) -> int:
        try:
            try:
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"a budget cannot be kept in {path.parent}: {error.strerror}") from None

    def _parsed(self, text: bytes) -> Usage:
        """Take what we wrote last where nobody wrote since, else read the file; after an error nothing is taken."""
        last, self._last = self._last, None
        return last[1] if last and last[0] == text else self._read(text)

    def _read(self, text: bytes) -> Usage:
        new = Usage(at=self._clock(), wall=self._wall(), boot=self._boot)
        if not text:
            return new
        try:
            return _USE.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # torn by a crash
            new.is_lost = True
            return new


_USE = msgspec.json.Decoder(Usage)


def _text_of(file: int) -> bytes:
    text = b""
    while len(part := os.read(file, PIECE)) == PIECE:
        text += part
    return text + part


def ticks() -> float:
    """Tell the seconds since the machine was started: one clock for all its processes, which nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _boot() -> str:
    try:
        return _BOOT.read_text("ascii").strip()
    except OSError:  # no Linux: a clock that went back tells it too
        return ""
