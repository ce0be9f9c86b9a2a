"""The sockets of one origin, by the standard library's client; faults are named by urllib3's words, as requests expects.

A socket is used again once an answer was read to its end. Nothing is ever sent twice.
"""

import select
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import gaierror, socket
from ssl import SSLContext, SSLSocket
from typing import Any
from weakref import finalize

from urllib3 import HTTPHeaderDict, Timeout, exceptions


class Sockets:
    """Send by as many sockets as are needed at once; up to `kept` of them stay open."""

    def __init__(self, host: str, port: int, context: SSLContext | None, kept: int) -> None:
        self._host, self._port, self._context, self._kept = host, port, context, kept
        self._idle: list[HTTPConnection] = []
        finalize(self, _close_all, self._idle)  # whoever forgets them leaves no socket open

    def urlopen(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout: Timeout,
        **options: Any,
    ) -> "Raw":
        """Send once, and give the answer with its body unread, as `HTTPAdapter.send` asks for it.

        Raises MaxRetryError, with a reason, before anything is sent, and ValueError for a header that cannot be;
        afterwards ReadTimeoutError and ProtocolError.
        """
        connection = self._usable() or self._connected(url, timeout.connect_timeout)
        try:
            connection.sock.settimeout(timeout.read_timeout)
            with suppress(BrokenPipeError, ConnectionResetError):  # who hangs up early may have said why
                connection.request(method, url, body, headers)
            return Raw(_answer(connection), connection, self)
        except (OSError, HTTPException) as error:
            connection.close()
            raise _lost(error) from None
        except BaseException:
            connection.close()
            raise

    def take_back(self, connection: HTTPConnection) -> None:
        """Keep a socket for the next request."""
        if connection.sock is not None and len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close the sockets that nobody uses."""
        _close_all(self._idle)

    def _usable(self) -> HTTPConnection | None:
        """Take a socket that is still open: on one that is not, something is to be read, if only its end."""
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if not _has_more(connection.sock):
                    return connection
                connection.close()
        return None

    def _connected(self, url: str, seconds: Any) -> HTTPConnection:
        made = HTTPConnection(self._host, self._port, timeout=seconds)
        if self._context:
            made = HTTPSConnection(self._host, self._port, timeout=seconds, context=self._context)
        try:
            made.connect()
        except (OSError, UnicodeError) as error:
            made.close()
            raise exceptions.MaxRetryError(self, url, _reason(error, made)) from None  # type: ignore[arg-type]
        return made


class Raw:
    """Read an answer's body, as it was sent."""

    def __init__(self, response: HTTPResponse, connection: HTTPConnection, sockets: Sockets) -> None:
        self.status, self.length_remaining = response.status, response.length
        self.headers = HTTPHeaderDict(response.headers.items())  # fields that come twice are one, joined by commas
        self._response, self._connection, self._sockets = response, connection, sockets
        self._is_whole = response.length == 0 and not response.chunked

    def read1(self, most: int, *, decode_content: bool = False) -> bytes:
        """Read what is there, nothing at the end; raises ReadTimeoutError, and ProtocolError for an end too early."""
        if self.length_remaining == 0:
            return b""
        try:
            part = self._response.read1(most)
        except (OSError, HTTPException, ValueError) as error:  # the last for a chunk whose size is none
            raise _lost(error) from None
        if self.length_remaining is not None:
            self.length_remaining -= len(part)
            if not part and self.length_remaining:
                raise exceptions.ProtocolError("an answer ended early")
        self._is_whole = not part or self.length_remaining == 0
        return part

    def close(self) -> None:
        """Let go of the socket, which can be used again where nothing is left on it."""
        self._response.close()
        if self._is_whole:
            self._sockets.take_back(self._connection)
        else:
            self._connection.close()


def _has_more(held: socket) -> bool:
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0)) or (isinstance(held, SSLSocket) and held.pending() > 0)


def _close_all(idle: list[HTTPConnection]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


def _answer(connection: HTTPConnection) -> HTTPResponse:
    """Await the answer; whatever is wrong with it was told after the request had been sent."""
    try:
        response = connection.getresponse()
    except ValueError as error:
        raise HTTPException(error) from None
    if response.status < 200:
        raise HTTPException("an interim answer, after which another one comes")
    return response


def _reason(error: Exception, connection: Any) -> exceptions.HTTPError:
    if isinstance(error, TimeoutError):
        return exceptions.ConnectTimeoutError(connection, "timeout")
    if isinstance(error, gaierror | UnicodeError):
        return exceptions.NameResolutionError(connection.host, connection, gaierror("no such host"))
    reason = exceptions.NewConnectionError(connection, "nobody was reached")
    reason.__cause__ = error
    return reason


def _lost(error: Exception) -> exceptions.HTTPError:
    if isinstance(error, TimeoutError):
        return exceptions.ReadTimeoutError(None, "", "timeout")  # type: ignore[arg-type]
    return exceptions.ProtocolError(error)
