"""What is demanded of a session that is given: urllib3 sends again by itself, and http.client believes more than we do."""

from http.client import HTTPResponse
from typing import Any

import requests
from urllib3.exceptions import ProtocolError

from connectors.kit.errors import SettingsError


def refuse_repeating(connection: str, adapter: Any) -> None:
    """Raise SettingsError for an adapter that sends a request again: a write could be done twice."""
    retries = getattr(adapter, "max_retries", None)
    if retries is not None and retries.total not in (0, False):
        raise SettingsError(
            f"{connection}: the session's adapter sends again by itself; leave that to the kit (max_retries=0)"
        )


def refuse_unbounded(response: requests.Response) -> None:
    """Raise ProtocolError for what is no answer, or one of which nobody tells where it ends.

    http.client takes an interim answer for the one that was asked for, a head that breaks off for a whole one, and the end
    of a line for the end of a body.
    """
    if response.status_code < 200:
        raise ProtocolError("an interim answer")
    raw = response.raw
    by_http_client = isinstance(getattr(raw, "_original_response", None), HTTPResponse)  # one in memory is whole
    if by_http_client and not raw.chunked and raw.length_remaining is None:
        raise ProtocolError("an answer of no length")
