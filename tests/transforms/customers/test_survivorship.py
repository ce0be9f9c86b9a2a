"""Which account's value survives, and where it is said to come from."""

import json
from datetime import UTC, datetime
from typing import Any

import ibis
import pytest

from transforms.customers.survivorship import survivors

ROLES = {"hubspot": "crm", "odoo": "erp", "zendesk": "helpdesk"}


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def account(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    base = {"connection": connection, "stream": "accounts", "account_id": account_id, "name": "Acme"}
    return {**base, "is_active": True, **fields}


@pytest.fixture
def survive(rows):
    def build(accounts: list[dict[str, Any]], survivorship: Any = None) -> list[dict[str, Any]]:
        members = rows("accounts", *accounts).mutate(customer_id=ibis.literal("C1"))
        return survivors(members, survivorship or {}, ROLES).to_pyarrow().to_pylist()

    return build


def test_erp_gives_the_address_and_crm_the_domain(survive):
    (customer,) = survive(
        [
            account("hubspot", name="Acme", city="Potsdam", domain="acme.com", employees=10),
            account("odoo", name="Acme GmbH", city="Berlin", domain="acme.de", tax_id="DE1", employees=7),
            account("zendesk", name="acme support", phone="030"),
        ]
    )
    assert (customer["name"], customer["city"], customer["domain"]) == ("Acme GmbH", "Berlin", "acme.com")
    assert (customer["tax_id"], customer["phone"], customer["employees"]) == ("DE1", "030", 10)


def test_provenance_names_the_account_that_each_value_came_from(survive):
    (customer,) = survive(
        [
            account("hubspot", domain="acme.com", updated_at=at(2, 3)),
            account("odoo", 'x"\\1', name="Acme GmbH"),
        ]
    )
    assert json.loads(customer["provenance"]) == {
        "name": {"connection": "odoo", "account_id": 'x"\\1', "at": None},
        "domain": {"connection": "hubspot", "account_id": "1", "at": "2026-01-02T03:00:00Z"},
    }


def test_inactive_accounts_give_way_to_active_ones(survive):
    (customer,) = survive(
        [account("odoo", name="Old Ltd", is_active=False, city="Bonn"), account("hubspot", name="New Ltd")]
    )
    assert (customer["name"], customer["city"]) == ("New Ltd", "Bonn")


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ({"rule": "priority", "order": ["zendesk"]}, "Acme Support Desk"),
        ({"rule": "priority", "order": ["crm", "erp"]}, "Acme"),
        ({"rule": "newest", "order": None}, "ACME"),
        ({"rule": "longest"}, "Acme Support Desk"),
        ({"rule": "most_frequent"}, "Acme"),
        ({"rule": "any"}, "Acme"),
    ],
)
def test_a_rule_of_survivorship_chooses(survive, rule, name):
    (customer,) = survive(
        [
            account("hubspot", "1", updated_at=at(1)),
            account("hubspot", "2", updated_at=at(2)),
            account("odoo", name="ACME", updated_at=at(9)),
            account("zendesk", name="Acme Support Desk", updated_at=at(3)),
        ],
        survivorship={"name": rule},
    )
    assert customer["name"] == name


def test_employees_may_be_summed_up(survive):
    (customer,) = survive(
        [account("hubspot", employees=10), account("odoo", employees=7), account("zendesk")],
        survivorship={"employees": {"rule": "sum"}},
    )
    assert customer["employees"] == 17
    assert json.loads(customer["provenance"])["employees"]["sum_of"] == 2


@pytest.mark.parametrize(
    ("field", "rule", "message"),
    [
        ("nmae", "newest", "no field 'nmae'"),
        ("name", "best", "no rule 'best'"),
        ("name", "sum", "only employees"),
    ],
)
def test_refuses_survivorship_that_makes_no_sense(survive, field, rule, message):
    with pytest.raises(ValueError, match=message):
        survive([account("odoo")], survivorship={field: {"rule": rule}})
