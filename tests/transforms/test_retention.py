"""Retention on small tables."""

import json
from calendar import monthrange
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from transforms.bgbb import Parameters, probability, table
from transforms.retention import retention, retention_counts, retention_statistics

FIT = Parameters(0.589, 3.199, 0.928, 5.764)
END = date(2026, 6, 30)


def crosswalk(rows: Any, *names: str) -> Any:
    shared = {"connection": "erp", "rule": "alone", "score": 1.0, "since": END, "is_oversized": False}
    return rows("crosswalk", *({"customer_id": f"C{name}", "account_id": name, **shared} for name in names))


def order(name: str, on: str, amount: int = 100, status: str = "confirmed") -> dict[str, Any]:
    day = date.fromisoformat(on)
    shared = {"connection": "erp", "stream": "orders", "currency": "EUR", "status": status}
    return {
        "order_id": f"{name}{on}",
        "account_id": name,
        "ordered_on": day,
        "amount": amount,
        "reporting_amount": amount,
        **shared,
    }


def statistics(rows: Any, *orders: dict[str, Any], as_of: date = END) -> dict[str, dict[str, Any]]:
    names = sorted({one["account_id"] for one in orders})
    found = retention_statistics(
        crosswalk(rows, *names), rows("orders", *orders), rows("invoices"), as_of=as_of, event="order"
    )
    return {row["customer_id"]: row for row in found.to_pyarrow().to_pylist()}


def scored(
    con: Any, rows: Any, *orders: dict[str, Any], as_of: date = END, extra: tuple[str, ...] = ()
) -> dict[str, dict[str, Any]]:
    names = sorted({one["account_id"] for one in orders} | set(extra))
    people = rows("customers", *({"customer_id": f"C{name}", "status": "active"} for name in names))
    found = retention_statistics(
        crosswalk(rows, *names), rows("orders", *orders), rows("invoices"), as_of=as_of, event="order"
    )
    lookup = con.create_table(f"lookup_{id(orders)}", table(FIT, 3), temp=True, overwrite=True)
    result = retention(people, found, lookup, as_of=as_of, horizon=3, version="v")
    return {row["customer_id"]: row for row in result.to_pyarrow().to_pylist()}


def test_counts_months_and_not_orders(rows: Any):
    found = statistics(
        rows, order("a", "2026-01-03"), order("a", "2026-01-28"), order("a", "2026-03-01"), order("a", "2026-03-09")
    )["Ca"]
    assert (found["x"], found["tx"], found["n"]) == (1, 2, 4)


def test_ignores_drafts_cancellations_credits_and_the_future(rows: Any):
    found = statistics(
        rows,
        order("a", "2026-01-03"),
        order("a", "2026-02-03", status="draft"),
        order("a", "2026-03-03", status="cancelled"),
        order("a", "2026-04-03", amount=-5),
        order("a", "2026-07-01"),
    )["Ca"]
    assert (found["x"], found["tx"]) == (0, 0)


def test_observes_at_most_thirty_six_months(rows: Any):
    found = statistics(rows, order("a", "2019-01-03"), order("a", "2024-03-03"), order("a", "2026-05-03"))["Ca"]
    assert (found["x"], found["tx"], found["n"]) == (1, 26, 26)


def test_a_complete_month_scores_as_the_model_says(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")]
    found = scored(con, rows, *bought)["Ca"]
    alive, if_alive = probability(FIT, 3, 5, 9, 3)
    assert found["value"] == pytest.approx(100 * alive * if_alive, abs=0.01)
    assert found["p_alive"] == pytest.approx(alive, abs=1e-6)


def test_in_mid_month_the_score_lies_between(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")]
    middle = date(2026, 6, 12)
    part = 12 / monthrange(2026, 6)[1]
    before, after = (100 * a * b for a, b in (probability(FIT, 3, 5, 8, 3), probability(FIT, 3, 5, 9, 3)))
    assert scored(con, rows, *bought, as_of=middle)["Ca"]["value"] == pytest.approx(
        before * (1 - part) + after * part, abs=0.01
    )


def test_an_order_in_the_month_that_has_begun_counts_at_once(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2026-06-02")]
    alive, if_alive = probability(FIT, 2, 9, 9, 3)
    assert scored(con, rows, *bought, as_of=date(2026, 6, 12))["Ca"]["value"] == pytest.approx(
        100 * alive * if_alive, abs=0.01
    )


def test_reasons_add_up_to_the_value(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")] + [
        order("b", "2026-06-05")
    ]
    for found in scored(con, rows, *bought).values():
        reasons = json.loads(found["reasons"])
        assert sum(reason["points"] for reason in reasons) == pytest.approx(found["value"], abs=0.011)


def test_the_silent_are_told_apart_from_the_rare(con: Any, rows: Any):
    often = [order("a", f"2025-{month:02d}-05") for month in range(7, 13)]
    found = scored(con, rows, *often, order("b", "2024-01-05"), order("c", "2026-06-05"))
    assert found["Ca"]["reason"] == "SILENT"
    assert found["Cb"]["reason"] == "RARE"


def test_who_never_ordered_has_no_probability(con: Any, rows: Any):
    found = scored(con, rows, order("a", "2026-05-05"), extra=("nobody",))["Cnobody"]
    assert (found["value"], found["band"], found["reason"]) == (None, "unknown", "NO_DATA")


def test_without_a_model_nobody_has_a_probability(con: Any, rows: Any):
    people = rows("customers", {"customer_id": "Ca", "status": "active"})
    found = retention_statistics(
        crosswalk(rows, "a"), rows("orders", order("a", "2026-05-05")), rows("invoices"), as_of=END, event="order"
    )
    empty = con.create_table("no_lookup", table(FIT, 3).slice(0, 0), temp=True, overwrite=True)
    result = retention(people, found, empty, as_of=END, horizon=6, version="none").to_pyarrow().to_pylist()[0]
    assert (result["value"], result["band"]) == (None, "unknown")


def test_counts_group_customers_for_the_fit(rows: Any):
    bought = [order(name, on) for name in "ab" for on in ("2026-01-05", "2026-03-05")]
    found = retention_statistics(
        crosswalk(rows, "a", "b"), rows("orders", *bought), rows("invoices"), as_of=END, event="order"
    )
    assert retention_counts(found).to_pyarrow().to_pylist() == [{"x": 1, "tx": 2, "n": 4, "customers": 2}]


def test_invoices_stand_in_where_there_are_no_orders(rows: Any):
    invoice = {
        "connection": "erp",
        "stream": "invoices",
        "invoice_id": "1",
        "account_id": "a",
        "kind": "invoice",
        "status": "posted",
    }
    invoice |= {"reporting_net_amount": 10, "invoice_on": date(2026, 1, 5)}
    found = retention_statistics(
        crosswalk(rows, "a"), rows("orders"), rows("invoices", invoice), as_of=END, event="invoice"
    )
    assert found.to_pyarrow().num_rows == 1
    assert isinstance(found.to_pyarrow(), pa.Table)
