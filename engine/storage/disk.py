"""Errors of a disk that is full or broken, as one line that says what to do."""

import errno
import os
import tempfile
from collections.abc import Iterator
from typing import Protocol

from connectors.kit.errors import ConnectorError

FREE_SPACE = "free some space there, then run the command again: it goes on where it stopped"
RAISE_LIMIT = "raise the limit (quota, ulimit -f), then run the command again: it goes on where it stopped"
CHECK_DISK = "check the disk for errors, then run the command again: it goes on where it stopped"
# A phrase of the system or of SQLite, what it means, and what to do.
PHRASES = {
    os.strerror(errno.ENOSPC): ("no space is left", FREE_SPACE),
    "database or disk is full": ("no space is left", FREE_SPACE),
    os.strerror(errno.EDQUOT): ("the disk quota is used up", RAISE_LIMIT),
    os.strerror(errno.EFBIG): ("a file has reached the largest size that is allowed", RAISE_LIMIT),
    os.strerror(errno.EIO): ("the disk reports an input/output error", CHECK_DISK),
    "disk I/O error": ("the disk reports an input/output error", CHECK_DISK),
    os.strerror(errno.EROFS): ("the disk is mounted read-only", CHECK_DISK),
}
NEARLY_FULL = 1 << 20  # bytes; a file system with less left is the one that is full


class DiskError(Exception):
    """The disk is full or broken: no other stream, table or delivery would fare better."""


class Recorded(Protocol):
    """An error as Dagster records it."""

    message: str
    cause: "Recorded | None"
    context: "Recorded | None"


def explain(error: BaseException, path: str | None = None) -> str | None:
    """Return what is wrong with the disk, and what to do; None for an error of another kind.

    The causes of the error are looked at too. `path` is where the disk is written to, if that is
    known.
    """
    for cause in _chain(error):
        if isinstance(cause, DiskError):
            return str(cause)
        # The text of a connector's error may quote what a source answered.
        if not isinstance(cause, ConnectorError) and (explanation := _explained(str(cause), path)):
            return explanation
    return None


def explain_recorded(error: Recorded | None) -> str | None:
    """Do the same for an error that Dagster has recorded, of which only the text is left."""
    while error:
        _, is_disk_error, explanation = error.message.partition(f"{DiskError.__name__}: ")
        if is_disk_error:
            return explanation.strip()
        if explained := _explained(error.message, None) or explain_recorded(error.context):
            return explained
        error = error.cause
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explained(text: str, path: str | None) -> str | None:
    for phrase, (problem, action) in PHRASES.items():
        if phrase in text:
            return f"{problem} at {path or _full_folder()}: {action}"
    return None


def _full_folder() -> str:
    """Name the folder whose disk is full, else the folder of all data."""
    configured = [os.environ.get(name) for name in ("BELVEDERE_HOME", "DAGSTER_HOME")]
    folders = [*filter(None, configured), tempfile.gettempdir()]
    return next((folder for folder in folders if _free_bytes(folder) < NEARLY_FULL), folders[0])


def _free_bytes(folder: str) -> int:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return NEARLY_FULL
    return disk.f_bavail * disk.f_frsize
