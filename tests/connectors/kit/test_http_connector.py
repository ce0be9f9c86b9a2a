"""What every connector that speaks HTTP has from its base: an account's budget, shared in a folder."""

import pytest

from connectors.files.connector import Files
from connectors.hubspot.connector import HubSpot
from connectors.kit.errors import BusyError
from connectors.kit.rate_limit.limiter import Limit, RateHeader
from connectors.kit.settings import load
from connectors.odoo.connector import Odoo
from connectors.rest.connector import Rest
from connectors.zendesk.connector import Zendesk

HUBSPOT = {"token": "s3cret"}
ODOO = {"base_url": "https://erp.example.com", "database": "one", "login": "me@example.com", "api_key": "s3cret"}
REST = {"base_url": "https://erp.example.com/api", "streams": {"accounts": {"path": "a"}}}
ZENDESK = {"base_url": "https://acme.example.com", "client_id": "belvedere", "client_secret": "s3cret"}


def shared(kind, folder, name="crm", **settings):
    """Share a connection's budget, spend one request, and tell the files there."""
    connector = kind(name, load(kind, name, settings))
    connector.share_rate_limit(folder)
    connector.http.budget.spend()
    connector.close()
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("kind", "settings"), [(HubSpot, HUBSPOT), (Odoo, ODOO), (Rest, REST), (Zendesk, ZENDESK)])
def test_two_connections_of_one_account_share_its_budget(tmp_path, kind, settings):
    (file,) = shared(kind, tmp_path, "one", **settings)
    assert shared(kind, tmp_path, "two", **settings, concurrency=2) - {f"{file[:-5]}.place0"} == {file}
    assert "s3cret" not in file
    assert "s3cret" not in (tmp_path / file).read_text()


@pytest.mark.parametrize(
    ("kind", "settings", "other"),
    [
        (HubSpot, HUBSPOT, {"token": "another"}),
        (HubSpot, HUBSPOT, {"base_url": "https://api-eu1.hubapi.com"}),
        (Odoo, ODOO, {"database": "two"}),
        (Odoo, ODOO, {"api_key": "another"}),
        (Rest, REST, {"auth": {"kind": "bearer", "token": "x"}}),
        (Zendesk, ZENDESK, {"client_secret": "another"}),
    ],
)
def test_another_account_has_a_budget_of_its_own(tmp_path, kind, settings, other):
    shared(kind, tmp_path, **settings)
    assert len(shared(kind, tmp_path, **(settings | other))) == 2


def test_a_connection_that_asks_nobody_has_none(tmp_path):
    Files("files", load(Files, "files", {"root": str(tmp_path), "streams": {}})).share_rate_limit(tmp_path / "budgets")
    assert not (tmp_path / "budgets").exists()


def test_a_project_shares_its_connections_budgets(project):
    project.open("hubspot").check()
    project.open("zendesk").check()
    assert len(list((project.home / "budgets").glob("*.json"))) == 2


def test_a_day_at_hubspot_keeps_a_tenth_for_writing_back(tmp_path):
    connector = HubSpot("crm", load(HubSpot, "crm", HUBSPOT))
    assert Limit(250_000, 86_400, reserve=0.1) in connector.limits()
    connector.http.budget.update_from_headers(
        {"X-HubSpot-RateLimit-Daily-Remaining": "25000", "X-HubSpot-RateLimit-Daily": "250000"}
    )
    with pytest.raises(BusyError, match="crm: the day's quota for reads is used up: 225,000 of 250,000, the rest is"):
        connector.http.budget.spend()
    connector.http.budget.spend(writes=True)
    connector.close()


@pytest.mark.parametrize("kind", [HubSpot, Zendesk])
def test_every_rate_header_belongs_to_a_limit(kind):
    connector = kind("crm", load(kind, "crm", HUBSPOT if kind is HubSpot else ZENDESK))
    windows = {(limit.scope, limit.seconds) for limit in connector.limits()}
    assert {(rate.scope, rate.seconds) for rate in kind.rate_headers} <= windows
    assert all(isinstance(rate, RateHeader) for rate in kind.rate_headers)
    connector.close()
