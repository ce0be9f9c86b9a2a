"""Access tokens of a REST API that are renewed: client credentials, and refresh tokens that a server may rotate."""

import json
import os
import stat
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from connectors.kit.errors import AccessError, BusyError, SettingsError
from connectors.kit.http.client import Http
from connectors.kit.settings import load
from connectors.rest.connector import Rest
from engine.config.project import Project
from tests.connectors.conftest import Little, StubRequest, StubResponse

DATE = {"Date": "Tue, 20 Oct 2026 05:00:00 GMT", "Content-Type": "application/json"}
CLIENT = {"kind": "oauth2_client_credentials", "client_id": "belve dere", "client_secret": "s3/cret"}
REFRESH = {"kind": "oauth2_refresh_token", "client_id": "belvedere", "refresh_token": "r0"}


class Login:
    """Play a token endpoint beside an API: a token lives until another one is given out."""

    def __init__(self, login: Little, api: Little) -> None:
        self.login, self.api = login, api
        self.valid, self.refresh, self.rotates = "", "r0", False
        self.answers: list[StubResponse] = []  # are given instead
        login.answers, api.answers = [self._token], [self._rows]

    @property
    def forms(self) -> list[dict[str, str]]:
        return [{name: values[0] for name, values in parse_qs(one.body.decode()).items()} for one in self.login.asked]

    def _token(self, asked: StubRequest) -> StubResponse:
        if self.answers:
            return self.answers.pop(0)
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if form["grant_type"] == "refresh_token" and form["refresh_token"] != self.refresh:
            return 400, DATE, b'{"error": "invalid_grant", "error_description": "s3cret words"}'
        self.valid = f"t{len(self.login.asked)}"
        answer = {"access_token": self.valid, "expires_in": 3600}
        if self.rotates:
            self.refresh = answer["refresh_token"] = f"r{len(self.login.asked)}"
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _rows(self, asked: StubRequest) -> StubResponse:
        is_in = asked.headers.get("Authorization") == f"Bearer {self.valid}"
        return (200, DATE, b"[]") if is_in else (401, DATE, b'{"error": "invalid_token"}')


@pytest.fixture
def login(little: Little, other: Little) -> Login:
    return Login(other, little)


@pytest.fixture
def rest(login: Login) -> Iterator[Callable[..., Rest]]:
    made: list[Rest] = []

    def make(**auth: Any) -> Rest:
        auth = {"token_url": f"{login.login.url}/token?tenant=s3cret"} | auth
        given = {"base_url": login.api.url, "auth": auth, "streams": {"a": {"path": "rows"}}}
        connector = Rest("erp", load(Rest, "erp", given | {"requests_per_second": 1000}))
        auth_ = connector.auth()
        connector.http = Http("erp", login.api.url, auth=auth_, attempts=2, sleep=lambda _: None)
        made.append(connector)
        return connector

    yield make
    for one in made:
        one.close()


def test_the_client_is_named_in_the_form(login, rest):
    connector = rest(**CLIENT, scope="read all")
    connector.check()
    connector.check()
    grant = {"grant_type": "client_credentials", "scope": "read all"}
    assert login.forms == [grant | {"client_id": "belve dere", "client_secret": "s3/cret"}]
    assert "Authorization" not in login.login.asked[0].headers
    assert [asked.headers["Authorization"] for asked in login.api.asked] == ["Bearer t1", "Bearer t1"]


def test_the_client_is_named_by_basic_each_part_encoded(login, rest):
    rest(**CLIENT, auth_style="basic").check()
    assert login.forms == [{"grant_type": "client_credentials"}]
    basic = login.login.asked[0].headers["Authorization"].removeprefix("Basic ")
    assert b64decode(basic) == b"belve+dere:s3%2Fcret"  # RFC 6749, section 2.3.1


@pytest.mark.parametrize("auth", [CLIENT, REFRESH])
def test_threads_whose_token_was_revoked_share_one_token_request(login, rest, auth):
    connector = rest(**auth)
    connector.check()
    login.valid = "another"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: connector.check(), range(16)))
    assert len(login.forms) == 2


def test_the_clock_is_that_of_the_api_and_never_that_of_the_token_endpoint(login, rest):
    login.answers = [(200, {**DATE, "Date": "Tue, 20 Oct 2020 05:00:00 GMT"}, b'{"access_token": "t"}')]
    login.valid = "t"
    login.api.answers = [(200, {"Content-Type": "application/json"}, b"[]")]
    with pytest.raises(Exception, match="sends no Date header"):
        rest(**CLIENT).check()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((400, DATE, b'{"error": "invalid_client"}'), "no token was given (400 invalid_client at /token)"),
        ((400, DATE, b'{"error": "Mr Smith, s3cret"}'), "no token was given (400 at /token)"),
        ((404, DATE, b"<html>"), "no token was given (404 at /token)"),
        ((401, DATE, b"{}"), "the secret was refused (401 at /token)"),
        ((403, DATE, b"{}"), "the secret lacks a right for this (403 at /token)"),
        ((200, DATE, b"{}"), "/token gave no token"),
    ],
)
def test_a_token_request_that_is_refused_names_the_settings(login, rest, answer, message):
    login.answers = [answer]
    with pytest.raises(AccessError) as raised:
        rest(**CLIENT).check()
    names = "settings.auth: client_id, client_secret, scope and token_url"
    assert str(raised.value) == f"erp: {message}; check {names}"


