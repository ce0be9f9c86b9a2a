"""Retention on small tables."""

import json
from calendar import monthrange
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transforms.scores.models.base import Fit
from transforms.scores.models.find import find
from transforms.scores.order_events import order_events
from transforms.scores.retention import chances, retention
from transforms.scores.retention_statistics import (
    cells,
    contracts,
    month_part,
    months_later,
    retention_counts,
    retention_statistics,
    with_outcome,
)

FIT = Fit("bgbb", {"alpha": 0.589, "beta": 3.199, "gamma": 0.928, "delta": 5.764})
NBD = {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614}
END = date(2026, 6, 30)


def probability(x: int, tx: int, n: int, horizon: int) -> float:
    cell = {"x": x, "tx": tx, "n": n, "has_now": 0, "is_born_now": 0}
    predicted = find("bgbb").chances(
        FIT, {name: np.array([float(value)]) for name, value in cell.items()}, horizon=horizon
    )
    return float(predicted.p[0])


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


def events(rows: Any, *orders: dict[str, Any]) -> Any:
    names = sorted({item["account_id"] for item in orders})
    return order_events(crosswalk(rows, *names), rows("orders", *orders), rows("invoices"), event="order")


def statistics(rows: Any, *orders: dict[str, Any], as_of: date = END, **more: Any) -> dict[str, dict[str, Any]]:
    result = retention_statistics(events(rows, *orders), as_of=as_of, **more)
    return {row["customer_id"]: row for row in result.to_pyarrow().to_pylist()}


def scored(
    con: Any,
    rows: Any,
    *orders: dict[str, Any],
    as_of: date = END,
    extra: tuple[str, ...] = (),
    fit: Fit | None = FIT,
    model: str = "bgbb",
) -> dict[str, dict[str, Any]]:
    names = sorted({item["account_id"] for item in orders} | set(extra))
    people = rows("customers", *({"customer_id": f"C{name}", "status": "active"} for name in names))
    contract_months = 12 if model == "sbg" else None
    actual = retention_statistics(events(rows, *orders), as_of=as_of, contract_months=contract_months)
    model_cells = cells(actual, find(model)).to_pyarrow()
    predicted = chances(find(model), fit, model_cells, horizon=3, as_of=as_of)
    lookup = con.create_table(f"lookup_{id(orders)}", predicted, temp=True, overwrite=True)
    period = find(model).period
    result = retention(people, actual, lookup, as_of=as_of, horizon=3, version="v", period=period)
    return {row["customer_id"]: row for row in result.to_pyarrow().to_pylist()}


def test_counts_months_and_not_orders(rows: Any):
    result = statistics(
        rows, order("a", "2026-01-03"), order("a", "2026-01-28"), order("a", "2026-03-01"), order("a", "2026-03-09")
    )["Ca"]
    assert (result["x"], result["tx"], result["n"]) == (1, 2, 5)


def test_a_month_is_complete_on_its_last_day(rows: Any):
    bought = [order("a", on) for on in ("2026-01-03", "2026-06-01")]
    before = statistics(rows, *bought, as_of=date(2026, 6, 29))["Ca"]
    after = statistics(rows, *bought, as_of=END)["Ca"]
    assert (before["x"], before["n"], before["has_now"]) == (0, 4, 1)
    assert (after["x"], after["n"], after["has_now"]) == (1, 5, 0)
    assert (month_part(date(2026, 6, 29)), month_part(END)) == (29 / 30, 0)


def test_counts_order_days_from_the_first(rows: Any):
    bought = [order("a", on) for on in ("2026-01-01", "2026-01-11", "2026-03-02")]
    result = statistics(rows, *bought, with_gaps=True)["Ca"]
    assert (result["orders"], result["span_days"], result["known_days"]) == (2, 60, 180)
    assert result["log_gaps"] == pytest.approx(np.log(10) + np.log(50))


def test_an_order_before_the_window_is_remembered_and_not_counted(rows: Any):
    result = statistics(rows, order("a", "2020-01-05"), order("a", "2020-02-04"))["Ca"]
    assert (result["n"], result["orders"], result["usual_gap_days"]) == (None, None, 30.0)


