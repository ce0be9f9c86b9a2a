"""Sockets are used again only when nothing is left on them, and a server is trusted only when somebody vouches."""

import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from threading import Barrier

import pytest
import trustme

from connectors.kit.errors import BusyError, ReplyError, UnknownOutcome
from connectors.kit.http.transport import Transport, tls_context
from tests.connectors.script import HEAD, Script, whole


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

    monkeypatch.setattr("urllib3.util.connection.create_connection", refuse)
    with pytest.raises(BusyError, match="connection refused"):
        opened(url, attempts=1).get("a")
    assert asked[0] == (url.partition("[")[2].partition("]")[0], port)


def test_an_interrupted_request_leaves_no_socket_whose_response_could_be_taken_for_another(
    scripted, opened, monkeypatch
):
    def interrupt(*given, **asked):
        raise KeyboardInterrupt

    script = scripted(whole(b"[1]"), whole(b"[2]"), whole(b"[3]"))
    http = opened(script.url)
    http.get("a")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("urllib3.connection.HTTPConnection.getresponse", interrupt)
        http.get("b")
    assert http.get("c").json() == [3]
    assert [number for number, _ in script.asked] == [0, 0, 1]


@pytest.fixture
def authority(monkeypatch, tmp_path) -> trustme.CA:
    """Vouch for servers here, as an authority of the machine."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    tls_context.cache_clear()
    yield made
    tls_context.cache_clear()


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
    both, http = Barrier(2), opened(little.url, transport=Transport(1))

    def answer(asked):
        both.wait(5)
        return 200, {"Content-Type": "application/json"}, b"{}"

    little.answers.append(answer)
    little.answers.append(answer)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(http.get, "ab"))
    little.answers.clear()
    little.say()
    for path in "cd":
        http.get(path)
    assert len({one.port for one in little.asked}) == 2
    assert little.asked[2].port == little.asked[3].port


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


def test_an_end_that_tls_does_not_vouch_for_ends_no_answer(scripted, opened, authority):
    script = scripted(HEAD + b"\r\n[1]", None, whole(b"[2]"), context=vouched(authority, "127.0.0.1"))
    assert opened(script.url).get("a").json() == [2]


@pytest.fixture(params=[BrokenPipeError, ConnectionResetError, ssl.SSLEOFError])
def cut_requests(request, monkeypatch) -> None:
    """Let every request be sent, and then seem cut."""
    send = HTTPConnection.send

    def cut(connection, data):
        send(connection, data)
        raise request.param

    monkeypatch.setattr(HTTPConnection, "send", cut)


@pytest.mark.usefixtures("cut_requests")
def test_a_success_of_what_was_not_sent_whole_is_not_believed(scripted, opened):
    script = scripted(whole(b"[1]"), None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url).delete("a", writes=True)
    assert len(script.asked) == 1


@pytest.mark.usefixtures("cut_requests")
def test_a_refusal_of_what_was_not_sent_whole_is_heard(scripted, opened):
    script = scripted(whole(b"[1]").replace(b"200 OK", b"413 Too Large"), None)
    with pytest.raises(ReplyError, match=r"refused /a \(413\)"):
        opened(script.url).delete("a", writes=True)
