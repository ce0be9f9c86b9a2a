"""Does the list of key accounts change when a weight moves by a tenth?"""

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from transforms.scores.criteria import Criterion
from transforms.scores.criteria_scores import key_account_criteria
from transforms.scores.key_accounts import key_accounts
from transforms.scores.sensitivity import key_account_sensitivity

END = date(2026, 6, 30)
ANCHORS = tuple(float(anchor) for anchor in range(1, 11))


def two(first: float = 10, second: float = 10) -> list[Criterion]:
    return [
        Criterion("left", "growth", first, ANCHORS, "left"),
        Criterion("right", "harmony", second, ANCHORS, "right"),
    ]


@pytest.fixture
def listed(con: Any, rows: Any):
    def build(*scores: tuple[float | None, float | None], criteria: Any = None, **options: Any) -> Any:
        names = [f"C{index}" for index in range(len(scores))]
        first, second = ([item[index] for item in scores] for index in (0, 1))
        kind = pa.float64()
        wide = con.create_table(
            "wide",
            pa.table({"customer_id": names, "left": pa.array(first, kind), "right": pa.array(second, kind)}),
            temp=True,
            overwrite=True,
        )
        people = rows("customers", *({"customer_id": name, "status": "active"} for name in names))
        criteria = criteria or two()
        shared = {"as_of": END, "criteria": criteria, "missing": options.pop("missing", "neutral")}
        long = key_account_criteria(wide, **shared)
        options = {"min_total": 1.0, "min_coverage": 0.0, "capacity": 1} | options
        result = key_account_sensitivity(long, people, **shared, **options).to_pyarrow().to_pylist()
        ranks = key_accounts(long, people, rows("key_accounts"), **shared, **options).to_pyarrow().to_pylist()
        return {(row["criterion"], row["change_pct"]): row for row in result}, {
            row["customer_id"]: row["value"] for row in ranks
        }

    return build


def test_a_list_that_hangs_by_a_weight_is_named(listed):
    result, _ = listed((8.0, 4.0), (4.0, 7.9))  # 6.0 and 5.95
    assert result["right", 10]["is_stable"] is False
    assert (result["right", 10]["enter"], result["right", 10]["leave"]) == ("C1", "C0")
    assert (result["left", 10]["is_stable"], result["left", -10]["is_stable"]) == (True, False)


def test_a_clear_list_stays_whatever_moves(listed):
    result, _ = listed((9.0, 9.0), (4.0, 4.0), (3.0, None))
    assert len(result) == 4
    assert all(row["is_stable"] and row["members"] == 1 for row in result.values())


@pytest.mark.parametrize("missing", ["neutral", "zero", "renormalise"])
@pytest.mark.parametrize("change", [-10, 10])
def test_it_says_what_a_build_with_the_other_weight_would(listed, missing: str, change: int):
    scores = [(6.0, 6.2), (None, 6.3), (7.0, 5.1), (6.4, None), (5.9, 6.4), (6.21, 6.0)]
    result, _ = listed(*scores, missing=missing, capacity=3)
    _, before = listed(*scores, missing=missing, capacity=3)
    _, after = listed(*scores, missing=missing, capacity=3, criteria=two(first=10 * (1 + change / 100)))
    first, then = (set(sorted(item, key=lambda name: (-item[name], name))[:3]) for item in (before, after))
    assert result["left", change]["entering"] == len(then - first)
    assert (result["left", change]["enter"] or "") == ", ".join(sorted(then - first))


def test_a_customer_may_enter_by_becoming_eligible(listed):
    result, _ = listed((9.0, 2.8), min_total=5.95)  # 5.9: one tenth more of the left is enough
    assert result["left", 10]["enter"] == "C0"
    assert result["left", 10]["members"] == 0


def test_criteria_without_weight_are_left_out(listed):
    result, _ = listed((9.0, 9.0), criteria=two(second=0))
    assert set(result) == {("left", -10), ("left", 10)}
