"""One deadline ends a response that drips, in its head or its body, over all tries of a request."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic

import pytest
import trustme

from connectors.kit.errors import BusyError, UnknownOutcome
from connectors.kit.http.network import NetworkSettings
from connectors.kit.http.transport import Deadline
from tests.connectors.script import CHUNKED, HEAD, whole

BODY = HEAD + b"Content-Length: 100000\r\n\r\n["
ONE_READ = 0.2  # seconds


class Drip:
    """Answer with a beginning, then the same bytes every so often, for ever."""

    def __init__(self, begun: bytes, drop: bytes, pace: float = 0.005) -> None:
        self.begun, self.drop, self.pace, self.asked, self.url = begun, drop, pace, 0, ""

    @contextmanager
    def serving(self, context: ssl.SSLContext | None = None) -> Iterator[None]:
        done = Event()

        def talk(plain: socket.socket) -> None:
            with suppress(OSError), context.wrap_socket(plain, server_side=True) if context else plain as client:
                client.recv(4096)
                self.asked += 1
                client.sendall(self.begun)
                while not done.wait(self.pace):
                    client.sendall(self.drop)

        def serve() -> None:
            with suppress(OSError):
                while not done.is_set():
                    Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = Thread(target=serve, daemon=True)
            thread.start()
            self.url = f"http{'s' if context else ''}://127.0.0.1:{listening.getsockname()[1]}"
            yield
            done.set()
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


DRIPS = {
    "status line": (b"HTTP/1.1 200 O", b"K"),
    "head": (HEAD, b"X: y\r\n"),
    "field": (HEAD + b"X: ", b"y"),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "continues": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (BODY, b" "),
    "chunk": (CHUNKED + b"ffff\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "chunk extension": (CHUNKED + b"1;", b"x"),
    "trailer": (CHUNKED + b"0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("drip", [Drip(*parts) for parts in DRIPS.values()], ids=DRIPS)
def test_a_drip_ends_at_the_deadline_and_is_not_tried_again(drip: Drip, opened: Callable):
    with drip.serving():
        http = opened(drip.url, timeout=ONE_READ)
        start = monotonic()
        with pytest.raises(BusyError, match=r"no whole answer \(timeout\)"):
            http.get("a")
        assert ONE_READ <= monotonic() - start < 10
        assert drip.asked == 1


@pytest.mark.parametrize("name", ["head", "body"])
def test_a_drip_over_tls_ends_at_the_deadline(name: str, opened: Callable, tmp_path):
    authority, drip = trustme.CA(), Drip(*DRIPS[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    trusted = NetworkSettings(ca_file=tmp_path / "authority.pem").transport(1)
    with drip.serving(context):
        with pytest.raises(UnknownOutcome, match="timeout"):
            opened(drip.url, timeout=ONE_READ, transport=trusted).post("a", json={}, writes=True)
        assert drip.asked == 1


def test_a_tls_handshake_that_stands_still_ends_and_nothing_was_sent(opened: Callable):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(BusyError, match=r"cannot reach .* \(timeout\); check settings.base_url"):
            opened(url, timeout=ONE_READ).post("a", json={}, writes=True)


def test_a_response_that_stands_still_is_ended_by_the_idle_time_and_tried_again(opened, monkeypatch):
    monkeypatch.setattr("connectors.kit.http.transport.IDLE", 0.05)
    drip = Drip(BODY, b"", pace=0.2)
    with drip.serving():
        with pytest.raises(BusyError, match=r"no whole answer \(timeout\)"):
            opened(drip.url, attempts=2).get("a")
        assert drip.asked == 2


def test_what_was_spent_on_one_try_is_not_there_for_the_next(monkeypatch):
    seconds = iter([10.0, 14.0, 100.0, 103.0])
    monkeypatch.setattr("connectors.kit.http.transport.monotonic", lambda: next(seconds))
    deadline = Deadline(9)
    for left in (5, 2):
        with deadline:
            pass
        assert deadline.left == left


def test_waiting_for_the_rate_limit_takes_nothing_from_the_deadline(little, opened, time):
    little.say(429, Retry_After="100")
    little.say(429, Retry_After="100")
    little.say(200, b"[1]")
    assert opened(little.url, timeout=30).get("a").json() == [1]
    assert time.waits == [100.0, 100.0]


def test_a_second_request_has_the_whole_time_again(scripted, opened):
    script = scripted(whole(b"[1]"), whole(b"[2]"))
    http = opened(script.url, timeout=5)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 0]
