"""The unified record: who survives, what it sums up to, who looks after it."""

from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import pytest

from schemas.find import model
from transforms.conform.check import check_result
from transforms.customers.customers import customers

AS_OF = date(2026, 6, 30)
ROLES = {"hubspot": "crm", "odoo": "erp", "zendesk": "helpdesk"}
ONE = {"customer_id": "C1", "rule": "tax_id", "score": 1.0, "since": AS_OF, "is_oversized": False}


def account(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    base = {"connection": connection, "stream": "accounts", "account_id": account_id, "name": "Acme"}
    return {**base, "is_active": True, **fields}


def crosswalk_of(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {**ONE, "connection": connection, "account_id": account_id, **fields}


def of(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "s", "account_id": account_id, **fields}


@pytest.fixture
def unite(rows):
    """Unite small tables; what is not given is empty. By default every account is customer C1."""

    def build(accounts: list[dict[str, Any]], **tables: Any) -> list[dict[str, Any]]:
        usual = [crosswalk_of(row["connection"], row["account_id"]) for row in accounts]
        names = ("owners", "deals", "orders", "invoices", "tickets", "activities")
        table = customers(
            rows("accounts", *accounts),
            rows("crosswalk", *tables.pop("crosswalk", usual)),
            *(rows(name, *tables.get(name, [])) for name in names),
            as_of=AS_OF,
            reporting_currency="EUR",
            survivorship={},
            roles=ROLES,
        )
        result = table.to_pyarrow()
        assert check_result(ibis.memtable(result), model("customers")).to_pyarrow().num_rows == 0
        return sorted(result.to_pylist(), key=lambda row: row["customer_id"])

    return build


def invoice(number: str, on: date, amount: str, **fields: Any) -> dict[str, Any]:
    base = {"invoice_id": number, "kind": "invoice", "status": "posted", "invoice_on": on, "currency": "EUR"}
    return of("odoo", **{**base, "reporting_net_amount": Decimal(amount), **fields})


def test_no_row_counts_twice_when_many_tables_meet(unite):
    deal = {"status": "open", "currency": "EUR", "reporting_amount": Decimal("10.00"), "probability": 0.5}
    (customer,) = unite(
        [account("hubspot"), account("odoo"), account("zendesk")],
        deals=[of("hubspot", deal_id=str(n), **deal) for n in range(3)],
        orders=[of("odoo", order_id=str(n), status="confirmed", ordered_on=date(2026, 1, n + 1)) for n in range(4)],
        invoices=[invoice(str(n), date(2026, 5, 1), "1.00") for n in range(5)],
        tickets=[of("zendesk", ticket_id=str(n), status=status) for n, status in enumerate(("new", "open", "solved"))],
    )
    assert customer["pipeline_amount"] == Decimal("30.00")
    assert customer["weighted_pipeline_amount"] == Decimal("15.00")
    assert customer["revenue_amount"] == Decimal("5.00")
    assert (customer["tickets_open"], customer["accounts_count"]) == (2, 3)
    assert customer["first_order_on"] == date(2026, 1, 1)


def test_status_follows_orders_and_open_deals(unite):
    def order(account_id: str, status: str, on: date) -> dict[str, Any]:
        return of("odoo", account_id, order_id=account_id, status=status, ordered_on=on)

    expected = {
        "nothing": "prospect",
        "order": "active",
        "old order": "churned",
        "draft": "prospect",
        "open deal": "active",
        "lost deal": "prospect",
        "credit note": "prospect",
    }
    result = unite(
        [account("odoo", name) for name in expected],
        crosswalk=[crosswalk_of("odoo", name, customer_id=name) for name in expected],
        orders=[
            order("order", "confirmed", date(2025, 7, 1)),
            order("old order", "confirmed", date(2025, 6, 30)),
            order("draft", "draft", date(2026, 6, 1)),
        ],
        deals=[of("odoo", f"{status} deal", deal_id=status, status=status) for status in ("open", "lost")],
        invoices=[invoice("1", date(2026, 6, 1), "-5.00", kind="credit_note", account_id="credit note")],
    )
    assert {row["customer_id"]: row["status"] for row in result} == expected


def test_what_hangs_on_a_merged_account_counts_and_customers_without_accounts_vanish(unite):
    result = unite(
        [account("odoo", "1")],
        crosswalk=[
            crosswalk_of("odoo", "1"),
            crosswalk_of("odoo", "0", rule="redirect"),
            crosswalk_of("odoo", "9", customer_id="C9"),
        ],
        invoices=[
            invoice("1", date(2026, 6, 1), "1.00", account_id="0"),
            invoice("2", date(2026, 6, 1), "5.00", account_id="9"),
            invoice("3", date(2026, 6, 1), "5.00", account_id="unknown"),
        ],
    )
    assert [(row["customer_id"], row["revenue_amount"]) for row in result] == [("C1", Decimal("1.00"))]


def test_oversized_customers_are_marked(unite):
    (customer,) = unite(
        [account("odoo", "1"), account("odoo", "2")],
        crosswalk=[crosswalk_of("odoo", "1", is_oversized=True), crosswalk_of("odoo", "2", is_oversized=True)],
    )
    assert customer["is_oversized"]


@pytest.mark.parametrize(
    ("due", "open_amount", "state"),
    [(date(2026, 6, 1), "10", "overdue"), (date(2026, 8, 1), "10", "open"), (date(2026, 6, 1), "0", "paid")],
)
def test_receivables_tell_how_a_customer_pays(unite, due: date, open_amount: str, state: str):
    row = invoice("1", date(2026, 5, 1), "10", due_on=due, reporting_open_amount=Decimal(open_amount))
    (table,) = unite([account("odoo")], invoices=[row])
    assert (table["payment_state"], table["last_invoice_on"]) == (state, date(2026, 5, 1))


def test_who_never_had_an_invoice_has_no_payment_state(unite):
    (table,) = unite([account("odoo")])
    assert (table["payment_state"], table["last_invoice_on"]) == (None, None)
