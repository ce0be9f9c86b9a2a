"""The BG/BB model against its published tables and examples."""

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest

from transforms.bgbb import Parameters, choose_horizon, fit, probability, table

EXAMPLE = Parameters(0.589, 3.199, 0.928, 5.764)


def donations() -> list[tuple[int, int, int, int]]:
    """Read the donation data of Fader, Hardie and Shang (2010), which the lifetimes wheel ships."""
    text = (Path(find_spec("lifetimes").origin).parent / "datasets" / "donations.csv").read_text()
    names = ("frequency", "recency", "periods", "weights")
    return [tuple(int(row[name]) for name in names) for row in csv.DictReader(text.splitlines())]


def test_probability_is_that_of_the_public_example():
    alive, order = probability(EXAMPLE, 3, 5, 9, 3)
    assert alive == pytest.approx(0.457908, abs=1e-6)
    assert order == pytest.approx(0.539162, abs=1e-6)
    assert alive * order == pytest.approx(0.246886, abs=1e-6)


def test_silence_costs_what_the_public_example_says():
    spoken = probability(EXAMPLE, 3, 9, 9, 3)
    silent = probability(EXAMPLE, 3, 5, 9, 3)
    assert spoken[1] == pytest.approx(0.539162, abs=1e-6)
    assert spoken[0] * spoken[1] - silent[0] * silent[1] == pytest.approx(0.292276, abs=1e-6)


def test_fit_reproduces_the_parameters_of_the_paper():
    found = fit(donations(), prior=0)
    assert (found.alpha, found.beta, found.gamma, found.delta) == pytest.approx((1.204, 0.750, 0.657, 2.783), abs=2e-3)
    assert found.loglik == pytest.approx(-33225.6, abs=0.1)
    assert found.customers == 11104


def test_the_table_has_every_cell_up_to_the_month_that_has_begun():
    rows = table(EXAMPLE, 3)
    assert sum(n <= 36 for n in rows.column("n").to_pylist()) == 8473
    assert all(0 <= p <= 1 for p in rows.column("p").to_pylist())


def test_the_table_says_what_the_formula_says():
    rows = {(row["x"], row["tx"], row["n"]): row for row in table(EXAMPLE, 3).to_pylist()}
    assert rows[3, 5, 9]["p"] == pytest.approx(0.246886, abs=1e-6)


def test_too_few_customers_or_repeats_give_no_model():
    assert fit([(1, 2, 3, 29)]) is None
    assert fit([(0, 0, 3, 500)]) is None
    assert fit([]) is None


def test_the_horizon_grows_until_most_living_customers_order_in_it():
    rare = Parameters(0.5, 40, 0.1, 5)
    often = Parameters(8, 2, 0.1, 5)
    counts = [(3, 9, 9, 100)]
    assert choose_horizon(often, counts) == 3
    assert choose_horizon(rare, counts) == 12


def test_the_version_names_the_parameters():
    assert EXAMPLE.version == Parameters(0.589, 3.199, 0.928, 5.764, loglik=-1, customers=3).version
    assert EXAMPLE.version != Parameters(0.6, 3.199, 0.928, 5.764).version
