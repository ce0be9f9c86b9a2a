"""Settings, and connectors by name: what is wrong is said in one line that names the choices."""

import pytest

from connectors.files.connector import Files
from connectors.hubspot.connector import HubSpot
from connectors.kit.errors import AccessError, SettingsError, choices
from connectors.kit.registry import find_connector, installed_connectors
from connectors.kit.settings import load, missing_env
from connectors.odoo.connector import Odoo
from connectors.rest.connector import Rest
from connectors.zendesk.connector import Zendesk

UNSET = missing_env("HUBSPOT_TOKEN", "crm/defs.yaml, line 6")


def said(kind, given) -> str:
    with pytest.raises(SettingsError) as raised:
        load(kind, "crm", given)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_right_settings_are_held():
    assert load(HubSpot, "crm", {"token": "t"}).base_url == "https://api.hubapi.com"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"token": UNSET}, "settings.token"),
        ({"token": {"deep": [f"x{UNSET}/y"]}}, "settings.token.deep.0"),
    ],
)
def test_a_secret_that_is_not_set_is_named_by_its_variable(given, where):
    with pytest.raises(AccessError) as raised:
        load(HubSpot, "crm", given)
    assert (
        str(raised.value)
        == f"connection 'crm': environment variable HUBSPOT_TOKEN is not set ({where} in crm/defs.yaml, line 6)"
    )


def test_a_setting_that_is_missing_is_named():
    assert said(HubSpot, {}) == "connection 'crm': settings: 'token' is missing"


def test_a_setting_that_is_unknown_is_named_with_the_nearest():
    assert "unknown setting 'portalid'; did you mean portal_id?" in said(HubSpot, {"token": "t", "portalid": 1})


def test_a_setting_deep_inside_is_named_with_the_nearest():
    streams = {"accounts": {"path": "a.csv", "delimeter": ";"}}
    found = said(Files, {"root": "x", "streams": streams})
    assert "unknown setting 'streams.accounts.delimeter'; did you mean delimiter?" in found


def test_a_wrong_value_is_never_shown():
    shown = said(Odoo, {"database": "d", "login": "l", "api_key": ["s3cret"], "page_size": "s3cret"})
    assert "s3cret" not in shown
    assert "'api_key'" in shown
    assert "'page_size'" in shown


@pytest.mark.parametrize("auth", ["oauth2_client_credentials", "oauth2_refresh_token"])
def test_a_setting_of_one_way_in_is_named_with_the_nearest_of_that_way(auth):
    given = {"base_url": "https://x", "auth": {"kind": auth, "token_uri": "t"}, "streams": {"a": {"path": "p"}}}
    assert f"unknown setting 'auth.{auth}.token_uri'; did you mean token_url" in said(Rest, given)


ADDRESSED = {
    HubSpot: {"token": "s3cret"},
    Odoo: {"database": "d", "login": "l", "api_key": "s3cret"},
    Zendesk: {"client_id": "c", "client_secret": "s3cret"},
    Rest: {"auth": {"kind": "header", "header": "X-Key", "secret": "s3cret"}, "streams": {"a": {"path": "p"}}},
}
OPEN = [
    "http://erp.lan:8069",
    "HTTP://erp.lan",
    "http://10.0.0.7/",
    "http://localhost.evil.example",
    "http://127.evil.example",
]
HERE = ["http://localhost:8069", "http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:8", "https://erp.lan"]


@pytest.mark.parametrize("kind", ADDRESSED)
class TestHttps:
    @pytest.mark.parametrize("url", OPEN)
    def test_a_secret_goes_nowhere_unencrypted(self, kind, url):
        assert said(kind, ADDRESSED[kind] | {"base_url": url}).startswith(
            "connection 'crm': settings: base_url is an http:// address: secrets and records would go to "
        )

    @pytest.mark.parametrize("url", HERE)
    def test_this_machine_and_https_are_fine(self, kind, url):
        assert load(kind, "crm", ADDRESSED[kind] | {"base_url": url}).base_url == url

    @pytest.mark.parametrize("url", OPEN)
    def test_one_may_insist(self, kind, url):
        assert load(kind, "crm", ADDRESSED[kind] | {"base_url": url, "allow_http": True}).base_url == url


OAUTH = {"kind": "oauth2_client_credentials", "client_id": "c", "client_secret": "s3cret"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://login.lan/token", "auth.token_url is an http:// address: secrets and records would go to login.lan"),
        ("oauth/token", "must be a whole address such as https://login.example.com/oauth/token"),
        ("ftp://login.lan/token", "must be a whole address"),
    ],
)
def test_a_token_endpoint_is_a_whole_address_of_https(url, message):
    given = {"base_url": "https://erp.example.com", "auth": OAUTH | {"token_url": url}, "streams": {"a": {"path": "p"}}}
    assert message in said(Rest, given)
    given["auth"]["token_url"] = "https://login.example.com/token"
    load(Rest, "crm", given)


def test_a_kind_of_paging_that_is_unknown_is_told_with_the_choices():
    streams = {"a": {"path": "p", "paging": {"kind": "pages"}}}
    found = said(Rest, {"base_url": "https://x", "streams": streams})
    assert "streams.a.paging" in found
    assert "'page'" in found


def test_the_connectors_are_found_by_their_files():
    assert {"files", "hubspot", "odoo", "rest", "zendesk"} <= set(installed_connectors())
    assert "kit" not in set(installed_connectors())
    for name, kind in {"files": Files, "hubspot": HubSpot, "odoo": Odoo, "rest": Rest, "zendesk": Zendesk}.items():
        assert find_connector(name) is kind


@pytest.mark.parametrize("name", ["hubpsot", "HubSpot", "kit", "_hubspot_wire", "../hubspot", ""])
def test_an_unknown_connector_is_told_with_the_choices(name):
    with pytest.raises(SettingsError) as raised:
        find_connector(name)
    assert repr(name) in str(raised.value)
    assert "hubspot" in str(raised.value).partition(": ")[2]


def test_the_nearest_names_come_first_else_all():
    assert choices("nmae", ["name", "city"]) == "did you mean name?"
    assert choices("qqq", ["b", "a"]) == "choices: a, b"
    assert choices("qqq", []) == "none are configured"
