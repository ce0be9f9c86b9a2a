"""The sockets of an origin: used again only when nothing is left on them, and trusted only when somebody vouches."""

import os
import ssl
from contextlib import suppress

import pytest
import requests
import trustme

from connectors.kit import adapter
from connectors.kit.errors import BusyError, ReplyError, UnknownOutcome
from connectors.kit.sockets import Sockets
from tests.connectors.script import HEAD, Pieces, Script, whole


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


def test_who_refuses_before_all_was_sent_is_heard(scripted, opened):
    script = scripted(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", None)
    with pytest.raises(ReplyError, match=r"refused /a \(413\)"):
        opened(script.url).post("a", form={"text": "x" * 30_000})


def test_who_says_that_he_hangs_up_is_believed(scripted, opened):
    script = scripted(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\n[1]", whole(b"[2]"))
    http = opened(script.url)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [2]]
    assert [number for number, _ in script.asked] == [0, 1]


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
    monkeypatch.setattr(
        "connectors.kit.raw.Raw.begun", lambda *given, **asked: (_ for _ in ()).throw(KeyboardInterrupt)
    )
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


def test_a_success_of_what_was_not_sent_whole_is_not_believed(opened, monkeypatch):
    held = Pieces([whole(b"[1]")], error=BrokenPipeError)
    monkeypatch.setattr("socket.create_connection", lambda *args: held)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened("http://127.0.0.1:9").post("a", json={}, writes=True)
    assert held.is_closed


def test_a_socket_that_did_not_take_a_request_whole_is_not_used_again(opened, monkeypatch):
    refusal = whole(b"[1]").replace(b"200 OK", b"413 Too Large")
    held = [Pieces([refusal], error=ConnectionResetError), Pieces([whole(b"[2]")])]
    monkeypatch.setattr("socket.create_connection", lambda *args: held.pop(0))
    http = opened("http://127.0.0.1:9")
    with pytest.raises(ReplyError, match="413"):
        http.post("a", json={}, writes=True)
    assert http.get("b").json() == [2]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_socket_is_not_shared_with_a_child(little, opened):
    little.say()
    http = opened(little.url)
    http.get("a")
    child = os.fork()
    if not child:
        with suppress(BaseException):
            http.get("b")
        os._exit(0)
    os.waitpid(child, 0)
    http.get("c")
    mine, its, again = (asked.port for asked in little.asked)
    assert mine == again != its


def test_a_socket_that_comes_back_after_the_end_is_closed(scripted, opened):
    script = scripted(whole(b"[1]"))
    http = opened(script.url)
    way = http._session.get_adapter(script.url)
    answer = way.send(requests.Request("GET", f"{script.url}/a").prepare(), stream=True, timeout=(5, 5))
    held = answer.raw._held
    http.close()
    answer.raw.read1()
    answer.close()
    del answer
    assert held.fileno() == -1


def test_an_end_that_tls_does_not_vouch_for_ends_no_answer(scripted, opened, authority):
    script = scripted(HEAD + b"\r\n[1]", None, whole(b"[2]"), context=vouched(authority, "127.0.0.1"))
    assert opened(script.url).get("a").json() == [2]


def test_an_end_that_tls_vouches_for_ends_an_answer_without_a_length(scripted, opened, authority, monkeypatch):
    monkeypatch.setattr(Script, "says_goodbye", True)
    script = scripted(HEAD + b"\r\n[1]", None, context=vouched(authority, "127.0.0.1"))
    assert opened(script.url).get("a").json() == [1]


def test_who_refuses_before_all_was_sent_is_heard_over_tls_too(opened, monkeypatch):
    refusal = whole(b"[1]").replace(b"200 OK", b"413 Too Large")
    monkeypatch.setattr("socket.create_connection", lambda *args: Pieces([refusal], error=ssl.SSLEOFError))
    with pytest.raises(ReplyError, match="413"):
        opened("http://127.0.0.1:9").post("a", json={}, writes=True)


def test_a_child_of_many_threads_takes_no_socket_of_its_parent(monkeypatch):
    origin = Sockets("127.0.0.1", 9, None, 1)
    origin._idle.append(held := Pieces([]))
    closing = origin.close
    monkeypatch.setattr("connectors.kit.sockets.getpid", lambda: 0)
    monkeypatch.setattr(
        origin, "close", lambda: (origin._process == 0 and origin._idle and pytest.fail("too early"), closing())
    )
    assert origin._usable() is None
    assert held.is_closed
