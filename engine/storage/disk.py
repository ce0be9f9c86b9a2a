"""A disk that is full or fails: which error says so, in one line a person can act upon."""

import errno
import os
import tempfile
from collections.abc import Iterator
from typing import Protocol

from connectors.kit.errors import ConnectorError

FULL = "free some space there, then run the command again: it goes on where it stopped"
LIMIT = "raise the limit (quota, ulimit -f), then run the command again: it goes on where it stopped"
BAD = "have the disk looked at, then run the command again: it goes on where it stopped"
# What the system or SQLite says, what that means, and what to do.
PHRASES = {
    os.strerror(errno.ENOSPC): ("no space is left", FULL),
    "database or disk is full": ("no space is left", FULL),
    os.strerror(errno.EDQUOT): ("the disk quota is used up", LIMIT),
    os.strerror(errno.EFBIG): ("a file has reached the largest size that is allowed", LIMIT),
    os.strerror(errno.EIO): ("the disk reports an input/output error", BAD),
    "disk I/O error": ("the disk reports an input/output error", BAD),
    os.strerror(errno.EROFS): ("the disk is mounted read-only", BAD),
}
LITTLE = 1 << 20  # bytes; a file system with less left is the one that is full


class DiskError(Exception):
    """The disk is full, or fails: no other stream, table or delivery would fare better."""


class Recorded(Protocol):
    """An error as Dagster records it."""

    message: str
    cause: "Recorded | None"
    context: "Recorded | None"


def explain(error: BaseException, place: str | None = None) -> str | None:
    """Say what is the matter with the disk when an error, or one that it came from, is of the disk; else None."""
    for one in _chain(error):
        if isinstance(one, DiskError):
            return str(one)
        if not isinstance(one, ConnectorError) and (said := _explained(str(one), place)):
            return said
    return None


def explain_recorded(error: Recorded | None) -> str | None:
    """Do the same for an error that Dagster has recorded."""
    while error:
        _, is_ours, said = error.message.partition(f"{DiskError.__name__}: ")
        if is_ours:
            return said.strip()
        if found := _explained(error.message, None) or explain_recorded(error.context):
            return found
        error = error.cause
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explained(text: str, place: str | None) -> str | None:
    for phrase, (what, to_do) in PHRASES.items():
        if phrase in text:
            return f"{what} at {place or _place()}: {to_do}"
    return None


def _place() -> str:
    """Name the folder whose disk is full, else that of all data."""
    named = [os.environ.get(name) for name in ("BELVEDERE_HOME", "DAGSTER_HOME")]
    folders = [*filter(None, named), tempfile.gettempdir()]
    return next((folder for folder in folders if _free(folder) < LITTLE), folders[0])


def _free(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return LITTLE
    return found.f_bavail * found.f_frsize
