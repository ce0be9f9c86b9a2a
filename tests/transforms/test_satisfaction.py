"""Satisfaction against the public vectors."""

import json
from datetime import UTC, date, datetime, timedelta
from math import exp
from typing import Any

import pyarrow as pa
import pytest

from transforms.satisfaction import Priors, fit_priors, satisfaction, satisfaction_observations

END = date(2026, 6, 30)
NOW = datetime(2026, 6, 30, 23, 59, 59, 999999, tzinfo=UTC)
TARGETS = {
    "first_reply": {"urgent": 60.0, "high": 60.0, "normal": 60.0, "low": 60.0},
    "resolution": {"urgent": 2880.0, "high": 1440.0, "normal": 1440.0, "low": 2880.0},
}
PRIORS = Priors(
    pi={"csat": 0.82, "nps": 0.20, "ces": 0.70, "sla_first": 0.90, "sla_resolution": 0.85, "reopen": 0.08},
    m={"csat": 10, "nps": 10, "ces": 10, "sla_first": 20, "sla_resolution": 20, "reopen": 20},
    backlog=90.0,
)


def observed(con: Any, **events: list[tuple[float, float]]) -> Any:
    """Sum (age in days, outcome) as the transform does, for one customer."""
    row: dict[str, Any] = {"customer_id": "Ca", "tickets": 3, "open_late": 2, "backlog": events.pop("backlog")}
    for name in ("csat", "nps", "ces", "sla_first", "sla_resolution", "reopen"):
        seen = events.get(name, [])
        weights = [2 ** (-age / 180) for age, _ in seen]
        row[f"w_{name}"] = sum(weights)
        row[f"wy_{name}"] = sum(weight * y for weight, (_, y) in zip(weights, seen, strict=True))
        row[f"k_{name}"], row[f"n_{name}"] = float(sum(y for _, y in seen)), len(seen)
    kinds = {"customer_id": pa.string(), "tickets": pa.int64(), "open_late": pa.int64()}
    schema = pa.schema([(name, kinds.get(name, pa.int64() if name.startswith("n_") else pa.float64())) for name in row])
    return con.create_table("observed", pa.Table.from_pylist([row], schema), temp=True, overwrite=True)


@pytest.fixture
def composite(con: Any, rows: Any) -> dict[str, Any]:
    """Score the public composite example."""
    late = 2 * min(max((30 - 24) / 24, 0), 3) / 3 + 1 * 0
    seen = observed(
        con,
        csat=[(10, 1), (40, 1), (200, 0)],
        nps=[(30, 1)],
        sla_first=[(5, 1), (15, 1), (60, 0)],
        sla_resolution=[(5, 1), (15, 0), (60, 0)],
        reopen=[(5, 0), (15, 1), (60, 0)],
        backlog=100 * exp(-late),
    )
    result = satisfaction(rows("customers", {"customer_id": "Ca"}), seen, as_of=END, priors=PRIORS)
    return result.to_pyarrow().to_pylist()[0]


def test_components_are_those_of_the_public_example(composite: dict[str, Any]):
    wanted = {
        "csat": 81.576,
        "nps": 63.272,
        "ces": 70,
        "sla_first": 87.703,
        "sla_resolution": 79.147,
        "reopen": 88.803,
        "backlog": 84.648,
    }
    assert {name: composite[name] for name in wanted} == pytest.approx(wanted, abs=6e-4)


def test_score_and_confidence_are_those_of_the_public_example(composite: dict[str, Any]):
    assert composite["value"] == pytest.approx(78.5896, abs=0.005)
    assert composite["confidence"] == pytest.approx(0.2132, abs=5e-5)
    assert sum(weight * PRIORS.value(name) for name, weight in PRIORS.active().items()) == pytest.approx(80.05)
    assert (composite["confidence_band"], composite["band"]) == ("low", "B")


