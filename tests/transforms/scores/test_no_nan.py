"""Whatever comes in, no score is "not a number", and every score keeps its table's rules."""

import json
import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.find import model as schema_of
from transforms.conform.check import check_result
from transforms.scores.models.base import Fit, Model
from transforms.scores.models.find import find, models
from transforms.scores.order_events import order_events
from transforms.scores.overrides import in_force, overridden
from transforms.scores.retention import BANDS as RETENTION_BANDS
from transforms.scores.retention import chances, retention
from transforms.scores.retention_statistics import cells, retention_statistics
from transforms.scores.satisfaction import BANDS as SATISFACTION_BANDS
from transforms.scores.satisfaction import satisfaction, satisfaction_observations
from transforms.scores.satisfaction_priors import Priors, fit_priors, prior_statistics

END = date(2026, 6, 17)
TARGETS = {
    name: {"urgent": 60.0, "high": 240.0, "normal": 480.0, "low": 1440.0} for name in ("first_reply", "resolution")
}
NUMBERS = count()
QUICK = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
FEW = settings(max_examples=3, phases=[Phase.explicit, Phase.generate], **QUICK)  # each is a whole build of a table
MANY = settings(max_examples=100, **QUICK)
POSITIVE = st.floats(-7, 9).map(math.exp)
NAMES = {
    "bgbb": ("alpha", "beta", "gamma", "delta"),
    "bgnbd": ("r", "alpha", "a", "b"),
    "mbgnbd": ("r", "alpha", "a", "b"),
    "mbgcnbd": ("r", "alpha", "a", "b"),
    "sbg": ("alpha", "beta"),
}


@st.composite
def histories(draw: st.DrawFn) -> dict[str, list[int]]:
    """Draw customers: the days before the end on which each ordered, some in the future."""
    ages = st.lists(st.integers(-40, 1600), min_size=0, max_size=30)
    odd = st.sampled_from([[0], [1200, 0], list(range(0, 1100, 1)), [1125], [1126], [17, 16], [47], [9000, 3]])
    drawn = draw(st.lists(ages | odd, min_size=1, max_size=12))
    return {f"C{number}": days for number, days in enumerate(drawn)}


def no_nan(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        for name, value in row.items():
            assert not isinstance(value, float) or math.isfinite(value), (name, row)
        for reason in json.loads(row["reasons"]):
            assert math.isfinite(reason["points"])


def scored(con: Any, rows: Any, history: dict[str, list[int]], model: Model, fit: Fit) -> Any:
    shared = {"connection": "erp", "rule": "alone", "score": 1.0, "since": END, "is_oversized": False}
    crosswalk = rows("crosswalk", *({"customer_id": name, "account_id": name, **shared} for name in history))
    order = {"connection": "erp", "stream": "orders", "currency": "EUR", "status": "confirmed"}
    listed = [
        order
        | {"account_id": name, "order_id": f"{name}{age}{index}", "ordered_on": END - timedelta(days=age)}
        | {"reporting_amount": Decimal("999999999.99") if index % 2 else Decimal("0.01")}
        for name, ages in history.items()
        for index, age in enumerate(ages)
    ]
    events = order_events(crosswalk, rows("orders", *listed), rows("invoices"), event="order")
    result = retention_statistics(events, as_of=END, contract_months=12, with_gaps=True)
    predicted = chances(model, fit, cells(result, model).to_pyarrow(), horizon=12, as_of=END)
    lookup = con.create_table(f"told_{next(NUMBERS)}", predicted, temp=True)
    people = rows("customers", *({"customer_id": name, "status": "active"} for name in history))
    table = retention(people, result, lookup, as_of=END, horizon=12, version="v", period=model.period)
    table = overridden(table, in_force((), END), "retention", RETENTION_BANDS, "critical")
    columns = schema_of("retention").to_schema().columns
    return table.cast({name: column.dtype.type for name, column in columns.items()})


def proven(result: Any, table: str) -> list[dict[str, Any]]:
    rows = result.to_pyarrow().to_pylist()
    no_nan(rows)
    assert check_result(result, schema_of(table)).to_pyarrow().to_pylist() == []
    return rows


def parameters(draw: st.DrawFn, name: str) -> Fit:
    """Draw a fit, as far off as the search for parameters allows."""
    if name in NAMES:
        values = {item: draw(POSITIVE) for item in NAMES[name]}
        return Fit(name, values | ({"k": float(draw(st.integers(1, 6)))} if name == "mbgcnbd" else {}))
    values = {"intercept": draw(st.floats(-50, 50))}
    for feature in ("recency", "frequency", "money", "age"):
        values |= {feature: draw(st.floats(-50, 50)), f"{feature}_mean": draw(st.floats(0, 9))}
        values |= {f"{feature}_spread": draw(st.floats(0.01, 9))}
    return Fit(name, values)


@st.composite
def cell(draw: st.DrawFn) -> dict[str, float]:
    """Draw what the statistics may say of a customer."""
    n = draw(st.integers(0, 36))
    tx = draw(st.integers(0, n))
    age_days = draw(st.integers(0, 1126))
    span = draw(st.integers(0, age_days))
    table = {
        "n": n,
        "tx": tx,
        "x": draw(st.integers(1, tx)) if tx else 0,
        "known_days": age_days,
        "span_days": span,
    }
    table |= {"orders": draw(st.integers(1, span)) if span else 0, "money": draw(st.integers(0, 40))}
    table |= {"is_born_now": draw(st.integers(0, 1)) if n == 0 else 0, "has_now": draw(st.integers(0, 1))}
    table["has_now"] *= 1 - table["is_born_now"]
    return table | {"renewals": draw(st.integers(0, 400)), "is_lapsed": draw(st.integers(0, 1))}


@pytest.mark.parametrize("name", models())
@MANY
@given(drawn=st.lists(cell(), min_size=1, max_size=8), data=st.data(), horizon=st.sampled_from([1, 3, 12, 60]))
def test_a_chance_lies_between_nothing_and_certainty(name: str, drawn: list[Any], data: Any, horizon: int):
    fit = data.draw(st.composite(parameters)(name))
    given_cells = {item: np.array([float(row[item]) for row in drawn]) for item in drawn[0]}
    with np.errstate(all="ignore"):
        predicted = find(name).chances(fit, given_cells, horizon=horizon, part=0.4)
    for values in (predicted.p, predicted.p_recent, predicted.p_alive, predicted.p_order_if_alive):
        assert values is None or ((values >= 0) & (values <= 1)).all()
    assert (predicted.p_recent >= predicted.p).all()
    assert np.isfinite(predicted.orders_if_alive).all()
    assert (predicted.orders_if_alive >= 0).all()


@pytest.mark.parametrize("name", ["bgbb", "rfm"])
@FEW
@given(history=histories(), data=st.data())
def test_retention_is_a_number_or_nothing(con: Any, rows: Any, name: str, history: dict[str, list[int]], data: Any):
    fit = data.draw(st.composite(parameters)(name))
    for row in proven(scored(con, rows, history, find(name), fit), "retention"):
        if row["value"] is not None:
            points = sum(reason["points"] for reason in json.loads(row["reasons"]))
            assert points == pytest.approx(row["value"], abs=0.011)


SCALES = {"csat": (1.0, 5.0), "nps": (0.0, 10.0), "ces": (1.0, 7.0)}
AGES = st.floats(-30, 900)
MINUTES = st.none() | st.sampled_from([0.0, math.inf, 1e300]) | st.floats(0, 1e6)


@st.composite
def rating(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(SCALES)))
    low, high = draw(st.just(SCALES[kind]) | st.sampled_from([(3.0, 3.0), (0.0, 1e300), (-1.0, 0.0)]))
    score = draw(st.floats(low, high))
    row = {
        "kind": kind,
        "score": score,
        "score_min": low,
        "score_max": high,
        "account_id": draw(st.sampled_from("abc")),
    }
    row |= {"ticket_id": draw(st.none() | st.sampled_from("01"))}
    return row | {"rated_at": at(draw(AGES)), "connection": "desk", "stream": "ratings"}


