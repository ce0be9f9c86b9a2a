"""Account managers and executives, by the owners of accounts and deals."""

from datetime import date
from typing import Any

import ibis
import pytest

from transforms.customers.owner_roles import people

ROLES = {"hubspot": "crm", "odoo": "erp", "zendesk": "helpdesk"}


def of(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "s", "account_id": account_id, **fields}


account = of


@pytest.fixture
def look_after(rows):
    def build(accounts: list[dict[str, Any]], owners: Any = (), deals: Any = ()) -> list[dict[str, Any]]:
        stored = (
            rows(name, *fields).mutate(customer_id=ibis.literal("C1"))
            for name, fields in (("accounts", accounts), ("deals", deals))
        )
        return people(*stored, rows("owners", *owners), ROLES).to_pyarrow().to_pylist()

    return build


def owner(connection: str, owner_id: str, **fields: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "owners", "owner_id": owner_id, "is_active": True, **fields}


def test_managers_and_executives_follow_the_roles_of_owners(look_after):
    (customer,) = look_after(
        [account("hubspot", owner_id="am"), account("odoo", owner_id="ae")],
        owners=[
            owner("hubspot", "am", name="Mia", role="account_manager"),
            owner("odoo", "ae", name="Eve", role="account_executive"),
        ],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", "Eve")


def test_who_won_the_first_deal_is_the_executive(look_after):
    deals = [("2", "b", date(2026, 2, 1)), ("1", "a", date(2026, 1, 1)), ("0", "am", date(2025, 1, 1))]
    (customer,) = look_after(
        [account("hubspot", owner_id="am")],
        owners=[
            owner("hubspot", "a", name="Ann"),
            owner("hubspot", "b", name="Bob", role="account_executive"),
            owner("hubspot", "am", name="Mia", role="account_manager"),
        ],
        deals=[of("hubspot", deal_id=key, status="won", owner_id=who, close_on=on) for key, who, on in deals],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", "Ann")


def test_a_person_is_known_across_systems_by_mail(look_after):
    (customer,) = look_after(
        [account("odoo", owner_id="7")],
        owners=[
            owner("odoo", "7", email="MIA@acme.com"),
            owner("hubspot", "x", email="mia@acme.com", name="Mia", role="account_manager"),
        ],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", None)


def test_who_has_left_comes_last_and_helpdesk_agents_are_no_managers(look_after):
    (customer,) = look_after(
        [
            account("hubspot", "1", owner_id="old"),
            account("hubspot", "2", owner_id="new"),
            account("zendesk", owner_id="z"),
        ],
        owners=[
            owner("hubspot", "old", name="Old", role="account_manager", is_active=False),
            owner("hubspot", "new", name="New"),
            owner("zendesk", "z", name="Agent"),
        ],
    )
    assert customer["account_manager"] == "New"


def test_two_streams_of_owners_do_not_double_a_customer(look_after):
    twice = [owner("hubspot", "x", name="Mia"), owner("hubspot", "x", name="Mia") | {"stream": "teams"}]
    assert len(look_after([account("hubspot", owner_id="x")], owners=twice)) == 1


def test_a_customer_of_unknown_owners_has_nobody(look_after):
    assert look_after([account("hubspot", owner_id="ghost"), account("odoo")]) == []
