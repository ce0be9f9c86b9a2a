"""The sockets of an origin: used again only when nothing is left on them, and trusted only when somebody vouches."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from socket import SHUT_RDWR, create_server, socket
from threading import Thread

import pytest
import requests
import trustme

from connectors.kit import adapter
from connectors.kit.errors import BusyError, ReplyError, UnknownOutcome

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class Script:
    """Answer request after request by the bytes that are left; None hangs up."""

    answers: list[bytes | None]
    context: ssl.SSLContext | None = None
    url: str = ""
    asked: list[tuple[int, bytes]] = field(default_factory=list)

    def serve(self, listening: socket) -> None:
        for number in count():
            try:
                client = listening.accept()[0]
            except OSError:
                return
            with suppress(OSError), client:
                client.settimeout(5)
                self._talk(number, self.context.wrap_socket(client, server_side=True) if self.context else client)

    def _talk(self, number: int, client: socket) -> None:
        with client:
            while self.answers and self.answers[0] is not None:
                if not (request := self._request(client)):
                    return
                self.asked.append((number, request))
                client.sendall(self.answers.pop(0) or b"")
            self.answers = self.answers[1:]

    def _request(self, client: socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got:
            if not (part := client.recv(65_536)):
                return b""
            got += part
        return got


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


def test_a_socket_that_was_closed_while_nobody_asked_is_not_used_again(scripted, opened):
    script = scripted(whole(b"[1]"), None, whole(b"[2]"))
    http = opened(script.url)
    assert http.get("a").json() == [1]
    while script.answers[0] is None:  # until it has hung up
        pass
    assert http.post("b", json={}, writes=True).json() == [2]
    assert [number for number, _ in script.asked] == [0, 1]


def test_a_write_into_a_socket_that_closes_just_then_is_unknown_and_sent_once(scripted, opened):
    script = scripted(whole(b"[1]"), b"", None, whole(b"[2]"))
    http = opened(script.url)
    http.get("a")
    with pytest.raises(UnknownOutcome, match="connection broken"):
        http.post("b", json={}, writes=True)
    assert len(script.asked) == 2


def test_what_was_not_read_of_an_answer_is_not_taken_for_the_next_one(scripted, opened):
    script = scripted(whole(b"[" + b" " * 4_000_000 + b"1]"), None, whole(b"[2]"))
    http = opened(script.url, max_body=1 << 20)
    with pytest.raises(ReplyError, match="larger than 1 MiB"):
        http.get("a")
    assert http.get("b").json() == [2]


def test_an_answer_in_chunks_is_read_to_its_end(scripted, opened):
    script = scripted(CHUNKED + b"2\r\n[1\r\n3;x=y\r\n,2]\r\n0\r\nTrailer: x\r\n\r\n", whole(b"[3]"))
    http = opened(script.url)
    assert http.get("a").json() == [1, 2]
    assert http.get("b").json() == [3]
    assert [number for number, _ in script.asked] == [0, 0]


@pytest.mark.parametrize("cut", [b"2\r\n[1\r\n", b"9\r\n[1", b"2\r\n[1\r\nzz\r\n", b""])
def test_an_answer_whose_chunks_end_early_is_asked_for_again(scripted, opened, cut):
    script = scripted(CHUNKED + cut, None, whole(b"[2]"))
    assert opened(script.url).get("a").json() == [2]
    assert len(script.asked) == 2


def test_an_answer_without_a_length_ends_with_its_socket(scripted, opened):
    script = scripted(HEAD + b"\r\n[1]", None, whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 1]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000]
)
def test_what_speaks_no_http_is_no_answer(scripted, opened, answer):
    script = scripted(answer, None)
    with pytest.raises(BusyError, match=r"no whole answer \(connection broken\)"):
        opened(script.url, attempts=1).get("a")


def test_who_refuses_before_all_was_sent_is_heard(scripted, opened):
    script = scripted(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None)
    with pytest.raises(ReplyError, match=r"refused /a \(413\)"):
        opened(script.url).post("a", form={"text": "x" * 30_000})


@pytest.mark.parametrize("interim", [b"100 Continue\r\n", b"103 Early Hints\r\nLink: </x>\r\nContent-Length: 9\r\n"])
def test_an_interim_answer_is_none_and_the_one_behind_it_is(scripted, opened, interim):
    script = scripted(b"HTTP/1.1 " + interim + b"\r\n" + whole(b"[1]"), whole(b"[2]"))
    http = opened(script.url)
    answer = http.post("a", json={}, writes=True)
    assert (answer.status, answer.json(), answer.headers.get("Link")) == (200, [1], None)
    assert http.get("b").json() == [2]
    assert [number for number, _ in script.asked] == [0, 0]


def test_another_protocol_is_no_answer(scripted, opened):
    script = scripted(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url).post("a", json={}, writes=True)


def test_an_offer_of_another_protocol_changes_nothing(scripted, opened):
    offer = b"Connection: Upgrade, Keep-Alive\r\nUpgrade: h2,h2c\r\nContent-Length: 3\r\n\r\n[1]"
    script = scripted(HEAD + offer, whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 0]


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n[1]",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n[1]",
        b"Content-Length: 3x\r\n\r\n[1]",
        b"Content-Length: -3\r\n\r\n[1]",
    ],
)
def test_an_answer_of_two_lengths_or_of_none_that_can_be_is_not_taken(scripted, opened, fields):
    script = scripted(HEAD + fields, None, whole(b"[2]"))
    assert opened(script.url).get("a").json() == [2]


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\n", whole(b"[7]"), HEAD + b"\r\n"])
def test_what_lies_behind_an_answer_is_nobodys(scripted, opened, behind):
    script = scripted(whole(b"[1]") + behind, None, whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 1]


def test_who_says_that_he_hangs_up_is_believed(scripted, opened):
    script = scripted(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\n[1]", whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 1]


def test_a_head_that_drips_is_not_waited_for_beyond_the_time_of_one_read(scripted, opened, monkeypatch):
    seconds = count(step=40)
    monkeypatch.setattr("connectors.kit.raw.monotonic", lambda: next(seconds))
    script = scripted(HEAD, None)
    with pytest.raises(BusyError, match=r"no whole answer \(timeout\)"):
        opened(script.url, attempts=1, timeout=(5, 30)).get("a")


def test_an_answer_that_cannot_be_read_is_no_fault_of_the_secret(scripted, opened):
    script = scripted(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x; boundary*=a\0b'en'x\r\n\r\n", None)
    with pytest.raises(UnknownOutcome):
        opened(script.url).post("a", json={}, writes=True)


def test_a_field_that_comes_twice_is_read_whole(scripted, opened):
    script = scripted(HEAD + b'Link: </p>; rel="prev"\r\nLink: </n>; rel="next"\r\nContent-Length: 2\r\n\r\n[]')
    assert opened(script.url).get("a").headers["link"] == '</p>; rel="prev", </n>; rel="next"'


@pytest.mark.parametrize("field", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_what_has_no_content_has_none_to_wait_for(scripted, opened, field):
    script = scripted(b"HTTP/1.1 204 No Content\r\n" + field + b"\r\n", whole(b"[2]"))
    http = opened(script.url, timeout=(2, 2), attempts=1)
    assert http.delete("a", writes=True).body == b""
    assert http.get("b").json() == [2]


@pytest.mark.parametrize("host", ["api..example", "x" * 70 + ".example"])
def test_a_host_that_cannot_be_one_is_unknown(opened, host):
    with pytest.raises(BusyError, match=r"\(unknown host\); check settings.base_url"):
        opened(f"https://{host}/api", attempts=1).get("a")


@pytest.mark.parametrize(
    ("url", "port"), [("http://[::1]/a", 80), ("https://[2001:db8::abcd]/a", 443), ("http://[::1]:9/a", 9)]
)
def test_the_port_is_the_one_that_is_meant(monkeypatch, opened, url, port):
    asked = []

    def refuse(address, *args, **options):
        asked.append(address)
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(BusyError, match="connection refused"):
        opened(url, attempts=1).get("a")
    assert asked[0] == (url.partition("[")[2].partition("]")[0], port)


def test_an_interrupt_leaves_no_socket_open(scripted, opened, monkeypatch):
    script = scripted(whole(b"[1]"), whole(b"[2]"))
    http = opened(script.url)
    http.get("a")
    (origin,) = http._session.get_adapter(script.url)._origins.values()
    (held,) = origin._idle
    monkeypatch.setattr("connectors.kit.raw.Raw.begun", lambda raw: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        http.get("b")
    assert held.fileno() == -1
    assert origin._idle == []


@pytest.fixture
def authority(monkeypatch, tmp_path) -> trustme.CA:
    """Vouch for servers here, as an authority of the machine."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    adapter._authorities.cache_clear()
    yield made
    adapter._authorities.cache_clear()


