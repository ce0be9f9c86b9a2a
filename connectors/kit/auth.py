"""How a connection proves who it is; no secret shows in a repr or a message."""

from base64 import b64encode
from collections.abc import Callable
from math import isfinite
from threading import Lock
from time import monotonic
from typing import Any

from pydantic import SecretStr
from requests import PreparedRequest
from requests.auth import AuthBase

from connectors.kit.errors import AccessError

USUAL_LIFE = 1800.0  # seconds


class _Silent(AuthBase):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class Bearer(_Silent):
    """Send a token as `Authorization: Bearer`."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


class Basic(_Silent):
    """Send a user and a secret as `Authorization: Basic`, in UTF-8."""

    def __init__(self, user: str, secret: SecretStr) -> None:
        self._user, self._secret = user, secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        pair = f"{self._user}:{self._secret.get_secret_value()}".encode()
        request.headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
        return request


class HeaderToken(_Silent):
    """Send a secret in a header of its own."""

    def __init__(self, name: str, secret: SecretStr) -> None:
        self._name, self._secret = name, secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers[self._name] = self._secret.get_secret_value()
        return request


class Refreshed(_Silent):
    """Send a bearer token that a function fetches anew before it expires; one thread fetches, others wait.

    `fetch` answers the token and its life in seconds.
    """

    def __init__(self, fetch: Callable[[], tuple[SecretStr, float]], clock: Callable[[], float] = monotonic) -> None:
        self._fetch, self._clock, self._lock = fetch, clock, Lock()
        self._token: SecretStr | None = None
        self._until = 0.0

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._valid().get_secret_value()}"
        return request

    def forget(self, refused: str | None = None) -> None:
        """Drop the token, so that the next request fetches another; one that others have fetched meanwhile stays.

        `refused` is the header that was sent.
        """
        with self._lock:
            held = self._token
            if held is None or refused in (None, f"Bearer {held.get_secret_value()}"):
                self._token = None

    def _valid(self) -> SecretStr:
        with self._lock:
            if self._token is None or self._clock() >= self._until:
                self._token, life = self._fetch()
                self._until = self._clock() + life * 0.9
            return self._token


def token_answer(body: Any) -> tuple[SecretStr, float]:
    """Read an OAuth 2.0 token answer (RFC 6749, section 5.1): the token and its life in seconds.

    Raises AccessError where there is no token; a life that cannot be read is taken for half an hour.
    """
    token = body.get("access_token") if isinstance(body, dict) else None
    if not isinstance(token, str) or not token:
        raise AccessError("no token")
    return SecretStr(token), _life(body.get("expires_in"))


def _life(said: Any) -> float:
    try:
        seconds = float(said)
    except (TypeError, ValueError, OverflowError):
        return USUAL_LIFE
    return seconds if isfinite(seconds) and seconds > 0 else USUAL_LIFE
