"""A little server on 127.0.0.1 that stands in for a system, and breaks off as it is told."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec
from requests.structures import CaseInsensitiveDict

from connectors.kit.testing.clock import TIME

DRIPS, DRIP, PATIENCE = 8, 100.0, 2.0
Wire = Literal["whole", "reset", "truncated", "dripping"]


@dataclass(frozen=True)
class StubRequest:
    """Hold one request as the system sees it; `writes` is what the connector says of it, not the wire."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    number: int
    at: float
    writes: bool = False

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @cached_property
    def lists(self) -> dict[str, list[str]]:
        """Give all values of each parameter."""
        return parse_qs(urlsplit(self.url).query, keep_blank_values=True)

    @property
    def query(self) -> dict[str, str]:
        """Give the first value of each parameter."""
        return {name: values[0] for name, values in self.lists.items()}

    @cached_property
    def json(self) -> Any:
        """Parse the body; None where there is none."""
        return msgspec.json.decode(self.body) if self.body else None

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.body[:200].decode('utf-8', 'replace')}".strip()


@dataclass(frozen=True)
class StubResponse:
    """Hold one answer: a body that becomes JSON (bytes stay as they are), and how it goes over the wire."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wire: Wire = "whole"

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)


class Server:
    """Serve as long as a block runs; `most` requests at most, so that nothing asks for ever."""

    def __init__(self, answer: Callable[[StubRequest], StubResponse], most: int = 500) -> None:
        self.answer, self.most = answer, most
        self.log: list[tuple[StubRequest, StubResponse]] = []
        self.connections, self.count, self.is_written = 0, 0, False
        self.problem: Exception | None = None
        self.lock = Lock()
        self._server = _Threads(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_": self}))
        self._server.server_ = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Server":
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.002}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def is_tired(self) -> bool:
        """Tell whether it was asked more often than any honest reader would."""
        return self.count > self.most

    def forget(self) -> None:
        """Start counting anew."""
        self.log, self.count, self.problem = [], 0, None

    def respond(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> StubResponse:
        """Answer one request and note both; what goes wrong in a stand-in is kept, to be shown."""
        with self.lock:
            request = StubRequest(method, url, headers, body, self.count, TIME.at, self.is_written)
            self.count += 1
            if self.is_tired:
                return StubResponse({"error": "asked too often"}, 503)
            try:
                response = self.answer(request)
            except Exception as error:
                self.problem = error
                response = StubResponse({"error": "the stand-in failed"}, 500)
            self.log.append((request, response))
            return response


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    server_: Server

    def process_request(self, request: Any, client_address: Any) -> None:
        self.server_.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hung up: some are made to."""


class _Handler(BaseHTTPRequestHandler):
    server_: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        response = self.server_.respond(self.command, self.path, CaseInsensitiveDict(self.headers.items()), body)
        if response.wire == "reset":
            return self._reset()
        raw = response.raw.replace(b"{base_url}", self.server_.url.encode())
        drips = DRIPS if response.wire == "dripping" else 0
        self._head(response, len(raw) + drips)
        looks = TIME.looks
        self.wfile.write(raw[: len(raw) // 2] if response.wire == "truncated" else raw)
        self._drip(drips, looks)
        if response.wire == "truncated":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        return None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _drip(self, drips: int, looks: int) -> None:
        patience = PATIENCE
        for _ in range(drips):
            patience = TIME.after_a_look(looks, DRIP, patience)
            looks = TIME.looks
            self.wfile.write(b" ")

    def _head(self, response: StubResponse, length: int) -> None:
        self.send_response_only(response.status)
        headers_sent = {"Content-Type": "application/json", "Date": format_datetime(TIME.date(), usegmt=True)}
        for name, value in {**headers_sent, "Content-Length": str(length), **response.headers}.items():
            self.send_header(name, str(value).replace("{base_url}", self.server_.url))
        self.end_headers()

    def _reset(self) -> None:
        self.close_connection = True
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # on, for no time: the peer sees a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
