"""How a connection proves who it is."""

from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from pydantic import SecretStr
from requests import PreparedRequest, Request

from connectors.kit.errors import AccessError, BusyError
from connectors.kit.http.auth import Basic, Bearer, HeaderToken, QueryToken, Refreshed, token_answer

SECRET = SecretStr("s3cret")


def headers(auth) -> dict[str, str]:
    return dict(Request("GET", "http://127.0.0.1/", auth=auth).prepare().headers)


def test_sends_a_token_as_bearer():
    assert headers(Bearer(SECRET)) == {"Authorization": "Bearer s3cret"}


def test_sends_a_user_and_a_secret_in_utf_8():
    given = headers(Basic("jürgen", SecretStr("pässword")))["Authorization"]
    assert b64decode(given.removeprefix("Basic ")).decode() == "jürgen:pässword"


def test_sends_a_secret_in_a_header_of_its_own():
    assert headers(HeaderToken("X-Key", SECRET)) == {"X-Key": "s3cret"}


@pytest.mark.parametrize(
    "auth", [Bearer(SECRET), Basic("me", SECRET), HeaderToken("X-Key", SECRET), Refreshed(lambda: (SECRET, 60))]
)
def test_no_secret_shows_when_printed(auth):
    headers(auth)
    assert repr(auth) == str(auth) == f"{type(auth).__name__}(***)"


def test_a_token_is_fetched_anew_before_it_expires(time):
    fetched = []

    def fetch() -> tuple[SecretStr, float]:
        fetched.append(time.at)
        return SecretStr(f"token{len(fetched)}"), 100

    auth = Refreshed(fetch, time.now)
    assert headers(auth) == headers(auth) == {"Authorization": "Bearer token1"}
    time.at += 89
    headers(auth)
    assert len(fetched) == 1
    time.at += 2
    assert headers(auth) == {"Authorization": "Bearer token2"}


def test_a_token_that_was_forgotten_is_fetched_anew():
    tokens = iter(("one", "two"))
    auth = Refreshed(lambda: (SecretStr(next(tokens)), 100))
    headers(auth)
    auth.forget()
    assert headers(auth) == {"Authorization": "Bearer two"}


def test_one_thread_fetches_and_the_others_wait():
    fetched, started, going = [], Event(), Event()

    def fetch() -> tuple[SecretStr, float]:
        fetched.append(1)
        started.set()
        assert going.wait(5)
        return SecretStr("token"), 100

    auth = Refreshed(fetch)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(headers, auth) for _ in range(8)]
        assert started.wait(5)
        going.set()
        assert {one.result()["Authorization"] for one in asked} == {"Bearer token"}
    assert len(fetched) == 1


def test_reads_an_answer_of_oauth():
    token, life = token_answer({"access_token": "abc", "expires_in": 3600, "token_type": "bearer"})
    assert (token.get_secret_value(), life) == ("abc", 3600.0)
    assert token_answer({"access_token": "abc"})[1] == 1800


@pytest.mark.parametrize("error", [AccessError("refused"), BusyError("down")])
def test_threads_that_wait_for_a_fetch_share_its_error(error):
    fetched, started, going, waiting = [], Event(), Event(), Barrier(9)

    def fetch() -> tuple[SecretStr, float]:
        fetched.append(1)
        started.set()
        assert going.wait(5)
        raise error

    auth = Refreshed(fetch)
    before = auth._lock

    class Counted:
        """Let the test see that all threads have come to the lock."""

        def __enter__(self):
            waiting.wait(5)
            return before.__enter__()

        def __exit__(self, *args):
            return before.__exit__(*args)

    auth._lock = Counted()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(headers, auth) for _ in range(8)]
        waiting.wait(5)
        assert started.wait(5)
        going.set()
        assert {str(one.exception()) for one in asked} == {str(error)}
    assert len(fetched) == 1


def test_an_error_is_not_remembered_beyond_those_who_waited():
    answers = iter([BusyError("down"), None])

    def fetch() -> tuple[SecretStr, float]:
        if error := next(answers):
            raise error
        return SecretStr("token"), 100

    auth = Refreshed(fetch)
    with pytest.raises(BusyError):
        headers(auth)
    assert headers(auth) == {"Authorization": "Bearer token"}


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://x/a", "https://x/a?api_key=s%2B+%3D"),
        ("https://x/a?page=2", "https://x/a?page=2&api_key=s%2B+%3D"),
        ("https://x/a?api_key=s%2B%20%3D&page=2", "https://x/a?page=2&api_key=s%2B+%3D"),
        ("https://x/a?api%5Fkey=other&api_key=***", "https://x/a?api_key=s%2B+%3D"),
    ],
)
def test_a_secret_of_the_query_is_there_once(url, sent):
    request = PreparedRequest()
    request.url = url
    token = QueryToken("api_key", SecretStr("s+ ="))
    assert token(request).url == sent
    assert repr(token) == "QueryToken(***)"