@st.composite
def ticket(draw: st.DrawFn) -> dict[str, Any]:
    age = draw(AGES)
    row = {"connection": "desk", "stream": "tickets", "account_id": draw(st.sampled_from("abc")), "created_at": at(age)}
    row |= {"status": draw(st.sampled_from(["new", "open", "hold", "solved", "closed"]))}
    row |= {"priority": draw(st.none() | st.sampled_from(["urgent", "high", "normal", "low"]))}
    row |= {"solved_at": draw(st.none() | st.just(at(age - draw(st.floats(0, 100)))))}
    row |= {"first_reply_minutes": draw(MINUTES), "resolution_minutes": draw(MINUTES)}
    return row | {"reopens": draw(st.none() | st.integers(0, 2**62))}


def at(age: float) -> datetime:
    return datetime.combine(END, time.max, UTC) - timedelta(days=age)


@FEW
@given(
    ratings=st.lists(rating(), max_size=20),
    tickets=st.lists(ticket(), max_size=20),
    weight=st.sampled_from([0.0, 0.35, 1e6]),
    strength=st.sampled_from([None, 2.0, 200.0]),
)
def test_satisfaction_is_always_a_number(
    con: Any, rows: Any, ratings: list[Any], tickets: list[Any], weight: float, strength: float | None
):
    shared = {"connection": "desk", "rule": "alone", "score": 1.0, "since": END, "is_oversized": False}
    crosswalk = rows("crosswalk", *({"customer_id": f"C{name}", "account_id": name, **shared} for name in "abc"))
    given_tickets = rows("tickets", *(row | {"ticket_id": str(number)} for number, row in enumerate(tickets)))
    given_ratings = rows("ratings", *(row | {"rating_id": str(number)} for number, row in enumerate(ratings)))
    observed_rows = satisfaction_observations(crosswalk, given_tickets, given_ratings, as_of=END, targets=TARGETS)
    priors = fit_priors(prior_statistics(observed_rows), {"csat": weight})
    if strength:
        priors = Priors(priors.pi, dict.fromkeys(priors.m, strength), priors.backlog, priors.weights)
    people = rows("customers", *({"customer_id": f"C{name}"} for name in "abcd"))
    columns = schema_of("satisfaction").to_schema().columns
    table = satisfaction(people, observed_rows, as_of=END, priors=priors)
    table = overridden(table, in_force((), END), "satisfaction", SATISFACTION_BANDS, "F")
    table = table.select(*columns).cast({name: column.dtype.type for name, column in columns.items()})
    for row in proven(table, "satisfaction"):
        points = [reason["points"] for reason in json.loads(row["reasons"])]
        shares = priors.active()
        portfolio = sum(share * priors.value(name) for name, share in shares.items()) if shares else row["value"]
        assert sum(points) == pytest.approx(row["value"] - portfolio, abs=0.011)
