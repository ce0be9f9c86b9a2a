"""A session of the user's, for the sake of its proxies or certificates: what it may do, and what is believed of it."""

import gzip
from contextlib import suppress

import pytest
import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from connectors.kit.auth import Bearer
from connectors.kit.errors import BusyError, SettingsError, UnknownOutcome
from tests.connectors.script import CHUNKED, HEAD, whole


@pytest.fixture
def session() -> requests.Session:
    return requests.Session()


@pytest.mark.parametrize("packed", [{}, {"Content_Encoding": "gzip"}])
def test_a_session_can_be_given(little, opened, packed, session):
    little.say(200, gzip.compress(b"[1]") if packed else b"[1]", **packed)
    http = opened(little.url, session=session)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [1]]
    assert session.trust_env is False
    assert little.asked[0].port == little.asked[1].port


@pytest.mark.parametrize("retries", [1, Retry(3), Retry(total=None), Retry(None, connect=2)])
def test_one_that_sends_again_by_itself_is_refused(little, opened, session, retries):
    session.mount("http://", HTTPAdapter(max_retries=retries))
    with pytest.raises(SettingsError, match="crm: the session's adapter sends again by itself"):
        opened(little.url, session=session)


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Le",
        HEAD[:-20],
        b"HTTP/1.1 200 OK\r\n",
        HEAD + b"\r\n[1]",
        HEAD + b"no field\r\nContent-Length: 90\r\n\r\n[1]",
        HEAD + b"Content-Length: 3x\r\n\r\n[1]",
        CHUNKED + b"3\r\n[1]\r\n",
        whole(b"[1]")[:-1],
    ],
)
def test_an_answer_whose_end_nobody_vouches_for_is_none(scripted, opened, session, answer):
    script = scripted(answer, None)
    with pytest.raises(UnknownOutcome, match="connection broken"):
        opened(script.url, session=session).delete("a", writes=True)


@pytest.mark.parametrize("answer", [CHUNKED + b"3\r\n[1]\r\n0\r\n\r\n", whole(b"[1]")])
def test_an_answer_that_tells_its_end_is_read_and_its_socket_used_again(scripted, opened, session, answer):
    script = scripted(answer, answer)
    http = opened(script.url, session=session)
    assert [http.get("a").json(), http.get("b").json()] == [[1], [1]]
    assert [number for number, _ in script.asked] == [0, 0]


@pytest.mark.parametrize("content", [b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"])
def test_content_that_cannot_be_there_is_not_taken_for_the_next_answer(scripted, opened, session, content):
    script = scripted(b"HTTP/1.1 204 No Content\r\n" + content + b"\r\n", None, whole(b"[2]"))
    http = opened(script.url, session=session)
    assert http.delete("a", writes=True).body == b""
    assert http.get("b").json() == [2]


def test_its_cookies_secrets_and_headers_stay_where_they_belong(little, other, opened, session):
    session.auth, session.headers["X-Own"] = ("u", "p"), b"own"
    session.cookies.set("sid", "secret")
    http = opened(little.url, session=session, headers={"X-Api": "secret"}, auth=Bearer(SecretStr("token")))
    little.say()
    other.say(200, b'{"access_token": "t"}')
    http.get("a")
    http.token(f"{other.url}/token", {"a": "b"})
    (mine,), (theirs,) = little.asked, other.asked
    assert (mine.headers["X-Own"], mine.headers["X-Api"]) == ("own", "secret")
    assert mine.headers["Authorization"] == "Bearer token"
    assert {*mine.headers, *theirs.headers}.isdisjoint({"Cookie"})
    assert {*theirs.headers}.isdisjoint({"Authorization", "X-Own", "X-Api"})


def test_nobody_is_asked_twice_where_nobody_listens(opened, session):
    with pytest.raises(BusyError, match="cannot reach"), suppress(UnknownOutcome):
        opened("http://127.0.0.1:1", session=session, attempts=1).post("a", json={}, writes=True)
