"""What tests of the doors share: a time of their own, and a little server that answers as it is told."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, create_server, socket
from threading import Thread
from typing import Any

import pytest

from connectors.kit.http.client import Http
from tests.connectors.script import Script


@dataclass
class Time:
    """A clock that only waiting moves on."""

    at: float = 1000.0
    waits: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def wait(self, seconds: float) -> None:
        self.waits.append(round(seconds, 3))
        self.at += seconds


@dataclass
class StubRequest:
    """One request as the little server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


StubResponse = tuple[int, dict[str, str], bytes]


@dataclass
class Little:
    """Answer each request by `answer`; a list is used up, its last entry stays."""

    url: str = ""
    answers: list[StubResponse | Callable[[StubRequest], StubResponse]] = field(default_factory=list)
    asked: list[StubRequest] = field(default_factory=list)

    def say(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, {"Content-Type": "application/json", **given}, body))

    def told(self, asked: StubRequest) -> StubResponse:
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer(asked) if callable(answer) else answer


class _Handler(BaseHTTPRequestHandler):
    little: Little
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, headers, answer = self.little.told(
            StubRequest(self.command, self.path, dict(self.headers), body, self.client_address[1])
        )
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(answer)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, *args: Any) -> None:
        pass


def serving() -> Iterator[Little]:
    little = Little()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"little": little}))
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # of clients that went away
    little.url = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield little
    server.shutdown()
    server.server_close()


@pytest.fixture
def little() -> Iterator[Little]:
    yield from serving()


@pytest.fixture
def other() -> Iterator[Little]:
    """A second origin, which must never be asked."""
    yield from serving()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def opened(time: Time) -> Iterator[Callable[..., Http]]:
    """Open sessions in the test's own time, and close them."""
    made: list[Http] = []

    def make(url: str, **options: Any) -> Http:
        made.append(Http("crm", url, **({"sleep": time.wait, "clock": time.now} | options)))
        return made[-1]

    yield make
    for http in made:
        http.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Script]]:
    held: list[tuple[socket, Thread]] = []

    def start(*answers: bytes | None, context: ssl.SSLContext | None = None) -> Script:
        listening = create_server(("127.0.0.1", 0))
        script = Script(list(answers), context)
        script.url = f"http{'s' if context else ''}://127.0.0.1:{listening.getsockname()[1]}"
        thread = Thread(target=script.serve, args=(listening,), daemon=True)
        thread.start()
        held.append((listening, thread))
        return script

    yield start
    for listening, thread in held:
        with suppress(OSError):
            listening.shutdown(SHUT_RDWR)
        listening.close()
        thread.join(5)
