"""RFM and recency on customers whose chances are known."""

import numpy as np
import pytest

from transforms.scores.models import baselines
from transforms.scores.models.base import Columns
from transforms.scores.models.logistic import MONTH


def lessons(count: int = 40_000) -> tuple[Columns, np.ndarray]:
    """Make customers up who order the likelier the shorter they are silent and the more they ordered."""
    rng = np.random.default_rng(11)
    silent, orders = rng.integers(0, 700, count), rng.integers(0, 20, count)
    chance = 1 / (1 + np.exp(-(0.5 - 1.2 * np.log1p(silent / MONTH) + 0.9 * np.log1p(orders))))
    span = rng.integers(0, 300, count) * (orders > 0)
    cells = {"orders": orders, "span_days": span, "known_days": span + silent, "money": rng.integers(1, 9, count)}
    cells |= {"customers": np.ones(count), "ordered": rng.random(count) < chance}
    return {name: np.asarray(value, float) for name, value in cells.items()}, chance


def test_the_weights_that_made_the_customers_are_found():
    counts, chance = lessons()
    result = baselines.RFM_MODEL.fit(counts)
    predicted = baselines.RFM_MODEL.chances(result, counts, horizon=6).p
    assert np.abs(predicted - chance).max() < 0.05
    weights = {
        name: result.values[name] / result.values[f"{name}_spread"] for name in ("recency", "frequency", "money")
    }
    assert weights == pytest.approx({"recency": -1.2, "frequency": 0.9, "money": 0.0}, abs=0.1)


def test_grouped_customers_are_fitted_as_one_by_one():
    counts, _ = lessons(2000)
    single = baselines.RFM_MODEL.fit(counts).values
    doubled = {name: np.concatenate([value, value]) for name, value in counts.items()}
    grouped = counts | {"customers": counts["customers"] * 2, "ordered": counts["ordered"] * 2}
    assert baselines.RFM_MODEL.fit(grouped).values == pytest.approx(baselines.RFM_MODEL.fit(doubled).values)
    assert baselines.RFM_MODEL.fit(counts).values == pytest.approx(single)


def test_recency_ranks_by_silence_alone():
    counts, _ = lessons(5000)
    predicted = baselines.RECENCY_MODEL.chances(baselines.RECENCY_MODEL.fit(counts), counts, horizon=6).p
    silent = counts["known_days"] - counts["span_days"]
    order = np.argsort(silent, kind="stable")
    assert (np.diff(predicted[order]) <= 1e-12).all()


def test_where_everybody_or_nobody_ordered_there_is_nothing_to_learn():
    counts, _ = lessons(500)
    assert baselines.RFM_MODEL.fit(counts | {"ordered": counts["customers"]}) is None
    assert baselines.RFM_MODEL.fit(counts | {"ordered": counts["customers"] * 0}) is None


def test_had_it_ordered_today_the_chance_is_no_smaller():
    counts, _ = lessons(500)
    predicted = baselines.RFM_MODEL.chances(baselines.RFM_MODEL.fit(counts), counts, horizon=6)
    assert (predicted.p_recent >= predicted.p).all()
    assert predicted.p_alive is None
    assert np.isfinite(predicted.orders_if_alive).all()
