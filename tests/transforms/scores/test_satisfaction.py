"""Satisfaction against the public vectors."""

import json
from datetime import UTC, date, datetime, timedelta
from math import exp
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from transforms.scores.satisfaction import satisfaction, satisfaction_observations
from transforms.scores.satisfaction_priors import Priors, fit_priors, prior_statistics

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
        observed_rows = events.get(name, [])
        weights = [2 ** (-age / 180) for age, _ in observed_rows]
        row[f"w_{name}"] = sum(weights)
        row[f"wy_{name}"] = sum(weight * y for weight, (_, y) in zip(weights, observed_rows, strict=True))
        row[f"k_{name}"], row[f"n_{name}"] = float(sum(y for _, y in observed_rows)), len(observed_rows)
    row |= {"solved": 10, "rated": 4}
    kinds = {"customer_id": pa.string()} | dict.fromkeys(("tickets", "open_late", "solved", "rated"), pa.int64())
    schema = pa.schema([(name, kinds.get(name, pa.int64() if name.startswith("n_") else pa.float64())) for name in row])
    return con.create_table("observed", pa.Table.from_pylist([row], schema), temp=True, overwrite=True)


@pytest.fixture
def composite(con: Any, rows: Any) -> dict[str, Any]:
    """Score the public composite example."""
    late = 2 * min(max((30 - 24) / 24, 0), 3) / 3 + 1 * 0
    observed_rows = observed(
        con,
        csat=[(10, 1), (40, 1), (200, 0)],
        nps=[(30, 1)],
        sla_first=[(5, 1), (15, 1), (60, 0)],
        sla_resolution=[(5, 1), (15, 0), (60, 0)],
        reopen=[(5, 0), (15, 1), (60, 0)],
        backlog=100 * exp(-late),
    )
    result = satisfaction(rows("customers", {"customer_id": "Ca"}), observed_rows, as_of=END, priors=PRIORS)
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
    points = [reason["points"] for reason in json.loads(composite["reasons"])]
    assert len(points) == 7
    assert round(sum(points), 2) == round(composite["value"] - 80.05, 2)


def test_who_does_not_answer_is_counted_and_not_blamed(composite: dict[str, Any]):
    predicted = [composite[name] for name in ("response_rate", "response_low", "response_high")]
    assert predicted == pytest.approx([0.4, 0.1682, 0.6873], abs=1e-4)  # Wilson for 4 of 10


