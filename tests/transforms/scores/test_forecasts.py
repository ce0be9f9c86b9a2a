"""Measures of forecasts against their definitions, customer by customer."""

from itertools import product
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.scores.forecasts import Forecasts, auc, brier, calibration_error, choose, gain, log_loss, tenths, wilson


def forecasts(*groups: tuple[float, int, int]) -> Forecasts:
    return Forecasts(*(np.array(column, float) for column in zip(*groups, strict=True)))


def singly(of: Forecasts) -> list[tuple[float, int]]:
    """List every customer: what was promised, and whether it ordered."""
    groups = zip(of.promised, of.customers.astype(int), of.ordered.astype(int), strict=True)
    return [(p, int(number < k)) for p, n, k in groups for number in range(n)]


GROUPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.500001, 0.9, 1.0]), st.integers(1, 6), st.integers(0, 6)).map(
        lambda group: (group[0], group[1], min(group[1], group[2]))
    ),
    min_size=1,
    max_size=12,
)


@given(GROUPS)
def test_groups_are_measured_as_their_customers_one_by_one(groups: list[tuple[float, int, int]]):
    of = forecasts(*groups)
    one_by_one = singly(of)
    stored = [(min(max(p, 1e-6), 1 - 1e-6), came) for p, came in one_by_one]
    assert log_loss(of) == pytest.approx(sum(-log(p if came else 1 - p) for p, came in stored) / len(stored))
    assert brier(of) == pytest.approx(sum((p - came) ** 2 for p, came in one_by_one) / len(one_by_one))
    good, bad = ([p for p, came in one_by_one if came == wanted] for wanted in (1, 0))
    won = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in product(good, bad)]
    assert auc(of) == (pytest.approx(sum(won) / len(won)) if won else None)


@given(GROUPS)
def test_tenths_part_the_customers_and_keep_equals_together(groups: list[tuple[float, int, int]]):
    of = forecasts(*groups)
    parts = tenths(of)
    assert sum(item.customers for item in parts) == of.customers.sum()
    assert [item.tenth for item in parts] == sorted({item.tenth for item in parts})
    assert [item.promised for item in parts] == sorted(item.promised for item in parts)
    assert tenths(forecasts(*reversed(groups))) == pytest.approx(parts) or len(parts) <= len({p for p, _, _ in groups})
    assert 0 <= calibration_error(parts) <= 1


def test_a_hundred_customers_make_ten_tenths():
    parts = tenths(forecasts(*((number / 100, 1, number % 2) for number in range(100))))
    assert [(item.tenth, item.customers, item.came) for item in parts] == [(number, 10, 0.5) for number in range(1, 11)]
    assert parts[0].promised == pytest.approx(0.045)


def test_wilson_is_newcombes():
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 5)[0] == 0


LOSSES = {"a": 0.40, "b": 0.50, "c": 0.45, "d": 0.41}


def test_a_gain_is_that_of_the_dates_both_predicted_from():
    other = {"a": 0.38, "b": 0.49, "c": 0.42, "z": 0.01}
    mean, error = gain(LOSSES, other, independent=3)
    assert mean == pytest.approx(0.02)
    assert error == pytest.approx(0.01 / 3**0.5)


def test_overlapping_horizons_count_for_less():
    other = {"a": 0.38, "b": 0.49, "c": 0.42}
    assert gain(LOSSES, other, independent=2)[1] == pytest.approx(0.01 / 2**0.5)
    assert gain(LOSSES, other, independent=1.5)[1] is None
    assert gain(LOSSES, {"a": 0.1, "b": 0.1}, independent=9)[1] is None


def test_the_default_stays_unless_another_is_better_by_more_than_a_standard_error():
    assert choose("bgbb", {"rfm": (0.010, 0.011), "mbgnbd": (0.010, None)}) == "bgbb"
    assert choose("bgbb", {"rfm": (0.010, 0.009), "mbgnbd": (0.012, 0.013)}) == "rfm"
    assert choose("bgbb", {"rfm": (0.010, 0.001), "mbgnbd": (0.010, 0.001), "bgnbd": (-1.0, 0.1)}) == "mbgnbd"
