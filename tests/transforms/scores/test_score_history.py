"""A day's scores taken down: computed and effective, frozen, and why they are not what they were."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.scores.score_history import score_history

THEN, NOW = date(2026, 6, 1), date(2026, 7, 1)
Days = list[tuple[date, dict[str, Any]]]


def reasons(**points: float) -> str:
    return json.dumps(
        [{"code": code, "text": f"{code} of {{x}}", "points": value} for code, value in points.items()],
        separators=(",", ":"),
    )


def customer(**fields: Any) -> dict[str, Any]:
    """Describe a customer's three scores by what matters to a test."""
    return {
        "value": 80.0,
        "band": "healthy",
        "version": "v1",
        "parts": {"BASE": 50.0, "PATTERN": 40.0, "SILENCE": -10.0},
        "confidence": 0.5,
        "satisfied": 70.0,
        "grade": "C",
    } | fields


@pytest.fixture
def run(con: Any, rows: Any):
    """Take down some days, one after the other, and list the last one's rows by score."""

    def build(*days: tuple[date, dict[str, Any]], compare: date | None = THEN) -> dict[str, dict[str, Any]]:
        history = rows("score_history")
        for as_of, c in days:
            effective = c.get("effective", c["value"])
            retention = {
                "value": c["value"],
                "value_effective": effective,
                "band": c["band"],
                "model_version": c["version"],
                "override_id": c.get("override"),
                "reasons": reasons(**c["parts"]) if c["value"] is not None else reasons(NO_DATA=0.0),
            }
            satisfaction = {
                "value": c["satisfied"],
                "value_effective": c["satisfied"],
                "band": c["grade"],
                "confidence": c["confidence"],
                "model_version": "s",
                "reasons": reasons(CSAT=-1.5),
            }
            tier = {"value": 6.0, "value_effective": 6.0, "tier_computed": "B", "tier": "A", "coverage": 0.7}
            item = {"customer_id": "C1"}
            criteria = [item | {"criterion": name, "contribution": 0.25} for name in ("reputation", "market_reach")]
            past = history.filter(history.as_of < as_of)
            table = score_history(
                rows("retention", item | retention),
                rows("satisfaction", item | satisfaction),
                rows("key_accounts", item | tier | {"model_version": "k", "reasons": "[]"}),
                rows("key_account_criteria", *criteria),
                past.filter(past.as_of == past.as_of.max()),
                history.filter(history.as_of == compare) if compare else history.limit(0),
                as_of=as_of,
                labels={"SILENCE": "Time since the last order"},
                most=3,
            )
            both = history.filter(history.as_of != as_of).union(table.select(*history.columns))
            history = con.create_table("history", both.to_pyarrow(), temp=True, overwrite=True)
            history = rows("score_history", *history.to_pyarrow().to_pylist())
        result = history.filter(history.as_of == days[-1][0]).to_pyarrow().to_pylist()
        assert len(result) == 3
        return {row["score"]: row for row in result}

    return build


def points(row: dict[str, Any]) -> dict[str, float]:
    return {item["code"]: item["points"] for item in json.loads(row["changes"])}


def test_a_score_says_what_it_is_and_keeps_its_parts(run):
    result = run((NOW, customer()))
    row = result["retention"]
    assert (row["state"], row["value"], row["value_effective"], row["band"]) == ("scored", 80, 80, "healthy")
    assert json.loads(row["parts"]) == {"BASE": 50, "PATTERN": 40, "SILENCE": -10}
    assert (row["delta"], row["changes"], row["compared_on"]) == (None, None, None)
    tier = result["key_account"]
    assert (tier["band"], tier["band_computed"], tier["confidence"]) == ("A", "B", 0.7)
    assert json.loads(tier["parts"]) == {"MARKET_REACH": 0.25, "REPUTATION": 0.25}


def test_a_change_is_made_of_its_reasons(run):
    later = customer(value=60.0, parts={"BASE": 50.0, "PATTERN": 40.0, "SILENCE": -30.0})
    row = run((THEN, customer()), (NOW, later))["retention"]
    assert (row["compared_on"], row["band_before"], row["delta"]) == (THEN, "healthy", -20)
    assert json.loads(row["changes"]) == [{"code": "SILENCE", "text": "Time since the last order", "points": -20}]


