"""BG/NBD and its kin against published figures, and against customers made up by their own story."""

from itertools import pairwise

import numpy as np
import pytest

from transforms.scores.models import nbd
from transforms.scores.models.base import Columns, Fit

ONE = tuple(np.array([value]) for value in (2.0, 30.43, 38.86))  # customer 1 of the CDNOW sample


@pytest.fixture(scope="module")
def fits(cdnow: Columns) -> dict[str, Fit]:
    return {model.name: model.fit(cdnow, prior=0) for model in (nbd.BGNBD_MODEL, nbd.MBGNBD_MODEL)}


def test_bgnbd_reproduces_the_paper(fits: dict[str, Fit]):
    """Fader, Hardie and Lee (2005): .243, 4.414, .793, 2.426, LL -9582.4."""
    result = fits["bgnbd"]
    assert list(result.values.values()) == pytest.approx([0.2426, 4.4136, 0.7929, 2.4259], abs=3e-4)
    assert result.loglik == pytest.approx(-9582.43, abs=0.006)


def test_mbgnbd_reproduces_btydplus(fits: dict[str, Fit]):
    """As lifetimes tests it: .525, 6.183, .891, 1.614."""
    result = fits["mbgnbd"]
    assert list(result.values.values()) == pytest.approx([0.5248, 6.1830, 0.8914, 1.6140], abs=3e-4)
    assert result.loglik == pytest.approx(-9582.13, abs=0.006)


@pytest.mark.parametrize(
    ("model", "alive", "active", "expected"),
    [(nbd.BGNBD_MODEL, 0.726609, 0.323463, 1.225904), (nbd.MBGNBD_MODEL, 0.706125, 0.333871, 1.262669)],
)
def test_a_customer_of_the_sample_is_scored_as_published(
    fits: dict[str, Fit], model: nbd.NBD, alive: float, active: float, expected: float
):
    """13 weeks for the chance; 39 for the count, which Hardie's sheet gives as 1.226 (BG/NBD)."""
    fitted = fits[model.name]
    result = model.alive(fitted, *ONE)
    assert result[0] == pytest.approx(alive, abs=2e-6)
    assert (result * model.order_if_alive(fitted, *ONE, 13))[0] == pytest.approx(active, abs=2e-6)
    assert (result * model.orders_if_alive(fitted, *ONE, 39))[0] == pytest.approx(expected, abs=1e-5)


def test_a_one_time_buyer_is_always_alive_and_yet_hardly_likely_to_order(fits: dict[str, Fit]):
    cells = {"orders": np.array([0.0, 9.0]), "span_days": np.array([0.0, 250.0]), "known_days": np.array([270.0] * 2)}
    predicted = nbd.BGNBD_MODEL.chances(fits["bgnbd"], cells, horizon=3)
    assert predicted.p_alive[0] == 1
    assert predicted.p[0] < 0.2 < predicted.p[1]


def customers(k: int, count: int = 60_000, weeks: float = 60.0, horizon: float = 26.0) -> tuple[Columns, np.ndarray]:
    """Make customers up as the model tells it, and count their orders in the horizon after."""
    rng = np.random.default_rng(7)
    rate = rng.gamma(1.5, k / 4.0, count)  # of the stream of which every k-th makes an order
    leaves = rng.beta(0.8, 2.5, count)
    rows, later = np.zeros((count, 4)), np.zeros(count)
    for number in range(count):
        at, times = 0.0, [0.0]
        while rng.random() >= leaves[number]:
            at += rng.gamma(k, 1 / rate[number])
            if at > weeks + horizon:
                break
            times.append(at)
        observed_rows = [time for time in times if time <= weeks]
        later[number] = len(times) - len(observed_rows)
        gaps = [np.log((b - a) * 7) for a, b in pairwise(observed_rows)]
        rows[number] = len(observed_rows) - 1, observed_rows[-1] * 7, weeks * 7, sum(gaps)
    names = ("orders", "span_days", "known_days", "log_gaps")
    return {**dict(zip(names, rows.T, strict=True)), "customers": np.ones(count)}, later


@pytest.mark.parametrize("k", [1, 3])
def test_chances_and_counts_are_those_of_customers_made_up_by_the_story(k: int):
    counts, later = customers(k, count=20_000)
    predicted = Fit("mbgcnbd", {"r": 1.5, "alpha": 4.0 / k, "a": 0.8, "b": 2.5, "k": float(k)})
    observed_rows = (counts["orders"], counts["span_days"] / 7, counts["known_days"] / 7)
    alive = nbd.MBGCNBD_MODEL.alive(predicted, *observed_rows)
    chance = alive * nbd.MBGCNBD_MODEL.order_if_alive(predicted, *observed_rows, 26.0)
    expected = alive * nbd.MBGCNBD_MODEL.orders_if_alive(predicted, *observed_rows, 26.0)
    for few in (counts["orders"] == 0, counts["orders"] == 1, counts["orders"] >= 2):
        error = np.sqrt((chance[few] * (1 - chance[few])).sum()) / few.sum()
        assert chance[few].mean() == pytest.approx((later[few] > 0).mean(), abs=4 * error)
        assert expected[few].mean() == pytest.approx(later[few].mean(), abs=4 * later[few].std() / np.sqrt(few.sum()))


def test_the_regularity_that_made_the_customers_is_found():
    counts, _ = customers(3, count=4000)
    result = nbd.MBGCNBD_MODEL.fit(counts, prior=0)
    assert result.values["k"] == 3
    values = [result.values[name] for name in ("r", "a", "b")]
    assert values == pytest.approx([1.5, 0.8, 2.5], rel=0.25)


def test_customers_in_groups_are_fitted_as_one_by_one(cdnow: Columns):
    cells = np.column_stack([cdnow[name] for name in nbd.NBD.cells])
    unique, index = np.unique(cells, axis=0, return_inverse=True)
    grouped = dict(zip(nbd.NBD.cells, unique.T, strict=True)) | {"customers": np.bincount(index.ravel()).astype(float)}
    assert len(unique) < len(cells) / 1.2
    singly, together = (nbd.MBGNBD_MODEL.fit(counts).values for counts in (cdnow, grouped))
    assert together == pytest.approx(singly, rel=1e-3)


def test_very_many_groups_are_fitted_in_whole_weeks(cdnow: Columns, monkeypatch: pytest.MonkeyPatch):
    fine = nbd.MBGNBD_MODEL.fit(cdnow)
    monkeypatch.setattr(nbd, "FINE", 100)
    coarse = nbd.coarse(cdnow)
    assert coarse["customers"].sum() == cdnow["customers"].sum()
    assert len(coarse["customers"]) < len(cdnow["customers"]) / 2
    assert nbd.MBGNBD_MODEL.fit(cdnow).values == pytest.approx(fine.values, rel=0.03)


def test_nothing_is_not_a_number_however_odd_the_customer(fits: dict[str, Fit]):
    odd = [(0, 0, 0), (0, 0, 1100), (1, 0, 0), (1, 1, 1), (1100, 1100, 1100), (1100, 1, 1100), (3, 1100, 1100)]
    cells = dict(zip(nbd.NBD.cells, (np.array(column, float) for column in zip(*odd, strict=True)), strict=True))
    for model in (nbd.BGNBD_MODEL, nbd.MBGNBD_MODEL):
        predicted = model.chances(fits[model.name], cells, horizon=12)
        for values in (predicted.p, predicted.p_recent, predicted.p_alive, predicted.p_order_if_alive):
            assert ((values >= 0) & (values <= 1)).all()
        assert np.isfinite(predicted.orders_if_alive).all()
