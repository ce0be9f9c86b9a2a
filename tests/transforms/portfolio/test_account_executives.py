"""What account executives have won."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from schemas.find import model
from transforms.portfolio.account_executives import account_executives

AS_OF = date(2026, 6, 30)
READS = ("crosswalk", "owners", "deals", "orders", "invoices", "handovers")


def handover(customer: str = "C1") -> dict[str, Any]:
    return {"connection": "crm", "account_id": customer}


def deal(deal_id: str, status: str, on: date, customer: str = "C1", **fields: Any) -> dict[str, Any]:
    table = datetime(on.year, on.month, on.day, 12, tzinfo=UTC) - timedelta(days=40)
    base = {"deal_id": deal_id, "status": status, "close_on": on, "owner_id": "e", "created_at": table}
    return handover(customer) | base | {"reporting_amount": Decimal(100)} | fields


@pytest.fixture
def won(rows: Any):
    def build(*deals: dict[str, Any], **fields: Any) -> dict[str, dict[str, Any]]:
        tables = {
            "crosswalk": [handover(name) | {"customer_id": name} for name in ("C1", "C2")],
            "owners": [
                {"connection": "crm", "owner_id": "e", "name": "Eve", "email": "Eve@acme.com", "is_active": True}
            ],
            "deals": deals,
            **fields,
        }
        table = account_executives(*(rows(name, *tables.get(name, ())) for name in READS), as_of=AS_OF)
        assert set(table.columns) == set(model("account_executives").to_schema().columns)
        result = table.to_pyarrow().to_pylist()
        assert {row["executive_key"] for row in result} <= {"eve@acme.com"}
        return {row["period"]: row for row in result}

    return build


def test_a_customer_is_new_once_and_its_invoices_count_from_the_win(won):
    invoices = [
        handover() | {"status": "posted", "kind": "invoice", "invoice_on": on, "reporting_net_amount": Decimal(amount)}
        for on, amount in ((date(2026, 6, 10), "70.50"), (date(2026, 6, 20), "9.50"), (date(2026, 7, 1), "1000"))
    ]
    row = won(deal("1", "won", date(2026, 6, 10)), deal("2", "won", date(2026, 6, 20)), invoices=invoices)["month"]
    assert (row["new_accounts"], row["new_bookings_amount"], row["new_revenue_amount"]) == (1, 100, 80)
    assert (row["deals_won"], row["cycle_days"]) == (2, 40)


def test_each_period_counts_what_was_closed_in_it(won):
    result = won(
        deal("1", "lost", date(2026, 6, 1)),
        deal("2", "won", date(2026, 5, 1)),
        deal("3", "won", date(2025, 9, 1), "C2"),
    )
    assert [(result[period]["deals_won"], result[period]["deals_lost"]) for period in ("month", "quarter", "year")] == [
        (0, 1),
        (1, 1),
        (2, 1),
    ]
    assert result["year"]["win_rate"] == pytest.approx(2 / 3, abs=1e-4)


def test_the_open_pipeline_is_weighed(won):
    row = won(deal("1", "open", date(2026, 9, 1), probability=0.333333))["month"]
    assert (row["weighted_pipeline_amount"], row["win_rate"]) == (Decimal("33.33"), None)


def test_handovers_count_when_they_are_due_or_accepted(won):
    base = {"executive_key": "eve@acme.com", "due_on": date(2026, 6, 15)}
    late, early = base | {"accepted_on": date(2026, 6, 20)}, base | {"accepted_on": date(2026, 6, 10)}
    coming = base | {"due_on": date(2026, 7, 10)}
    row = won(deal("1", "won", date(2026, 6, 1)), handovers=[late, early, base, coming])["month"]
    assert (row["handovers"], row["handovers_on_time"], row["handover_rate"]) == (3, 1, pytest.approx(1 / 3, abs=1e-4))


def test_customers_that_left_soon_are_counted(won):
    deals = [deal("1", "won", date(2025, 3, 1)), deal("2", "won", date(2025, 3, 1), "C2")]
    orders = [handover("C2") | {"status": "confirmed", "ordered_on": date(2026, 1, 1)}]
    row = won(*deals, orders=orders)["year"]
    assert (row["early_accounts"], row["early_churned"], row["early_churn"]) == (2, 1, 0.5)


def test_later_facts_change_nothing(won):
    later = [handover() | {"status": "confirmed", "ordered_on": date(2026, 7, 2)}]
    plain = deal("1", "won", date(2026, 6, 1))
    assert won(plain, deal("2", "won", date(2026, 7, 1), "C2"), orders=later) == won(plain)
