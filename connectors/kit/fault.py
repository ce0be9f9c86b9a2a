"""What went wrong on the way, told without the exception's own text, which may hold an URL with a secret."""

import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

import requests
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError, ReadTimeoutError


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds: it holds seconds, or an HTTP date (RFC 9110, section 10.2.3)."""
    given = headers.get("Retry-After")
    if not given:
        return None
    try:
        seconds = float(given)
        return max(0.0, seconds) if isfinite(seconds) else None
    except ValueError:
        pass
    try:
        base = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(given) - base).total_seconds())
    except (TypeError, ValueError, OverflowError):  # unreadable, of no zone, or of no year that can be
        return None


def never_sent(error: Exception) -> bool:
    """Tell whether nobody was reached, so that nothing can have been done."""
    return isinstance(error, requests.ConnectTimeout) or isinstance(
        _reason(error), NewConnectionError | ConnectTimeoutError | NameResolutionError
    )


def why(error: Exception) -> str:
    """Name the fault in a word or two."""
    reason = _reason(error)
    cause = getattr(reason, "__cause__", None)
    if isinstance(reason, NameResolutionError):
        return "unknown host"
    if isinstance(cause, ssl.SSLCertVerificationError) or isinstance(error, requests.exceptions.SSLError):
        return "the TLS certificate is not trusted"
    if isinstance(cause, ssl.SSLError):
        return "no TLS there"
    if isinstance(reason, NewConnectionError):
        return os.strerror(cause.errno).lower() if isinstance(cause, OSError) and cause.errno else "nobody listens"
    if isinstance(error, requests.Timeout | ReadTimeoutError) or isinstance(reason, ConnectTimeoutError):
        return "timeout"
    return "connection broken"


def _reason(error: Exception) -> object:
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)
