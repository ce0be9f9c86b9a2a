"""The errors of connectors, named by what happens next.

    ConnectorError
    ├── SettingsError   a person corrects the YAML; nothing was sent
    ├── AccessError     a person corrects the secret or its permissions
    ├── BusyError       the source could not answer now; a later run tries again
    ├── RecordError     one record is at fault; it is reported and the stream continues
    ├── ReplyError      the response cannot be trusted; the stream stops, landed rows stay
    └── UnknownOutcome  a write was sent and its response was lost; the target is read again

A message names the object and the valid choices. It never contains a secret or personal data.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class ConnectorError(Exception):
    """Base of every error that a connector raises."""


class SettingsError(ConnectorError):
    """A setting is missing or wrong: correct the YAML."""


class AccessError(ConnectorError):
    """A secret is missing, refused or lacks a permission."""


class BusyError(ConnectorError):
    """The source is unreachable or overloaded, or a rate limit is used up; try again later."""


class RecordError(ConnectorError):
    """One record was refused or cannot be read."""


class ReplyError(ConnectorError):
    """A response does not follow the protocol: the stream stops here."""


class UnknownOutcome(ConnectorError):
    """A write may or may not have been applied."""


def choices(wrong: str, names: Iterable[str]) -> str:
    """Return a hint for a wrong name: the similar names if there are any, else all names."""
    options = sorted(names)
    near = get_close_matches(wrong, options, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"choices: {', '.join(options)}" if options else "none are configured"
