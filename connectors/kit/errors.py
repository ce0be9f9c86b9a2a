"""What can go wrong at a door, named by what happens next.

    ConnectorError
    ├── SettingsError   a person mends the YAML; nothing was sent
    ├── AccessError     a person mends the secret or the rights
    ├── BusyError       the source could not answer now; a later run tries again
    ├── RecordError     one record is at fault; it is written down and the stream goes on
    ├── ReplyError      the answer cannot be trusted; this stream stops, what landed stays
    └── UnknownOutcome  a write was sent and its answer was lost; the target is asked what it holds

Messages name the thing and the right choices. They never hold a secret or a person's data.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ConnectorError(Exception):
    """Be the root of all that a connector raises."""


class SettingsError(ConnectorError):
    """A setting is missing or wrong: the YAML must be mended."""


class AccessError(ConnectorError):
    """A secret is missing, refused or lacks a right."""


class BusyError(ConnectorError):
    """The source is unreachable, overloaded or out of budget; worth a later try."""


class RecordError(ConnectorError):
    """One record is refused or unreadable."""


class ReplyError(ConnectorError):
    """An answer is not what the protocol promises: the stream stops here."""


class UnknownOutcome(ConnectorError):
    """A write may or may not have been applied."""


def choices(wrong: str, valid: Iterable[str]) -> str:
    """Say what could have been meant: the nearest names first, else all of them."""
    names = sorted(valid)
    near = get_close_matches(wrong, names, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"choices: {', '.join(names)}" if names else "there are none to choose from"
