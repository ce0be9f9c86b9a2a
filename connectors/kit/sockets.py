"""The sockets of one origin; faults are named by urllib3's words, as requests expects.

A socket is used again once an answer was read to its end. Nothing is ever sent twice.
"""

import select
import socket
from collections.abc import Mapping
from contextlib import suppress
from os import getpid
from ssl import SSLContext, SSLEOFError, SSLSocket
from typing import Any
from weakref import finalize

from httptools import HttpParserError
from urllib3 import Timeout, exceptions

from connectors.kit.raw import Raw, lost


class Sockets:
    """Send by as many sockets as are needed at once; up to `kept` of them stay open."""

    def __init__(self, host: str, port: int, context: SSLContext | None, kept: int) -> None:
        self._host, self._port, self._context, self._kept = host, port, context, kept
        self._name = _name(host, port, 443 if context else 80)
        self._process, self._idle = getpid(), list[socket.socket]()
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
    ) -> Raw:
        """Send once, and give the answer with its body unread, as `HTTPAdapter.send` asks for it.

        Raises MaxRetryError, with a reason, before anything is sent; afterwards ReadTimeoutError and ProtocolError.
        """
        request = self._head(method, url, headers) + (body or b"")
        held = self._usable() or self._connected(url, timeout.connect_timeout)
        answer = Raw(held, self._take_back)
        try:
            held.settimeout(timeout.read_timeout)
            return answer.begun(is_asked=_is_sent(held, request))
        except (OSError, HttpParserError) as error:
            answer.close()
            raise lost(error) from None
        except BaseException:
            answer.close()
            raise

    def close(self) -> None:
        """Close the sockets that nobody uses."""
        _close_all(self._idle)

    def _head(self, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        named = [] if "Host" in headers else [self._name]
        lines = [f"{method} {url} HTTP/1.1", *named, *[f"{name}: {value}" for name, value in headers.items()]]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _take_back(self, held: socket.socket) -> None:
        if len(self._idle) < self._kept:
            self._idle.append(held)
        else:
            held.close()

    def _usable(self) -> socket.socket | None:
        """Take a socket that is still open: on one that is not, something is to be read, if only its end."""
        if self._process != getpid():  # a parent has them too, and would read the answers to what is sent here
            self.close()
            self._process = getpid()
        with suppress(IndexError):
            while True:
                held = self._idle.pop()
                if not _has_more(held):
                    return held
                held.close()
        return None

    def _connected(self, url: str, seconds: Any) -> socket.socket:
        made = None
        try:
            made = socket.create_connection((self._host, self._port), seconds)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _safe(made, self._context, self._host) if self._context else made
        except (OSError, UnicodeError) as error:
            if made:
                made.close()
            raise exceptions.MaxRetryError(self, url, _reason(error, self._host)) from None  # type: ignore[arg-type]


def _name(host: str, port: int, usual: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"Host: {shown}" if port == usual else f"Host: {shown}:{port}"


def _safe(made: socket.socket, context: SSLContext, host: str) -> SSLSocket:
    """Speak TLS; whoever cuts the line without a word of TLS has ended no answer (RFC 8446, section 6.1)."""
    return context.wrap_socket(made, server_hostname=host, suppress_ragged_eofs=False)


def _is_sent(held: socket.socket, request: bytes) -> bool:
    try:
        held.sendall(request)
    except (BrokenPipeError, ConnectionResetError, SSLEOFError):  # who hangs up early may have said why
        return False
    return True


def _has_more(held: socket.socket) -> bool:
    poll = select.poll()
    poll.register(held, select.POLLIN)
    return bool(poll.poll(0)) or (isinstance(held, SSLSocket) and held.pending() > 0)


def _close_all(idle: list[socket.socket]) -> None:
    with suppress(IndexError):
        while True:
            idle.pop().close()


def _reason(error: Exception, host: str) -> exceptions.HTTPError:
    if isinstance(error, TimeoutError):
        return exceptions.ConnectTimeoutError(None, "timeout")
    if isinstance(error, socket.gaierror | UnicodeError):
        return exceptions.NameResolutionError(host, None, socket.gaierror("no such host"))  # type: ignore[arg-type]
    reason = exceptions.NewConnectionError(None, "nobody was reached")  # type: ignore[arg-type]
    reason.__cause__ = error
    return reason
