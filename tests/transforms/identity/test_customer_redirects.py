"""Where customer ids live on that stand for no customer now."""

from datetime import date

import pytest

from transforms.identity.customer_redirects import customer_redirects


def row(account: str, customer: str, base: str = "", first: str = "", rule: str = "tax_id"):
    connection, account_id = account.split("/")
    ids = {"customer_id": customer, "base_id": base or customer, "first_id": first or base or customer}
    return {"connection": connection, "account_id": account_id, "rule": rule, "since": date(2026, 1, 1), **ids}


@pytest.fixture
def redirected(rows):
    def find(now, before=(), earlier=()):
        earlier_redirects = [{"customer_id": old, "redirected_to": new} for old, new in earlier]
        table = customer_redirects(
            rows("crosswalk", *now), rows("crosswalk", *before), rows("customer_redirects", *earlier_redirects)
        )
        return {item["customer_id"]: item["redirected_to"] for item in table.to_pyarrow().to_pylist()}

    return find


def test_an_id_merged_by_rule_or_by_judgement_redirects(redirected):
    now = [row("crm/1", "C1"), row("erp/1", "C1", "C1", "C2"), row("erp/3", "C1", "C3")]
    assert redirected(now) == {"C2": "C1", "C3": "C1"}


def test_an_id_that_only_the_last_crosswalk_knew_redirects(redirected):
    assert redirected([row("crm/1", "C1")], [row("crm/1", "C9")]) == {"C9": "C1"}


def test_a_redirect_follows_its_customer(redirected):
    now = [row("crm/1", "C1"), row("erp/2", "C1", "C1", "C2")]
    assert redirected(now, earlier=[("C7", "C2"), ("C8", "C1")]) == {"C2": "C1", "C7": "C1", "C8": "C1"}


def test_a_customer_that_is_one_again_is_no_redirect(redirected):
    now = [row("crm/1", "C1"), row("erp/2", "C2")]
    assert redirected(now, earlier=[("C2", "C1")]) == {}