def test_a_contract_is_a_chain_of_orders_that_breaks_when_one_is_overdue(rows: Any):
    yearly = [order("a", f"{year}-03-10") for year in (2023, 2024, 2025, 2026)]
    late = [order("b", on) for on in ("2023-01-10", "2024-02-10", "2025-01-10")]
    back = [order("c", on) for on in ("2021-01-10", "2022-01-10", "2024-06-10", "2025-06-10")]
    listed = contracts(events(rows, *yearly, *late, *back), as_of=END, months=12).order_by("customer_id", "is_last")
    result = [(row["customer_id"], row["renewals"], row["is_lapsed"]) for row in listed.to_pyarrow().to_pylist()]
    assert result == [("Ca", 3, 0), ("Cb", 2, 1), ("Cc", 1, 1), ("Cc", 1, 0)]


def test_what_comes_later_changes_nothing_of_what_was_known(rows: Any):
    """Statistics of a past date are those that were counted on that date."""
    bought = [order("a", on) for on in ("2025-01-05", "2025-04-05", "2025-08-05")] + [order("b", "2025-05-05")]
    later = [order("a", "2026-02-05"), order("b", "2026-03-05"), order("c", "2026-04-05")]
    more = {"as_of": date(2025, 9, 12), "with_gaps": True, "contract_months": 12}
    assert statistics(rows, *bought, **more) == statistics(rows, *bought, *later, **more)


def test_outcomes_are_what_came_within_the_horizon(rows: Any):
    bought = [order("a", on) for on in ("2026-01-05", "2026-04-30")] + [order("b", "2026-01-05")]
    bought += [order("c", on) for on in ("2026-01-05", "2026-05-01")] + [order("d", on) for on in ("2026-01-31",)]
    order_days = events(rows, *bought)
    after, until = date(2026, 1, 31), months_later(date(2026, 1, 31), 3)
    assert until == date(2026, 4, 30)
    result = with_outcome(retention_statistics(order_days, as_of=after), order_days, after=after, until=until)
    predicted = {row["customer_id"]: row["ordered"] for row in result.to_pyarrow().to_pylist()}
    assert predicted == {"Ca": 1, "Cb": 0, "Cc": 0, "Cd": 0}


def test_ignores_drafts_cancellations_credits_and_the_future(rows: Any):
    result = statistics(
        rows,
        order("a", "2026-01-03"),
        order("a", "2026-02-03", status="draft"),
        order("a", "2026-03-03", status="cancelled"),
        order("a", "2026-04-03", amount=-5),
        order("a", "2026-07-01"),
    )["Ca"]
    assert (result["x"], result["tx"]) == (0, 0)


def test_observes_at_most_thirty_six_months(rows: Any):
    result = statistics(rows, order("a", "2019-01-03"), order("a", "2024-03-03"), order("a", "2026-05-03"))["Ca"]
    assert (result["x"], result["tx"], result["n"]) == (1, 26, 27)


