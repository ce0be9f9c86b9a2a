"""What hangs on a customer, summed up exactly."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import ibis
import pytest

from transforms.customers.rollups import deal_totals, invoice_totals, last_contact, money

AS_OF = date(2026, 6, 30)


def of(connection: str, account_id: str = "1", **fields: Any) -> dict[str, Any]:
    return {"connection": connection, "stream": "s", "account_id": account_id, **fields}


@pytest.fixture
def owned(rows):
    """Make a small table whose rows all belong to one customer."""

    def build(table: str, *fields: dict[str, Any]) -> Any:
        return rows(table, *fields).mutate(customer_id=ibis.literal("C1"))

    return build


def single_row(table: Any) -> dict[str, Any]:
    (result,) = table.to_pyarrow().to_pylist()
    return result


def invoice(number: str, on: date, amount: str, **fields: Any) -> dict[str, Any]:
    base = {"invoice_id": number, "kind": "invoice", "status": "posted", "invoice_on": on, "currency": "EUR"}
    return of("odoo", **{**base, "reporting_net_amount": Decimal(amount), **fields})


def test_sums_up_posted_invoices_and_credit_notes_exactly(owned):
    customer = single_row(
        invoice_totals(
            owned(
                "invoices",
                invoice("1", date(2026, 6, 30), "100.10", reporting_open_amount=Decimal("60.10"), due_on=AS_OF),
                invoice(
                    "2",
                    date(2025, 7, 1),
                    "50.05",
                    kind="credit_note",
                    reporting_open_amount=Decimal("-10.00"),
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
            ),
            AS_OF,
        )
    )
    amounts = ("revenue_l12_amount", "revenue_p12_amount", "revenue_amount", "open_amount", "overdue_amount")
    expected = [Decimal(text) for text in ("150.15", "8.01", "158.18", "57.10", "7.00")]
    assert [customer[name] for name in amounts] == expected
    assert (customer["first_invoice_on"], customer["last_invoice_on"]) == (date(2024, 6, 30), AS_OF)


def test_weighs_deals_in_decimals_and_rounds_half_to_even(owned):
    deals = [("1", "0.01", 0.5), ("2", "100.00", 0.1), ("3", "99.00", None)]
    fields = [
        of("hubspot", deal_id=key, status="open", reporting_amount=Decimal(amount), probability=chance)
        for key, amount, chance in deals
    ]
    table = deal_totals(owned("deals", *fields), AS_OF)
    customer = single_row(table.mutate(weighted_pipeline_amount=money(table.weighted_pipeline_amount)))
    assert customer["weighted_pipeline_amount"] == Decimal("10.00")


def test_counts_deals_won_and_lost_up_to_the_day(owned):
    days = [("won", date(2026, 6, 1)), ("won", date(2026, 7, 1)), ("lost", None), ("open", date(2026, 9, 1))]
    deals = [of("hubspot", deal_id=str(n), status=status, close_on=on) for n, (status, on) in enumerate(days)]
    customer = single_row(deal_totals(owned("deals", *deals), AS_OF))
    assert (customer["deals_won"], customer["deals_lost"]) == (1, 1)


def test_last_contact_has_happened(owned):
    def activity(number: int, when: datetime, status: str | None) -> dict[str, Any]:
        return of("hubspot", activity_id=str(number), kind="call", status=status, happened_at=when)

    customer = single_row(
        last_contact(
            owned(
                "activities",
                activity(1, datetime(2026, 6, 30, 23, 59, tzinfo=UTC), "done"),
                activity(2, datetime(2026, 7, 1, tzinfo=UTC), "done"),
                activity(3, datetime(2026, 1, 2, tzinfo=UTC), None),
                activity(4, datetime(2026, 6, 30, 23, 59, 30, tzinfo=UTC), "planned"),
            ),
            AS_OF,
        )
    )
    assert customer["last_contact_at"] == datetime(2026, 6, 30, 23, 59, tzinfo=UTC)
