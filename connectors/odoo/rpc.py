"""Odoo's JSON-RPC: log in, call a method of a model, and name what went wrong by what happens next."""

from threading import Lock
from typing import Any

from pydantic import SecretStr

from connectors.kit.errors import (
    AccessError,
    BusyError,
    ConnectorError,
    ReplyError,
    SettingsError,
    UnknownOutcome,
)
from connectors.kit.http.client import Http
from connectors.kit.http.response import Reply
from connectors.kit.repair import Repairs

LOCKED = ("serializ", "deadlock", "lock timeout", "obtain lock", "locknotavailable")  # rolled back: nothing was done
BUSY = ("connection pool",)
LOST = ("operationalerror", "interfaceerror")  # the database went away: what it had done by then is not known


class RpcError(ReplyError):
    """The server refused a call: nothing of it was done; `is_missing` says that a record is no more."""

    is_missing = False


class LockedError(BusyError):
    """Others were at work on the same records: nothing was done."""


class Rpc:
    """Call methods of one database as one user."""

    def __init__(self, connection: str, http: Http, database: str, login: str, key: SecretStr) -> None:
        self.connection, self.http, self.database, self.login, self._key = connection, http, database, login, key
        self._uid: int | None = None
        self._logging_in = Lock()

    def version(self) -> str:
        """Ask for the server's version, for which nobody needs to log in."""
        response = self._call("version", "common", "version", [])
        if not isinstance(response, dict):
            raise ReplyError(f"{self.connection}: the answer to version is not as documented")
        return str(response.get("server_version", "of unknown version"))

    def user(self) -> int:
        """Tell the user's id, logging in when that was not done yet; raises AccessError."""
        with self._logging_in:
            return self.log_in() if self._uid is None else self._uid

    def log_in(self) -> int:
        """Log in; raises AccessError."""
        secret = self._key.get_secret_value()
        uid = self._call("login", "common", "authenticate", [self.database, self.login, secret, {}])
        if not uid:
            message = f"{self.connection}: login {self.login!r} or its key was refused"
            raise AccessError(f"{message}; check settings.login and settings.api_key")
        if not isinstance(uid, int):
            raise ReplyError(f"{self.connection}: the answer to login is not as documented")
        self._uid = uid
        return uid

    def execute(
        self,
        model: str,
        method: str,
        args: list[Any],
        options: dict[str, Any],
        *,
        writes: bool = False,
        repairs: Repairs | None = None,
    ) -> Any:
        """Call a method of a model; each call is a transaction of its own.

        Raises RpcError when it was refused, UnknownOutcome when a write may or may not have been done.
        """
        call = [self.database, self.user(), self._key.get_secret_value(), model, method, args, options]
        return self._call(f"{model}.{method}", "object", "execute_kw", call, writes=writes, repairs=repairs)

    def _call(
        self,
        what: str,
        service: str,
        method: str,
        args: list[Any],
        *,
        writes: bool = False,
        repairs: Repairs | None = None,
    ) -> Any:
        params = {"service": service, "method": method, "args": args}
        body = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
        answer = _answer(self.http.post("jsonrpc", json=body, writes=writes), repairs)
        if "error" in answer:
            raise self._error(what, answer["error"], writes)
        if "result" not in answer:
            message = f"{self.connection}: the answer to {what} has neither result nor error"
            raise UnknownOutcome(message) if writes else ReplyError(message)
        return answer["result"]

    def _error(self, what: str, error: Any, writes: bool) -> ConnectorError:
        """Name an error; the server's first line says what was wrong, its traceback stays there."""
        error = error if isinstance(error, dict) else {"message": error}
        data = error.get("data") or {}
        name, reason = str(data.get("name", "")), str(data.get("message") or error.get("message") or "no reason given")
        message, words = (
            f"{self.connection}: {what}: {reason.strip().partition(chr(10))[0]}",
            f"{name} {reason}".lower(),
        )
        if name.endswith("AccessDenied"):
            return AccessError(f"{message}; check settings.login and settings.api_key")
        if name.endswith("AccessError") and not writes:
            return AccessError(f"{message}; give user {self.login!r} the permission")
        if '" does not exist' in reason.partition('database "')[2]:
            return SettingsError(f"{self.connection}: no database {self.database!r}; check settings.database")
        if at_fault := _database(words, message, writes):
            return at_fault
        refused = RpcError(message)
        refused.is_missing = name.endswith("MissingError")
        return refused


def is_lock(words: str) -> bool:
    """Tell whether an error says that others were at work on the same records."""
    return any(word in words.lower() for word in LOCKED)


def _database(words: str, message: str, writes: bool) -> ConnectorError | None:
    """Name an error of the database, if it is one."""
    if is_lock(words):
        return LockedError(message)
    if any(word in words for word in BUSY):
        return BusyError(message)
    if any(word in words for word in LOST):
        return UnknownOutcome(message) if writes else BusyError(message)
    return None


def _answer(reply: Reply, repairs: Repairs | None) -> dict[str, Any]:
    try:
        answer = reply.json(repairs)
    except ReplyError:
        return {}
    return answer if isinstance(answer, dict) else {}