def vouched(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_an_authority_of_the_machine_is_trusted(scripted, opened, authority):
    script = scripted(whole(b"[1]"), whole(b"[2]"), context=vouched(authority, "127.0.0.1"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 0]


def test_what_comes_after_an_answer_is_not_taken_for_the_next_one_over_tls_either(scripted, opened, authority):
    surplus = whole(b"[" + b" " * 9_000 + b"1]") + whole(b"[7]")
    script = scripted(surplus, whole(b"[2]"), context=vouched(authority, "127.0.0.1"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.example"])
def test_a_certificate_of_another_name_or_authority_is_told_and_nothing_is_sent(scripted, opened, authority, name):
    theirs = trustme.CA() if name == "127.0.0.1" else authority
    script = scripted(whole(b"[1]"), context=vouched(theirs, name))
    with pytest.raises(BusyError, match=r"cannot reach https://.* \(the TLS certificate is not trusted\)"):
        opened(script.url, attempts=1).post("a", json={}, writes=True)
    assert script.asked == []


def test_an_address_that_speaks_no_tls_is_told(scripted, opened, monkeypatch):
    monkeypatch.setattr(Script, "_request", lambda self, client: client.recv(1))
    script = scripted(*[b"HTTP/1.1 400 Bad Request\r\n\r\n", None] * 3)
    with pytest.raises(BusyError, match=r"cannot reach https://.* \(no TLS there\); check settings.base_url"):
        opened(script.url.replace("http:", "https:"), attempts=1).get("a")


def test_no_more_sockets_are_kept_than_wanted(little, opened):
    little.say()
    http = opened(little.url, pool=1)
    way, asked = (
        http._session.get_adapter(little.url),
        [requests.Request("GET", f"{little.url}/{path}") for path in "ab"],
    )
    first, second = (way.send(one.prepare(), stream=True, timeout=(5, 5)) for one in asked)
    for answer in (first, second):
        assert answer.raw.read1(100) == b"{}"
        answer.close()
    for path in "cd":
        http.get(path)
    assert len({one.port for one in little.asked}) == 2
    assert little.asked[2].port == little.asked[3].port == little.asked[0].port
