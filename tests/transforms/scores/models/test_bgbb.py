"""The BG/BB model against its published tables and examples."""

import numpy as np
import pytest

from transforms.scores.models import nbd
from transforms.scores.models.base import Columns, Fit, digest, fit_version
from transforms.scores.models.bgbb import MODEL, choose_horizon


def fit(*values: float) -> Fit:
    return Fit("bgbb", dict(zip(("alpha", "beta", "gamma", "delta"), values, strict=True)))


EXAMPLE = fit(0.589, 3.199, 0.928, 5.764)


def cell(x: int, tx: int, n: int, has_now: int = 0, is_born_now: int = 0, customers: int = 1) -> Columns:
    fields = {"x": x, "tx": tx, "n": n, "has_now": has_now, "is_born_now": is_born_now, "customers": customers}
    return {name: np.array([float(value)]) for name, value in fields.items()}


def complete(counts: Columns) -> Columns:
    """Say that no month has begun."""
    nothing = np.zeros(len(counts["x"]))
    return {**counts, "has_now": nothing, "is_born_now": nothing}


def test_probability_is_that_of_the_public_example():
    predicted = MODEL.chances(EXAMPLE, cell(3, 5, 9), horizon=3)
    assert predicted.p_alive[0] == pytest.approx(0.457908, abs=1e-6)
    assert predicted.p_order_if_alive[0] == pytest.approx(0.539162, abs=1e-6)
    assert predicted.p[0] == pytest.approx(0.246886, abs=1e-6)


def test_silence_costs_what_the_public_example_says():
    predicted = MODEL.chances(EXAMPLE, cell(3, 5, 9), horizon=3)
    assert predicted.p_recent[0] == pytest.approx(0.539162, abs=1e-6)
    assert predicted.p_recent[0] - predicted.p[0] == pytest.approx(0.292276, abs=1e-6)


def test_fit_reproduces_the_parameters_of_the_paper(donations: Columns):
    result = MODEL.fit(donations, prior=0)
    assert list(result.values.values()) == pytest.approx([1.204, 0.750, 0.657, 2.783], abs=1e-3)
    assert result.loglik == pytest.approx(-33225.6, abs=0.05)
    assert result.customers == 11104


def test_expected_gifts_are_those_of_table_6_of_the_paper(donations: Columns):
    """Fader, Hardie and Shang (2010): gifts expected in the five years to come, by frequency and recency."""
    published = {(0, 0): 0.07, (1, 1): 0.09, (1, 2): 0.31, (1, 3): 0.59, (1, 4): 0.84, (1, 5): 1.02, (1, 6): 1.15}
    published |= {(2, 2): 0.12, (2, 3): 0.54, (2, 4): 1.06, (2, 5): 1.44, (2, 6): 1.67, (3, 3): 0.22, (3, 4): 1.03}
    published |= {(3, 5): 1.80, (3, 6): 2.19, (4, 4): 0.58, (4, 5): 2.03, (4, 6): 2.71, (5, 5): 1.81, (5, 6): 3.23}
    published |= {(6, 6): 3.75}
    predicted = MODEL.chances(MODEL.fit(donations, prior=0), complete(donations), horizon=5)
    expected = predicted.p_alive * predicted.orders_if_alive
    result = {(int(x), int(tx)): value for x, tx, value in zip(donations["x"], donations["tx"], expected, strict=True)}
    assert result == pytest.approx(published, abs=0.0055)


def test_all_donors_together_give_what_hardies_sheet_expects(donations: Columns):
    """The total of the sheet "Conditional Expectations (II)" of BGBB_2011-01-20: 12,884.2."""
    predicted = MODEL.chances(MODEL.fit(donations, prior=0), complete(donations), horizon=5)
    assert np.dot(predicted.p_alive * predicted.orders_if_alive, donations["customers"]) == pytest.approx(
        12884.2, abs=0.5
    )


def test_who_gave_last_year_is_alive_as_the_paper_says(donations: Columns):
    fitted = MODEL.fit(donations, prior=0)
    for (x, tx), alive in {(0, 0): 0.11, (2, 4): 0.59, (6, 6): 0.93}.items():  # in the year after: alive, and stays
        predicted = MODEL.chances(fitted, cell(x, tx, 6), horizon=1)
        stays = (fitted.values["delta"] + 6) / (fitted.values["gamma"] + fitted.values["delta"] + 6)
        assert predicted.p_alive[0] * stays == pytest.approx(alive, abs=0.006)


def test_in_a_month_that_has_begun_the_chance_lies_between():
    before, after = (MODEL.chances(EXAMPLE, cell(3, 5, n), horizon=3).p[0] for n in (8, 9))
    between = MODEL.chances(EXAMPLE, cell(3, 5, 8), horizon=3, part=0.4).p[0]
    assert between == pytest.approx(0.6 * before + 0.4 * after)


def test_an_order_in_the_month_that_has_begun_counts_at_once():
    ordered = MODEL.chances(EXAMPLE, cell(1, 1, 8, has_now=1), horizon=3, part=0.1)
    assert ordered.p[0] == pytest.approx(MODEL.chances(EXAMPLE, cell(2, 9, 9), horizon=3).p[0])
    born = MODEL.chances(EXAMPLE, cell(0, 0, 0, is_born_now=1), horizon=3, part=0.9)
    assert born.p[0] == pytest.approx(MODEL.chances(EXAMPLE, cell(0, 0, 0), horizon=3).p[0])


def test_too_few_customers_or_repeats_give_no_model():
    assert MODEL.fit(cell(1, 2, 3, customers=29)) is None
    assert MODEL.fit(cell(0, 0, 3, customers=500)) is None
    assert MODEL.fit({name: value[:0] for name, value in cell(0, 0, 0).items()}) is None


def test_a_weak_prior_keeps_a_small_portfolio_off_the_edge():
    counts = {name: np.concatenate([cell(3, 3, 3, customers=40)[name]] * 2) for name in cell(0, 0, 0)}
    sure = MODEL.fit(counts)
    assert 0.5 < MODEL.chances(sure, cell(3, 3, 3), horizon=3).p[0] < 1
    assert max(sure.values.values()) < 1000


def test_the_horizon_grows_until_most_living_customers_order_in_it():
    counts = cell(3, 9, 9, customers=100)
    assert choose_horizon(fit(8, 2, 0.1, 5), counts) == 3
    assert choose_horizon(fit(0.5, 40, 0.1, 5), counts) == 12


def test_the_version_names_the_data_and_the_settings():
    counts, other = cell(3, 5, 9, customers=40), cell(3, 5, 9, customers=41)
    named = fit_version(MODEL, counts, 6)
    assert named == fit_version(MODEL, dict(reversed(counts.items())), 6)
    assert named.startswith("bgbb-")
    assert named.endswith("-h6")
    settings = [(MODEL, other, 6), (MODEL, counts, 3), (nbd.BGNBD_MODEL, counts, 6)]
    different = [fit_version(*item) for item in settings] + [fit_version(MODEL, counts, 6, prior=0)]
    assert len({named, *different}) == 5


def test_data_of_the_same_numbers_under_other_names_has_another_digest():
    item, other = {"a": np.array([1.0]), "b": np.array([2.0])}, {"b": np.array([1.0]), "a": np.array([2.0])}
    assert digest(item) != digest(other)
    assert digest({"a": np.array([0.0])}) == digest({"a": np.array([-0.0])})