def test_a_token_endpoint_that_is_away_is_named_with_its_setting(rest):
    with pytest.raises(BusyError) as raised:
        rest(**CLIENT | {"token_url": "http://127.0.0.1:9/token"}).check()
    assert str(raised.value) == (
        "erp: cannot reach http://127.0.0.1:9 (connection refused); check the address of the token endpoint in settings"
    )


class TestRefreshToken:
    def test_is_traded_by_a_client_with_or_without_a_secret(self, login, rest):
        rest(**REFRESH).check()
        rest(**REFRESH, client_secret="x").check()
        sent = {"grant_type": "refresh_token", "refresh_token": "r0", "client_id": "belvedere"}
        assert login.forms == [sent, sent | {"client_secret": "x"}]

    def test_that_is_rotated_lives_on_in_the_process(self, login, rest):
        login.rotates = True
        connector = rest(**REFRESH)
        for _ in range(3):
            connector.check()
            login.valid = "another"
        assert [form["refresh_token"] for form in login.forms] == ["r0", "r1", "r2"]

    def test_that_is_rotated_lives_on_in_a_file_for_its_owner_alone(self, login, rest, tmp_path):
        login.rotates = True
        for _ in range(3):
            connector = rest(**REFRESH)
            connector.keep_tokens(tmp_path / "tokens")
            connector.check()
        assert [form["refresh_token"] for form in login.forms] == ["r0", "r1", "r2"]
        (kept,) = (path for path in (tmp_path / "tokens").iterdir() if path.suffix != ".lock")
        assert kept.read_text() == "r3"
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept.parent.iterdir()} == {0o600}
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        (note,) = connector.check().notes
        assert f"the newest is kept in {kept}: back up that file" in note

    def test_that_stays_leaves_no_secret_behind_and_no_note(self, rest, tmp_path):
        connector = rest(**REFRESH)
        connector.keep_tokens(tmp_path)
        assert connector.check().notes == ()
        assert [path.read_text() for path in tmp_path.iterdir()] == [""]

    def test_of_a_new_authorization_wins_over_what_was_kept(self, login, rest, tmp_path):
        login.rotates = True
        for token in ("r0", "again"):
            login.refresh = token
            connector = rest(**REFRESH | {"refresh_token": token})
            connector.keep_tokens(tmp_path)
            connector.check()
        assert [form["refresh_token"] for form in login.forms] == ["r0", "again"]

    def test_of_two_runs_at_once_is_sent_once(self, login, rest, tmp_path):
        login.rotates = True
        connectors = [rest(**REFRESH) for _ in range(4)]
        for connector in connectors:
            connector.keep_tokens(tmp_path)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: one.http._auth._valid(), connectors))
        sent = [form["refresh_token"] for form in login.forms]
        assert sent == ["r0", "r1", "r2", "r3"]

    def test_that_has_ended_asks_for_an_authorization(self, login, rest):
        login.refresh = "elsewhere"
        with pytest.raises(AccessError) as raised:
            rest(**REFRESH).check()
        assert str(raised.value) == (
            "erp: no token was given (400 invalid_grant at /token); check settings.auth: client_id, client_secret and "
            "refresh_token; if it has expired or was used elsewhere, authorize again and set the new refresh token"
        )

    def test_is_not_traded_where_the_next_one_could_not_be_kept(self, login, rest, tmp_path):
        (tmp_path / "tokens").write_text("no folder")
        connector = rest(**REFRESH)
        connector.keep_tokens(tmp_path / "tokens")
        with pytest.raises(SettingsError, match=r"the refresh token cannot be kept in .*tokens"):
            connector.check()
        assert login.forms == []

    def test_that_cannot_be_written_is_said_and_goes_on_within_the_process(self, login, rest, tmp_path, monkeypatch):
        def full(*args: Any) -> None:
            raise OSError(28, "No space left on device")

        login.rotates = True
        connector = rest(**REFRESH)
        connector.keep_tokens(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(SettingsError, match=r"No space left on device\); the one in the settings is void"):
                connector.check()
        connector.check()
        assert [form["refresh_token"] for form in login.forms] == ["r0", "r1"]

    def test_by_basic_needs_a_secret(self, rest):
        with pytest.raises(SettingsError, match="auth_style basic needs client_secret"):
            rest(**REFRESH, auth_style="basic")

    def test_of_a_projects_connection_is_kept_in_its_home(self, login, tmp_path):
        login.rotates = True
        folder = tmp_path / "defs" / "erp"
        folder.mkdir(parents=True)
        settings = {"base_url": login.api.url, "auth": REFRESH | {"token_url": f"{login.login.url}/token"}}
        attributes = {"connector": "rest", "role": "erp", "settings": settings | {"streams": {"a": {"path": "rows"}}}}
        document = {"type": "orchestration.components.Connection", "attributes": attributes}
        (folder / "defs.yaml").write_text(json.dumps(document))
        for _ in range(2):
            connector = Project.load(defs=tmp_path / "defs", home=tmp_path / "home").open("erp")
            connector.check()
            connector.close()
        assert [form["refresh_token"] for form in login.forms] == ["r0", "r1"]
        assert [path.name for path in Path(tmp_path / "home" / "tokens").glob("erp-*[!k]")]