def test_where_the_model_changed_the_rest_is_the_models(run):
    later = customer(value=85.0, version="v2", parts={"BASE": 50.0, "PATTERN": 41.0, "SILENCE": -10.0})
    row = run((THEN, customer()), (NOW, later))["retention"]
    assert points(row) == {"PATTERN": 1, "MODEL": 4}
    assert "The model changed (v1 to v2)" in row["changes"]


def test_where_even_the_reasons_are_others_all_of_it_is_the_models(run):
    later = customer(value=85.0, version="v2", parts={"RECENCY": 85.0})
    assert points(run((THEN, customer()), (NOW, later))["retention"]) == {"MODEL": 5}


def test_a_hand_that_sets_or_lets_go_is_a_reason(run):
    forced = customer(effective=20.0, band="critical", override="o1")
    row = run((THEN, customer()), (NOW, forced))["retention"]
    assert (row["value"], row["value_effective"], row["override_id"], row["band_computed"]) == (80, 20, "o1", None)
    assert points(row) == {"OVERRIDE": -60}
    assert points(run((THEN, forced), (NOW, customer()))["retention"]) == {"OVERRIDE": 60}


def test_nothing_changed_is_an_empty_list(run):
    assert run((THEN, customer()), (NOW, customer()))["retention"]["changes"] == "[]"


def test_who_has_churned_is_frozen_and_never_green(run):
    former = run((THEN, customer()), (NOW, customer(value=99.0, band="churned", satisfied=100.0, grade="A")))
    assert {(row["state"], row["value"], row["value_effective"], row["band"]) for row in former.values()} == {
        ("frozen", None, None, "churned")
    }
    assert (former["retention"]["last_value"], former["retention"]["last_on"]) == (80, THEN)
    assert former["satisfaction"]["last_value"] == 70
    assert former["retention"]["delta"] is None


def test_too_little_data_is_a_state_and_no_number(run):
    row = run((NOW, customer(value=None, band="unknown")))["retention"]
    assert (row["state"], row["value"], row["parts"]) == ("no_data", None, None)


def test_a_fall_is_remembered_until_it_is_well_above(run):
    def fallen(*days: Any) -> tuple[Any, ...]:
        row = run(*((date(2026, 6, day), customer(value=value, band=band)) for day, value, band in days))["retention"]
        return row["low_since"], row["low_value"], row["low_band"]

    first = (1, 80.0, "healthy")
    down = (2, 45.0, "at_risk")
    assert fallen(first) == (None, None, None)
    assert fallen(first, down, (3, 20.0, "critical")) == (date(2026, 6, 2), 45, "at_risk")
    assert fallen(first, down, (3, 54.0, "watch")) == (date(2026, 6, 2), 45, "at_risk")
    assert fallen(first, down, (3, 55.0, "watch")) == (None, None, None)
    assert fallen(first, down, (3, 55.0, "watch"), (4, 30.0, "at_risk"))[0] == date(2026, 6, 4)
    assert fallen(first, down, (3, 30.0, "churned")) == (None, None, None)


def test_a_low_satisfaction_of_which_little_is_known_is_no_fall(run):
    for sure, since in ((0.29, None), (0.3, NOW)):
        assert run((NOW, customer(satisfied=40.0, grade="F", confidence=sure)))["satisfaction"]["low_since"] == since


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.floats(-40, 40).map(lambda x: round(x, 2)), min_size=3, max_size=3), min_size=2, max_size=2)
)
def test_changes_always_add_up(run: Any, days: list[list[float]]):
    table = [
        customer(value=round(sum(parts), 2), parts=dict(zip(("BASE", "PATTERN", "SILENCE"), parts, strict=True)))
        for parts in days
    ]
    row = run(*zip((THEN, NOW), table, strict=True))["retention"]
    assert sum(points(row).values()) == pytest.approx(row["delta"], abs=0.0151)
