"""What went wrong on the network, without the exception's own text, which may hold a secret."""

import os
import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from requests import RequestException
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds: it holds seconds, or an HTTP date (RFC 9110, section 10.2.3)."""
    header = headers.get("Retry-After")
    if not header:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if isfinite(seconds) else None
    except ValueError:
        pass
    try:
        base = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(header) - base).total_seconds())
    except (TypeError, ValueError, OverflowError):  # unreadable, of no zone, or of no year that can be
        return None


def never_sent(error: Exception) -> bool:
    """Tell whether no connection was made, so that nothing can have been done."""
    return isinstance(_reason(error), ConnectTimeoutError)  # NewConnectionError is one


def describe(error: Exception) -> str:
    """Name the fault in a few words."""
    reason = _reason(error)
    cause = reason.__cause__ or next((part for part in reason.args if isinstance(part, Exception)), None)
    if isinstance(cause, ssl.SSLError):
        return _of_tls(cause)
    if isinstance(cause, TimeoutError) or isinstance(reason, ReadTimeoutError):
        return "timeout"
    return _unreached(reason, cause) if isinstance(reason, NewConnectionError) else "connection broken"


def inner(error: Exception) -> Exception:
    """Find urllib3's error within one of requests."""
    within = error.args[0] if isinstance(error, RequestException) and error.args else None
    return within if isinstance(within, Exception) else error


def _reason(error: Exception) -> Exception:
    reason = inner(error)
    return reason.original_error if isinstance(reason, ProxyError) else reason


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the TLS certificate is not trusted"
    reason = error.reason or ""
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "the server demands a client certificate, settings.client_cert"
    if reason.endswith("HANDSHAKE_FAILURE"):
        return "TLS was refused; perhaps a client certificate is demanded, settings.client_cert"
    if reason == "WRONG_VERSION_NUMBER":
        return "no TLS there"
    return f"TLS failed: {reason.lower().replace('_', ' ')}" if reason else "connection broken"


def _unreached(reason: NewConnectionError, cause: BaseException | None) -> str:
    if isinstance(reason, NameResolutionError) or isinstance(cause, ValueError):
        return "unknown host"
    if refused := re.match(r"Tunnel connection failed: (\d{3})\b", str(cause)):
        return f"it answered {refused[1]}"
    return os.strerror(cause.errno).lower() if isinstance(cause, OSError) and cause.errno else "nobody listens"
