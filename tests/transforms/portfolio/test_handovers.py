"""Handovers from executive to manager."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from transforms.portfolio.handovers import handovers

AS_OF = date(2026, 6, 30)
HELD = {"connection": "hubspot", "account_id": "1"}
READS = ("customers", "crosswalk", "owners", "deals", "orders", "invoices", "activities", "ownership")
MIA = {"customer_id": "C1", "role": "account_manager", "owner_key": "hubspot/am", "owner": "Mia"}


def won(deal_id: str, on: date, owner_id: str = "ae", **fields: Any) -> dict[str, Any]:
    return HELD | {"deal_id": deal_id, "status": "won", "close_on": on, "owner_id": owner_id} | fields


def talk(on: date, owner_id: str = "am", **fields: Any) -> dict[str, Any]:
    at = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    return HELD | {"kind": "call", "status": "done", "owner_id": owner_id, "happened_at": at} | fields


def invoiced(on: date) -> dict[str, Any]:
    return HELD | {"invoice_id": "1", "kind": "invoice", "status": "posted", "invoice_on": on}


@pytest.fixture
def handed(rows):
    def build(**fields: Any) -> list[dict[str, Any]]:
        tables = {
            "customers": [{"customer_id": "C1", "email": "info@hansa.example"}],
            "crosswalk": [HELD | {"customer_id": "C1"}],
            "owners": [
                {"connection": "hubspot", "owner_id": key, "name": name, "is_active": True}
                for key, name in (("ae", "Eve"), ("am", "Mia"))
            ],
            "ownership": [MIA | {"valid_from": date(2026, 1, 1)}],
            **fields,
        }
        table = handovers(*(rows(name, *tables.get(name, ())) for name in READS), as_of=AS_OF)
        return table.order_by("won_on", "deal_id").to_pyarrow().to_pylist()

    return build


def test_the_first_win_is_handed_over_within_two_weeks(handed):
    (row,) = handed(deals=[won("2", date(2026, 6, 25)), won("1", date(2026, 6, 20))])
    assert (row["deal_id"], row["executive"], row["manager"]) == ("1", "Eve", "Mia")
    assert (row["due_on"], row["status"], row["is_rewin"]) == (date(2026, 7, 4), "pending", False)
    assert row["missing_items"] == "order, meeting"


def test_the_managers_first_talk_accepts_it_and_nobody_elses(handed):
    deals = [won("1", date(2026, 6, 1))]
    (row,) = handed(deals=deals, activities=[talk(date(2026, 6, 10), "ae"), talk(date(2026, 5, 1))])
    assert (row["status"], row["accepted_on"]) == ("overdue", None)
    (row,) = handed(deals=deals, activities=[talk(date(2026, 6, 20)), talk(date(2026, 6, 12), kind="meeting")])
    assert (row["status"], row["accepted_on"], row["missing_items"]) == ("accepted", date(2026, 6, 12), "order")


def test_a_customer_that_buys_already_is_not_handed_over_again(handed):
    assert handed(deals=[won("1", date(2026, 6, 1))], invoices=[invoiced(date(2025, 6, 1))]) == []


def test_after_a_year_of_silence_a_win_is_a_rewin(handed):
    (row,) = handed(deals=[won("1", date(2026, 6, 1))], invoices=[invoiced(date(2025, 5, 31))])
    assert row["is_rewin"]


def test_who_won_it_and_keeps_it_has_nothing_to_hand_over(handed):
    assert handed(deals=[won("1", date(2026, 6, 1), "am")]) == []


def test_of_two_wins_on_one_day_the_first_by_id_counts(handed):
    (row,) = handed(deals=[won("b", date(2026, 6, 1)), won("a", date(2026, 6, 1))])
    assert row["deal_id"] == "a"


def test_what_is_missing_is_named(handed):
    (row,) = handed(deals=[won("1", date(2026, 6, 1))], ownership=[], customers=[{"customer_id": "C1"}])
    assert (row["missing_items"], row["manager"]) == ("manager, contact, order, meeting", None)


def test_later_facts_change_nothing(handed):
    deals = [won("1", date(2026, 6, 1))]
    later = {
        "activities": [talk(date(2026, 7, 1))],
        "invoices": [invoiced(date(2026, 7, 1))],
        "ownership": [
            MIA | {"valid_from": date(2026, 1, 1), "valid_to": date(2026, 7, 1)},
            MIA | {"owner_key": "x", "owner": "New", "valid_from": date(2026, 7, 1)},
        ],
    }
    assert handed(deals=[*deals, won("2", date(2026, 7, 1))], **later) == handed(deals=deals)
