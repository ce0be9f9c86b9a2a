"""How a connection proves who it is; no secret shows in a repr or a message."""

from base64 import b64encode
from collections.abc import Callable
from math import isfinite
from threading import Lock
from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit, urlunsplit

from pydantic import SecretStr
from requests import PreparedRequest
from requests.auth import AuthBase

from connectors.kit.errors import AccessError, ConnectorError
from connectors.kit.rate_limit.usage_store import ticks

USUAL_LIFE = 1800.0  # seconds


class _Silent(AuthBase):
    settings_to_check = "the secret in settings"  # what a message names when the source refuses it

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class Bearer(_Silent):
    """Send a token as `Authorization: Bearer`."""

    def __init__(self, token: SecretStr, *, settings_to_check: str = _Silent.settings_to_check) -> None:
        self._token, self.settings_to_check = token, settings_to_check

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


class Basic(_Silent):
    """Send a user and a secret as `Authorization: Basic`, in UTF-8."""

    def __init__(self, user: str, secret: SecretStr, *, settings_to_check: str = _Silent.settings_to_check) -> None:
        self._user, self._secret, self.settings_to_check = user, secret, settings_to_check

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


class QueryToken(_Silent):
    """Send a secret as a parameter of the query, in place of one that a link repeats."""

    def __init__(self, name: str, secret: SecretStr) -> None:
        self._name, self._secret = name, secret

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        parts = urlsplit(request.url or "")
        others = [pair for pair in parts.query.split("&") if unquote_plus(pair.partition("=")[0]) != self._name]
        own = urlencode({self._name: self._secret.get_secret_value()})
        request.url = urlunsplit(parts._replace(query="&".join([*filter(None, others), own])))
        return request


class Refreshed(_Silent):
    """Send a bearer token that a function fetches again before it expires.

    `fetch` returns the token and its life in seconds; it is replaced after nine tenths of that. One
    thread fetches while the others wait, and they share what comes of it: the token, or the error.
    """

    def __init__(
        self,
        fetch: Callable[[], tuple[SecretStr, float]],
        clock: Callable[[], float] = ticks,
        *,
        settings_to_check: str = _Silent.settings_to_check,
    ) -> None:
        self._fetch, self._clock, self._lock = fetch, clock, Lock()
        self.settings_to_check = settings_to_check
        self._token: SecretStr | None = None
        self._until = 0.0
        self._fetches = 0
        self._failure: ConnectorError | None = None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._valid().get_secret_value()}"
        return request

    def forget(self, refused: str | None = None) -> None:
        """Drop the token, so that the next request fetches another one.

        `refused` is the Authorization header that was sent: a token that another thread has fetched
        since then stays.
        """
        with self._lock:
            token = self._token
            if token is None or refused in (None, f"Bearer {token.get_secret_value()}"):
                self._token = None

    def _valid(self) -> SecretStr:
        fetches = self._fetches
        with self._lock:
            if self._token is not None and self._clock() < self._until:
                return self._token
            if self._failure is not None and self._fetches != fetches:
                raise self._failure  # of the thread that this one has waited for
            self._token, self._failure = None, None
            try:
                self._token, life = self._fetch()
            except ConnectorError as error:
                self._failure = error
                raise
            finally:
                self._fetches += 1
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


def _life(expires_in: Any) -> float:
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return USUAL_LIFE
    return seconds if isfinite(seconds) and seconds > 0 else USUAL_LIFE
