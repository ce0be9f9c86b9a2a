"""The sandbox's Zendesk grants access tokens that end, and refuses in the words of the real one."""

import pytest
import requests

CLIENT = {
    "grant_type": "client_credentials",
    "client_id": "belvedere",
    "client_secret": "sandbox-zendesk-secret",
}


def granted(sandbox, **changed):
    return requests.post(f"{sandbox.url}/zendesk/oauth/tokens", json=CLIENT | changed, timeout=5)


def me(sandbox, token):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{sandbox.url}/zendesk/api/v2/users/me.json", headers=headers, timeout=5)


def test_a_token_lives_for_half_an_hour_of_the_sandboxs_clock(sandbox):
    answer = granted(sandbox, scope="read").json()
    assert (answer["token_type"], answer["scope"], answer["expires_in"]) == ("bearer", "read", 1800)
    assert me(sandbox, answer["access_token"]).status_code == 200
    sandbox.clock.advance(1800)
    refused = me(sandbox, answer["access_token"])
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    assert me(sandbox, granted(sandbox).json()["access_token"]).status_code == 200


def test_tokens_are_revoked_before_their_time(sandbox):
    token = granted(sandbox).json()["access_token"]
    requests.delete(f"{sandbox.url}/_sandbox/tokens", timeout=5).raise_for_status()
    assert me(sandbox, token).json()["error"] == "invalid_token"


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_client_that_asks_wrongly_gets_no_token(sandbox, changed, status, error):
    refused = granted(sandbox, **changed)
    assert (refused.status_code, refused.json()["error"]) == (status, error)


def test_a_token_for_reading_does_not_write(sandbox):
    number = next(iter(sandbox.zendesk.tables["organizations"]))
    url = f"{sandbox.url}/zendesk/api/v2/organizations/update_many.json"
    body = {"organizations": [{"id": number, "name": "Renamed"}]}
    for scope, status in (("read", 403), ("read write", 200)):
        token = granted(sandbox, scope=scope).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.put(url, json=body, headers=headers, timeout=5).status_code == status
