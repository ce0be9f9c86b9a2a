"""Requests over urllib3's pool: nothing is sent twice, and every response has a deadline."""

import logging
import os
import ssl
from functools import lru_cache
from http.client import HTTPException, HTTPResponse
from io import BufferedReader, RawIOBase
from math import inf
from socket import socket
from time import monotonic
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import BaseHTTPResponse, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util.response import assert_header_parsing

CONNECT = 10.0  # seconds in which a host must be reached
IDLE = 60.0  # seconds in which at least one byte of a response must arrive
Pair = tuple[str, str]  # files of a certificate and of its key
LONGEST_HEAD: float = 1 << 15  # bytes: Python takes the square of a head's length for some
_LEAST = 0.001  # seconds: urllib3 refuses a timeout of 0

logging.getLogger("urllib3").setLevel(logging.ERROR)  # its lines show query strings


class Deadline:
    """Count down the seconds that a request and its retries may spend on the network."""

    def __init__(self, seconds: float) -> None:
        self.left, self._started = seconds, 0.0

    def __enter__(self) -> "Deadline":
        self._started = monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self.left -= monotonic() - self._started


class Transport(HTTPAdapter):
    """Send prepared requests, each once; threads may share it."""

    def __init__(
        self, pool: int, proxy: str | None = None, ca_file: str | None = None, client_cert: Pair | None = None
    ) -> None:
        self._proxies = {"all": proxy} if proxy else None
        self._tls: dict[str, Any] = {"ssl_context": tls_context(ca_file, client_cert)}
        self._proxy_tls = {"proxy_ssl_context": tls_context(ca_file)} if proxy else {}
        self._process, self.pool = os.getpid(), pool
        super().__init__(pool_maxsize=pool)
        self.max_retries = Retry(False)  # urllib3's errors come as they are

    def sent(self, request: PreparedRequest, deadline: Deadline) -> Response:
        """Send a request and read the head of its response.

        Raises urllib3's HTTPError, some of them within a RequestException, and ValueError.
        """
        seconds = max(deadline.left, _LEAST)
        timeout: Any = Timeout(connect=min(CONNECT, seconds), total=seconds)
        return self.send(request, stream=True, timeout=timeout, proxies=self._proxies)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **options, **self._tls)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        if self._process != os.getpid():  # forked: the sockets are those of the parent
            self.proxy_manager.clear()
            self.init_poolmanager(self.pool, self.pool)
            self._process = os.getpid()
        proxy = proxies and self.proxy_manager_for(proxies["all"], **self._tls, **self._proxy_tls)
        pool: HTTPConnectionPool = (proxy or self.poolmanager).connection_from_url(request.url or "")
        pool.ConnectionCls = _HttpsConnection if pool.scheme == "https" else _HttpConnection
        return pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the pool's TLS context."""


class _Timed(RawIOBase):
    """Read from a socket; the timeout that it had at first is for all reads together."""

    def __init__(self, sock: socket, source: RawIOBase) -> None:
        self._sock, self._source, self.is_ended, self.room = sock, source, False, LONGEST_HEAD
        self._end = monotonic() + (sock.gettimeout() or inf)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(min(seconds, IDLE))
        count: int | None = self._source.readinto(buffer)
        self.is_ended = not count
        self.room -= count or 0
        if self.room < 0:
            raise HTTPException("a head without end")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _Response(HTTPResponse):
    """Read a head within the deadline; refuse one that is cut or does not say where its body ends."""

    def __init__(self, sock: socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._timed = _Timed(sock, self.fp.detach())
        self.fp = BufferedReader(self._timed)

    def begin(self) -> None:
        while True:
            super().begin()
            if self._timed.is_ended or self.status == 101:
                raise HTTPException("the head broke off, or is another protocol's")
            if self.status >= 200:
                break
            # an interim response (RFC 9110, section 15.2)
            self.headers = None  # type: ignore[assignment]
        self._timed.room = inf
        assert_header_parsing(self.msg)
        if self.length is None and not self.chunked:  # a cut would look like its end
            raise HTTPException("no length")


class _Connection:
    """Tell apart what went wrong before a request was sent, while it was sent, and later."""

    response_class = _Response
    sock: socket | None
    _is_cut = False

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except ConnectTimeoutError:
            raise
        except (OSError, HTTPException, HTTPError, ValueError) as error:  # of the proxy or of TLS
            raise NewConnectionError(self, "not connected") from error  # type: ignore[arg-type]

    def request(self, *args: Any, **options: Any) -> None:
        try:
            self._is_cut = False
            super().request(*args, **options)  # type: ignore[misc]
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):  # a refusal may be there to read
            self._is_cut = True

    def getresponse(self) -> BaseHTTPResponse:
        response: BaseHTTPResponse = super().getresponse()  # type: ignore[misc]
        if self._is_cut and response.status < 400:
            raise HTTPException("a success of what was not sent whole")
        return response

    @property
    def is_connected(self) -> bool:
        # what TLS has decrypted and nobody read does not show in a poll
        unread = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        return not unread and super().is_connected  # type: ignore[misc]


class _HttpConnection(_Connection, HTTPConnection):  # type: ignore[misc]
    pass


class _HttpsConnection(_Connection, HTTPSConnection):  # type: ignore[misc]
    pass


@lru_cache
def tls_context(ca_file: str | None = None, client_cert: Pair | None = None) -> ssl.SSLContext:
    """Trust the authorities of a file, else those of requests and of the machine.

    SSL_CERT_FILE names other files for those of the machine. Raises OSError for files that cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None:
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    if client_cert:
        context.load_cert_chain(*client_cert, password="")  # never ask at the console
    return context