def test_a_complete_month_scores_as_the_model_says(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")]
    result = scored(con, rows, *bought)["Ca"]
    assert result["value"] == pytest.approx(24.69)  # the public example
    assert result["p_alive"] == pytest.approx(0.457908, abs=1e-6)
    assert result["silence_loss"] == pytest.approx(29.23)


def test_in_mid_month_the_score_lies_between(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")]
    middle = date(2026, 6, 12)
    part = 12 / monthrange(2026, 6)[1]
    before, after = (100 * probability(3, 5, n, 3) for n in (8, 9))
    assert scored(con, rows, *bought, as_of=middle)["Ca"]["value"] == pytest.approx(
        before * (1 - part) + after * part, abs=0.01
    )


def test_an_order_in_the_month_that_has_begun_counts_at_once(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2026-06-02")]
    result = scored(con, rows, *bought, as_of=date(2026, 6, 12))["Ca"]
    assert result["value"] == pytest.approx(100 * probability(2, 9, 9, 3), abs=0.01)


def test_reasons_add_up_to_the_value(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05", "2026-02-05")] + [
        order("b", "2026-06-05")
    ]
    for result in scored(con, rows, *bought).values():
        reasons = json.loads(result["reasons"])
        assert sum(reason["points"] for reason in reasons) == pytest.approx(result["value"], abs=0.011)


def test_the_silent_are_told_apart_from_the_rare(con: Any, rows: Any):
    often = [order("a", f"2025-{month:02d}-05") for month in range(7, 13)]
    result = scored(con, rows, *often, order("b", "2024-01-05"), order("c", "2026-06-05"))
    assert result["Ca"]["reason"] == "SILENT"
    assert result["Cb"]["reason"] == "RARE"


def test_who_never_ordered_has_no_probability(con: Any, rows: Any):
    result = scored(con, rows, order("a", "2026-05-05"), extra=("nobody",))["Cnobody"]
    assert (result["value"], result["band"], result["reason"]) == (None, "unknown", "NO_DATA")


def test_without_a_model_nobody_has_a_probability(con: Any, rows: Any):
    result = scored(con, rows, order("a", "2026-04-06"), order("a", "2026-05-06"), fit=None)["Ca"]
    assert (result["value"], result["band"], result["model_version"]) == (None, "unknown", "v")


def test_where_there_is_no_probability_the_facts_are_said(con: Any, rows: Any):
    bought = (order("a", "2026-04-06"), order("a", "2026-05-06"), order("old", "2020-05-06"))
    texts = {
        name: json.loads(row["reasons"])[0]["text"]
        for name, row in scored(con, rows, *bought, fit=None, extra=("none",)).items()
    }
    assert texts == {
        "Ca": "Last order 55 days ago; usually one every 30 days; too few customers ordered again to estimate a probability",
        "Cold": "Last order 2246 days ago; only the last 36 months count",
        "Cnone": "No order yet",
    }


def test_counts_group_customers_for_the_fit(rows: Any):
    bought = [order(name, on) for name in "ab" for on in ("2026-01-05", "2026-03-05")]
    result = retention_statistics(events(rows, *bought), as_of=END, with_gaps=True)
    counted = retention_counts(result, find("bgbb")).to_pyarrow().to_pylist()
    assert counted == [{"x": 1, "tx": 2, "n": 5, "customers": 2}]
    (counted,) = retention_counts(result, find("mbgcnbd")).to_pyarrow().to_pylist()
    assert (counted["orders"], counted["span_days"], counted["customers"]) == (1, 59, 2)
    assert counted["log_gaps"] == pytest.approx(2 * np.log(59), abs=2e-6)


def test_what_has_begun_this_month_makes_no_other_cells_for_the_fit(rows: Any):
    bought = [order(name, on) for name in "ab" for on in ("2026-01-05", "2026-03-05")] + [order("b", "2026-06-09")]
    result = retention_statistics(events(rows, *bought), as_of=date(2026, 6, 10))
    (fit,) = retention_counts(result, find("bgbb")).to_pyarrow().to_pylist()
    assert fit == {"x": 1, "tx": 2, "n": 4, "customers": 2}
    chances = retention_counts(result, find("bgbb"), for_fit=False).to_pyarrow().to_pylist()
    assert [row["has_now"] for row in chances] == [0, 1]


def test_invoices_stand_in_where_there_are_no_orders(rows: Any):
    shared = {"connection": "erp", "stream": "invoices", "account_id": "a", "reporting_net_amount": 10}
    listed = [
        {"kind": "invoice", "status": "posted"},
        {"kind": "credit_note", "status": "posted"},
        {"kind": "invoice", "status": "draft"},
    ]
    fields = [
        shared | item | {"invoice_id": str(number), "invoice_on": date(2026, number + 1, 5)}
        for number, item in enumerate(listed)
    ]
    result = order_events(crosswalk(rows, "a"), rows("orders"), rows("invoices", *fields), event="invoice")
    assert isinstance(result.to_pyarrow(), pa.Table)
    assert [row["on"] for row in result.to_pyarrow().to_pylist()] == [date(2026, 1, 5)]


def test_other_models_score_by_their_own_cells(con: Any, rows: Any):
    bought = [order("a", on) for on in ("2025-09-05", "2025-10-05", "2025-12-05")] + [order("b", "2024-09-05")]
    by_day = scored(con, rows, *bought, fit=Fit("mbgnbd", NBD), model="mbgnbd")
    assert by_day["Ca"]["value"] > by_day["Cb"]["value"] > 0
    assert by_day["Ca"]["months_observed"] == 9
    assert by_day["Ca"]["revenue_at_risk_amount"] > 0
    by_contract = scored(con, rows, *bought, fit=Fit("sbg", {"alpha": 1.0, "beta": 3.0}), model="sbg")
    assert (by_contract["Ca"]["value"], by_contract["Cb"]["value"]) == (75.0, 0.0)
    assert by_contract["Cb"]["reason"] == "SILENT"