def test_reasons_add_up_to_the_distance_from_the_portfolio(composite: dict[str, Any]):
    points = sum(reason["points"] for reason in json.loads(composite["reasons"]))
    assert points == pytest.approx(composite["value"] - 80.05, abs=0.03)


def test_wilson_interval_is_newcombes(con: Any, rows: Any):
    seen = observed(con, csat=[(0, 1)] * 81 + [(0, 0)] * 182, backlog=None)
    result = (
        satisfaction(rows("customers", {"customer_id": "Ca"}), seen, as_of=END, priors=PRIORS)
        .to_pyarrow()
        .to_pylist()[0]
    )
    assert (result["csat_low"], result["csat_high"]) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_who_was_never_heard_of_is_the_portfolio_with_no_confidence(con: Any, rows: Any):
    seen = observed(con, backlog=None)
    result = (
        satisfaction(rows("customers", {"customer_id": "Cx"}), seen, as_of=END, priors=PRIORS)
        .to_pyarrow()
        .to_pylist()[0]
    )
    assert (result["value"], result["confidence"], result["band"]) == (80.05, 0.0, "unknown")


def test_components_nobody_has_are_switched_off_for_all(con: Any, rows: Any):
    priors = Priors(pi={"csat": 0.8}, m={"csat": 10})
    assert priors.active() == {"csat": 1.0}
    result = satisfaction(
        rows("customers", {"customer_id": "Cx"}), observed(con, backlog=None), as_of=END, priors=priors
    )
    assert result.to_pyarrow().to_pylist()[0]["value"] == 80.0


def test_a_strong_prior_does_not_overflow(con: Any, rows: Any):
    priors = Priors(pi={"csat": 0.8823529411764706}, m={"csat": 200.0})
    result = satisfaction(
        rows("customers", {"customer_id": "Cx"}), observed(con, backlog=None), as_of=END, priors=priors
    )
    assert result.to_pyarrow().to_pylist()[0]["value"] == pytest.approx(88.24)


def test_observations_join_ratings_through_their_ticket_and_forget_with_age(con: Any, rows: Any):
    shared = {"connection": "desk", "rule": "alone", "score": 1.0, "since": END, "is_oversized": False}
    known = rows("crosswalk", {"customer_id": "Ca", "account_id": "a", **shared})
    ticket = {
        "connection": "desk",
        "stream": "tickets",
        "ticket_id": "t",
        "account_id": "a",
        "status": "solved",
        "priority": "high",
    }
    ticket |= {"created_at": NOW - timedelta(days=181), "solved_at": NOW - timedelta(days=180), "reopens": 1}
    ticket |= {"first_reply_minutes": 30.0, "resolution_minutes": 99999.0}
    rating = {"connection": "desk", "stream": "ratings", "rating_id": "r", "ticket_id": "t", "kind": "csat"}
    rating |= {"score": 1.0, "score_min": 0.0, "score_max": 1.0, "rated_at": NOW - timedelta(days=180)}
    late = rating | {"rating_id": "old", "rated_at": NOW - timedelta(days=731)}
    found = satisfaction_observations(
        known, rows("tickets", ticket), rows("ratings", rating, late), as_of=END, targets=TARGETS
    )
    row = found.to_pyarrow().to_pylist()[0]
    assert (row["n_csat"], row["k_csat"]) == (1, 1.0)
    assert row["w_csat"] == pytest.approx(0.5, abs=1e-6)
    assert (row["k_sla_first"], row["k_sla_resolution"], row["k_reopen"]) == (1.0, 0.0, 1.0)
    assert row["backlog"] == 100.0


def test_priors_are_pooled_rates_where_few_have_data(con: Any):
    priors = fit_priors(observed(con, csat=[(0, 1), (0, 1), (0, 0)], backlog=80.0))
    assert priors.pi["csat"] == pytest.approx(2 / 3)
    assert priors.m["csat"] == 10
    assert "nps" not in priors.pi
    assert priors.backlog == 80.0