def test_wilson_interval_is_newcombes(con: Any, rows: Any):
    observed_rows = observed(con, csat=[(0, 1)] * 81 + [(0, 0)] * 182, backlog=None)
    result = (
        satisfaction(rows("customers", {"customer_id": "Ca"}), observed_rows, as_of=END, priors=PRIORS)
        .to_pyarrow()
        .to_pylist()[0]
    )
    assert (result["csat_low"], result["csat_high"]) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_who_was_never_heard_of_is_the_portfolio_with_no_confidence(con: Any, rows: Any):
    observed_rows = observed(con, backlog=None)
    result = (
        satisfaction(rows("customers", {"customer_id": "Cx"}), observed_rows, as_of=END, priors=PRIORS)
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


def crosswalk_rows(rows: Any) -> Any:
    shared = {"connection": "desk", "rule": "alone", "score": 1.0, "since": END, "is_oversized": False}
    return rows("crosswalk", {"customer_id": "Ca", "account_id": "a", **shared})


def ticket(number: str, created: float, solved: float | None = None, **more: Any) -> dict[str, Any]:
    """Make a ticket, created and solved so many days before the end."""
    row = {"connection": "desk", "stream": "tickets", "ticket_id": number, "account_id": "a", "priority": "high"}
    row |= {"status": "open" if solved is None else "solved", "created_at": NOW - timedelta(days=created)}
    return row | {"solved_at": None if solved is None else NOW - timedelta(days=solved)} | more


def rating(number: str, age: float, kind: str, score: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    row = {"connection": "desk", "stream": "ratings", "rating_id": number, "account_id": "a", "kind": kind}
    scale = {"score": score, "score_min": low, "score_max": high}
    return row | scale | {"rated_at": NOW - timedelta(days=age)} | more


def observations_of(
    rows: Any, tickets: list[dict[str, Any]], ratings: list[dict[str, Any]], as_of: date = END
) -> dict[str, Any]:
    fields = rows("tickets", *tickets), rows("ratings", *ratings)
    result = satisfaction_observations(crosswalk_rows(rows), *fields, as_of=as_of, targets=TARGETS)
    return result.to_pyarrow().to_pylist()[0]


def test_observations_join_ratings_through_their_ticket_and_forget_with_age(con: Any, rows: Any):
    item = ticket("t", 181, 180, reopens=1, first_reply_minutes=30.0, resolution_minutes=99999.0)
    through = {"account_id": None, "ticket_id": "t"}
    good = rating("r", 180, "csat", 1, 0, 1, **through)
    row = observations_of(rows, [item], [good, rating("old", 731, "csat", 1, 0, 1, **through)])
    assert (row["n_csat"], row["k_csat"]) == (1, 1.0)
    assert row["w_csat"] == pytest.approx(0.5, abs=1e-6)
    assert (row["k_sla_first"], row["k_sla_resolution"], row["k_reopen"]) == (1.0, 0.0, 1.0)
    assert row["backlog"] == 100.0
    assert (row["rated"], row["solved"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "score", "low", "high", "outcome"),
    [
        *(("csat", score, 1, 5, float(score >= 4)) for score in range(1, 6)),
        *(("csat", score, 1, 7, float(score >= 6)) for score in range(1, 8)),
        *(("csat", score, 1, 10, float(score >= 8)) for score in range(1, 11)),
        *(("nps", score, 0, 10, -1.0 if score <= 6 else float(score >= 9)) for score in range(11)),
        *(("ces", score, 1, 7, (score - 1) / 6) for score in range(1, 8)),
    ],
)
def test_an_answer_counts_by_its_scale(rows: Any, kind: str, score: float, low: float, high: float, outcome: float):
    row = observations_of(rows, [], [rating("r", 0, kind, score, low, high)])
    assert (row[f"n_{kind}"], row[f"k_{kind}"]) == (1, pytest.approx(outcome))


def test_open_tickets_weigh_by_priority_and_by_how_late_they_are(rows: Any):
    late = ticket("1", 30 / 24, priority="normal")
    row = observations_of(rows, [late, ticket("2", 10 / 24, priority="low"), ticket("3", 2, 1)], [])
    assert row["backlog"] == pytest.approx(84.648, abs=1e-3)  # of the public example: 30 hours where 24 were due
    assert row["open_late"] == 1


def test_what_came_later_changes_nothing(rows: Any):
    """A score of a past date knows nothing of replies, solutions and ratings after it."""
    past = END - timedelta(days=30)
    first = [ticket("1", 100, 90, resolution_minutes=14400.0, first_reply_minutes=10.0, reopens=0), ticket("2", 60)]
    later = [first[0], ticket("2", 60, 10, resolution_minutes=72000.0, first_reply_minutes=70000.0, reopens=0)]
    fields = [rating("1", 80, "csat", 5, 1, 5)]
    before = observations_of(rows, first, fields, past)
    assert before["backlog"] < 100
    assert (
        observations_of(rows, [*later, ticket("3", 20, 19)], [*fields, rating("2", 20, "csat", 1, 1, 5)], past)
        == before
    )


def test_priors_are_pooled_rates_where_few_have_data(con: Any):
    priors = fit_priors(prior_statistics(observed(con, csat=[(0, 1), (0, 1), (0, 0)], backlog=80.0)))
    assert priors.pi["csat"] == pytest.approx(2 / 3)
    assert priors.m["csat"] == 10
    assert "nps" not in priors.pi
    assert priors.backlog == 80.0


def portfolio(con: Any, counts: list[tuple[float, int]], name: str = "csat") -> Any:
    """Make customers of each of whom so many of so many observations were good."""
    table = {"customer_id": [f"C{number}" for number in range(len(counts))]}
    for item in ("csat", "nps", "ces", "sla_first", "sla_resolution", "reopen"):
        table[f"k_{item}"] = [float(k) if item == name else 0.0 for k, _ in counts]
        table[f"n_{item}"] = [n if item == name else 0 for _, n in counts]
    table["backlog"] = pa.nulls(len(counts), pa.float64())
    return con.create_table("portfolio", pa.table(table), temp=True, overwrite=True)


def test_the_prior_that_made_the_customers_is_found(con: Any):
    """Who has rated more is not more like the portfolio: the mean is that of customers, not of ratings."""
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 30, 4000)
    counts = [(int(rng.binomial(n, p)), int(n)) for n, p in zip(sizes, rng.beta(16, 4, 4000), strict=True)]
    result = fit_priors(prior_statistics(portfolio(con, counts)))
    assert result.pi["csat"] == pytest.approx(0.8, abs=0.01)
    assert result.m["csat"] == pytest.approx(20, rel=0.15)


def test_one_loud_customer_does_not_move_the_portfolio(con: Any):
    calm = [(8, 10)] * 20 + [(7, 10)] * 20 + [(9, 10)] * 20
    result = fit_priors(prior_statistics(portfolio(con, [*calm, (0, 400)])))
    assert result.pi["csat"] > 0.65  # the pooled rate is .48


def test_baseball_shrinks_as_efron_and_morris_published(con: Any):
    """Efron and Morris (1977): 18 players after 45 at bats, drawn to the mean .265, come 3.5 times nearer to the season."""
    hits = (18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7)
    season = (346, 298, 276, 222, 273, 270, 263, 210, 269, 230, 264, 256, 303, 264, 226, 285, 316, 200)
    published = (294, 289, 285, 280, 275, 275, 270, 266, 261, 261, 256, 256, 256, 256, 256, 252, 247, 242)
    result = fit_priors(
        prior_statistics(portfolio(con, [(k, 45) for k in hits] * 2))
    )  # twice, since 18 are too few for us
    pi, m = result.pi["csat"], result.m["csat"]
    shrunk = [(k + m * pi) / (45 + m) for k in hits]
    assert pi == pytest.approx(0.2654, abs=5e-4)
    assert shrunk == pytest.approx([value / 1000 for value in published], abs=0.006)
    raw = sum((k / 45 - value / 1000) ** 2 for k, value in zip(hits, season, strict=True))
    ours = sum((item - value / 1000) ** 2 for item, value in zip(shrunk, season, strict=True))
    assert raw / ours == pytest.approx(3.5, abs=0.25)


def test_nps_is_learnt_by_parts(con: Any):
    result = fit_priors(prior_statistics(portfolio(con, [(2, 4), (0, 4), (-2, 4), (4, 4)] * 20, "nps")))
    assert result.pi["nps"] == pytest.approx(0.25, abs=0.02)
    assert 2 <= result.m["nps"] <= 200
