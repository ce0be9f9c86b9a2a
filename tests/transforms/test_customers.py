"""The unified record: who survives, what it sums up to, who looks after it."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.find import model
from transforms.check import check_result
from transforms.customers import customers

AS_OF = date(2026, 6, 30)
ROLES = {"hubspot": "crm", "odoo": "erp", "zendesk": "helpdesk"}
ONE = {"customer_id": "C1", "rule": "tax_id", "score": 1.0, "since": AS_OF, "is_oversized": False}


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def account(connection: str, account_id: str = "1", **given: Any) -> dict[str, Any]:
    base = {"connection": connection, "stream": "accounts", "account_id": account_id, "name": "Acme"}
    return {**base, "is_active": True, **given}


def known(connection: str, account_id: str = "1", **given: Any) -> dict[str, Any]:
    return {**ONE, "connection": connection, "account_id": account_id, **given}


def of(connection: str, account_id: str = "1", **given: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "s", "account_id": account_id, **given}


@pytest.fixture
def unite(rows):
    """Unite small tables; what is not given is empty. By default every account is customer C1."""

    def build(accounts: list[dict[str, Any]], **tables: Any) -> list[dict[str, Any]]:
        survivorship = tables.pop("survivorship", {})
        usual = [known(row["connection"], row["account_id"]) for row in accounts]
        names = ("owners", "deals", "orders", "invoices", "tickets", "activities")
        table = customers(
            rows("accounts", *accounts),
            rows("crosswalk", *tables.pop("crosswalk", usual)),
            *(rows(name, *tables.get(name, [])) for name in names),
            as_of=AS_OF,
            reporting_currency="EUR",
            survivorship=survivorship,
            roles=ROLES,
        )
        assert check_result(table, model("customers")).count().to_pyarrow().as_py() == 0
        return sorted(table.to_pyarrow().to_pylist(), key=lambda row: row["customer_id"])

    return build


def test_erp_gives_the_address_and_crm_the_domain(unite):
    (customer,) = unite(
        [
            account("hubspot", name="Acme", city="Potsdam", domain="acme.com", employees=10),
            account("odoo", name="Acme GmbH", city="Berlin", domain="acme.de", tax_id="DE1", employees=7),
            account("zendesk", name="acme support", phone="030"),
        ]
    )
    assert (customer["name"], customer["city"], customer["domain"]) == ("Acme GmbH", "Berlin", "acme.com")
    assert (customer["tax_id"], customer["phone"], customer["employees"]) == ("DE1", "030", 10)
    assert (customer["connections"], customer["accounts_count"]) == ("hubspot, odoo, zendesk", 3)


def test_provenance_names_the_account_that_each_value_came_from(unite):
    (customer,) = unite(
        [
            account("hubspot", domain="acme.com", updated_at=at(2, 3)),
            account("odoo", 'x"\\1', name="Acme GmbH"),
        ]
    )
    assert json.loads(customer["provenance"]) == {
        "name": {"connection": "odoo", "account_id": 'x"\\1', "at": None},
        "domain": {"connection": "hubspot", "account_id": "1", "at": "2026-01-02T03:00:00Z"},
    }


def test_inactive_accounts_stay_members_but_give_way_to_active_ones(unite):
    (customer,) = unite(
        [account("odoo", name="Old Ltd", is_active=False, city="Bonn"), account("hubspot", name="New Ltd")]
    )
    assert (customer["name"], customer["city"], customer["accounts_count"]) == ("New Ltd", "Bonn", 2)


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
def test_a_rule_of_survivorship_chooses(unite, rule, name):
    (customer,) = unite(
        [
            account("hubspot", "1", updated_at=at(1)),
            account("hubspot", "2", updated_at=at(2)),
            account("odoo", name="ACME", updated_at=at(9)),
            account("zendesk", name="Acme Support Desk", updated_at=at(3)),
        ],
        survivorship={"name": rule},
    )
    assert customer["name"] == name


def test_employees_may_be_summed_up(unite):
    (customer,) = unite(
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
def test_refuses_survivorship_that_makes_no_sense(unite, field, rule, message):
    with pytest.raises(ValueError, match=message):
        unite([account("odoo")], survivorship={field: {"rule": rule}})


def invoice(number: str, on: date, amount: str, **given: Any) -> dict[str, Any]:
    base = {"invoice_id": number, "kind": "invoice", "status": "posted", "invoice_on": on, "currency": "EUR"}
    return of("odoo", **{**base, "reporting_net_amount": Decimal(amount), **given})


def test_sums_up_posted_invoices_and_credit_notes_exactly(unite):
    (customer,) = unite(
        [account("odoo"), account("hubspot")],
        invoices=[
            invoice("1", date(2026, 6, 30), "100.10", reporting_open_amount=Decimal("60.10"), due_on=AS_OF),
            invoice(
                "2", date(2025, 7, 1), "50.05", kind="credit_note", reporting_open_amount=Decimal("-10.00")
            ),
            invoice(
                "3",
                date(2025, 6, 30),
                "7.00",
                reporting_open_amount=Decimal("7.00"),
                due_on=date(2025, 7, 30),
            ),
            invoice("4", date(2024, 7, 1), "1.01"),
            invoice("5", date(2024, 6, 30), "0.02"),
            invoice("6", date(2026, 6, 1), "999.00", status="draft"),
            invoice("7", date(2026, 6, 1), "999.00", status="cancelled"),
            invoice("8", date(2026, 7, 1), "999.00"),
        ],
    )
    amounts = ("revenue_l12_amount", "revenue_p12_amount", "revenue_amount", "open_amount", "overdue_amount")
    expected = [Decimal(text) for text in ("150.15", "8.01", "158.18", "57.10", "7.00")]
    assert [customer[name] for name in amounts] == expected
    assert (customer["first_order_on"], customer["last_order_on"]) == (date(2024, 6, 30), AS_OF)


def test_no_row_counts_twice_when_many_tables_meet(unite):
    deal = {"status": "open", "currency": "EUR", "reporting_amount": Decimal("10.00"), "probability": 0.5}
    (customer,) = unite(
        [account("hubspot"), account("odoo"), account("zendesk")],
        deals=[of("hubspot", deal_id=str(n), **deal) for n in range(3)],
        orders=[
            of("odoo", order_id=str(n), status="confirmed", ordered_on=date(2026, 1, n + 1)) for n in range(4)
        ],
        invoices=[invoice(str(n), date(2026, 5, 1), "1.00") for n in range(5)],
        tickets=[
            of("zendesk", ticket_id=str(n), status=status)
            for n, status in enumerate(("new", "open", "solved"))
        ],
    )
    assert customer["pipeline_amount"] == Decimal("30.00")
    assert customer["weighted_pipeline_amount"] == Decimal("15.00")
    assert customer["revenue_amount"] == Decimal("5.00")
    assert (customer["tickets_open"], customer["accounts_count"]) == (2, 3)
    assert customer["first_order_on"] == date(2026, 1, 1)


def test_weighs_deals_in_decimals_and_rounds_half_to_even(unite):
    deals = [("1", "0.01", 0.5), ("2", "100.00", 0.1), ("3", "99.00", None)]
    (customer,) = unite(
        [account("hubspot")],
        deals=[
            of("hubspot", deal_id=key, status="open", reporting_amount=Decimal(amount), probability=chance)
            for key, amount, chance in deals
        ],
    )
    assert customer["weighted_pipeline_amount"] == Decimal("10.00")


def test_counts_deals_won_and_lost_up_to_the_day(unite):
    days = [("won", date(2026, 6, 1)), ("won", date(2026, 7, 1)), ("lost", None), ("open", date(2026, 9, 1))]
    (customer,) = unite(
        [account("hubspot")],
        deals=[
            of("hubspot", deal_id=str(n), status=status, close_on=on) for n, (status, on) in enumerate(days)
        ],
    )
    assert (customer["deals_won"], customer["deals_lost"]) == (1, 1)


@pytest.mark.parametrize(
    ("tables", "status"),
    [
        ({}, "prospect"),
        ({"orders": [of("odoo", order_id="1", status="confirmed", ordered_on=date(2025, 7, 1))]}, "active"),
        ({"orders": [of("odoo", order_id="1", status="confirmed", ordered_on=date(2025, 6, 30))]}, "churned"),
        ({"orders": [of("odoo", order_id="1", status="draft", ordered_on=date(2026, 6, 1))]}, "prospect"),
        ({"deals": [of("odoo", deal_id="1", status="open")]}, "active"),
        ({"deals": [of("odoo", deal_id="1", status="lost")]}, "prospect"),
        ({"invoices": [invoice("1", date(2026, 6, 1), "-5.00", kind="credit_note")]}, "prospect"),
    ],
)
def test_status_follows_orders_and_open_deals(unite, tables, status):
    (customer,) = unite([account("odoo")], **tables)
    assert customer["status"] == status


def test_last_contact_has_happened(unite):
    def activity(number: int, when: datetime, status: str | None) -> dict[str, Any]:
        return of("hubspot", activity_id=str(number), kind="call", status=status, happened_at=when)

    (customer,) = unite(
        [account("hubspot")],
        activities=[
            activity(1, datetime(2026, 6, 30, 23, 59, tzinfo=UTC), "done"),
            activity(2, datetime(2026, 7, 1, tzinfo=UTC), "done"),
            activity(3, at(2), None),
            activity(4, datetime(2026, 6, 30, 23, 59, 30, tzinfo=UTC), "planned"),
        ],
    )
    assert customer["last_contact_at"] == datetime(2026, 6, 30, 23, 59, tzinfo=UTC)


def test_what_hangs_on_a_merged_account_counts_and_customers_without_accounts_vanish(unite):
    found = unite(
        [account("odoo", "1")],
        crosswalk=[
            known("odoo", "1"),
            known("odoo", "0", rule="redirect"),
            known("odoo", "9", customer_id="C9"),
        ],
        invoices=[
            invoice("1", date(2026, 6, 1), "1.00", account_id="0"),
            invoice("2", date(2026, 6, 1), "5.00", account_id="9"),
            invoice("3", date(2026, 6, 1), "5.00", account_id="unknown"),
        ],
    )
    assert [(row["customer_id"], row["revenue_amount"]) for row in found] == [("C1", Decimal("1.00"))]


def test_oversized_customers_are_marked(unite):
    (customer,) = unite(
        [account("odoo", "1"), account("odoo", "2")],
        crosswalk=[known("odoo", "1", is_oversized=True), known("odoo", "2", is_oversized=True)],
    )
    assert customer["is_oversized"]


def owner(connection: str, owner_id: str, **given: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "owners", "owner_id": owner_id, "is_active": True, **given}


def test_managers_and_executives_follow_the_roles_of_owners(unite):
    (customer,) = unite(
        [account("hubspot", owner_id="am"), account("odoo", owner_id="ae")],
        owners=[
            owner("hubspot", "am", name="Mia", role="account_manager"),
            owner("odoo", "ae", name="Eve", role="account_executive"),
        ],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", "Eve")


def test_who_won_the_first_deal_is_the_executive(unite):
    deals = [("2", "b", date(2026, 2, 1)), ("1", "a", date(2026, 1, 1)), ("0", "am", date(2025, 1, 1))]
    (customer,) = unite(
        [account("hubspot", owner_id="am")],
        owners=[
            owner("hubspot", "a", name="Ann"),
            owner("hubspot", "b", name="Bob", role="account_executive"),
            owner("hubspot", "am", name="Mia", role="account_manager"),
        ],
        deals=[of("hubspot", deal_id=key, status="won", owner_id=who, close_on=on) for key, who, on in deals],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", "Ann")


def test_a_person_is_known_across_systems_by_mail(unite):
    (customer,) = unite(
        [account("odoo", owner_id="7")],
        owners=[
            owner("odoo", "7", email="MIA@acme.com"),
            owner("hubspot", "x", email="mia@acme.com", name="Mia", role="account_manager"),
        ],
    )
    assert (customer["account_manager"], customer["account_executive"]) == ("Mia", None)


def test_who_has_left_comes_last_and_helpdesk_agents_are_no_managers(unite):
    (customer,) = unite(
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
