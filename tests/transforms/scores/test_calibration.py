"""Anchors taken from the portfolio."""

from typing import Any

import pytest

from transforms.scores.calibration import FEWEST, calibrated, with_anchors
from transforms.scores.criteria import Criterion

ANCHORS = tuple(float(anchor) for anchor in range(1, 11))


@pytest.fixture
def anchors_of(rows: Any):
    def build(*values: float | None, falling: bool = False, fixed: Any = None, churned: int = 0) -> Any:
        criterion = Criterion("late", "growth", 1, ANCHORS[::-1] if falling else ANCHORS, "late")
        people = [
            {"customer_id": f"C{index}", "status": "churned" if index < churned else "active"}
            for index in range(len(values))
        ]
        long = [
            {"customer_id": item["customer_id"], "criterion": "late", "measured": value}
            for item, value in zip(people, values, strict=True)
        ]
        (item,) = calibrated(rows("key_account_criteria", *long), rows("customers", *people), [criterion], fixed or {})
        return item

    return build


def test_anchors_are_the_quantiles_from_5_to_95_percent(anchors_of):
    item = anchors_of(*range(101))
    assert item.after == (5, 15, 25, 35, 45, 55, 65, 75, 85, 95)
    assert (item.values, item.unchanged_reason) == (101, None)


def test_where_less_is_better_the_anchors_fall(anchors_of):
    assert anchors_of(*range(101), falling=True).after[0] == 95


def test_anchors_have_three_digits(anchors_of):
    assert anchors_of(*(value * 123.456 for value in range(101))).after[0] == 617.0


def test_churned_customers_and_missing_values_do_not_count(anchors_of):
    assert anchors_of(*([1e9] * 5), *range(101), *([None] * 9), churned=5).after[-1] == 95


def test_equal_quantiles_are_equal_anchors_that_divide_by_nothing(anchors_of):
    item = anchors_of(*([0.0] * 60), *range(1, 41))
    (criterion,) = with_anchors([Criterion("late", "growth", 1, ANCHORS, "late")], [item])
    assert criterion.anchors[:6] == (0,) * 6


@pytest.mark.parametrize(
    ("values", "reason"),
    [(range(FEWEST - 1), "only 29 active customers have a value, 30 are needed"), ([3.0] * 99, "the same value")],
)
def test_too_few_or_equal_values_keep_the_anchors(anchors_of, values: Any, reason: str):
    item = anchors_of(*values)
    assert item.after == ANCHORS
    assert reason in item.unchanged_reason


def test_fixed_anchors_are_kept_and_it_says_why(anchors_of):
    item = anchors_of(*range(101), fixed={"late": "its anchors are in the customer model"})
    assert (item.after, item.unchanged_reason) == (ANCHORS, "its anchors are in the customer model")
