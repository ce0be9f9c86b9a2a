"""The shifted beta-geometric model against the published retention of contracts."""

import numpy as np
import pytest

from transforms.scores.models.base import Columns
from transforms.scores.models.sbg import MODEL

HIGH_END = (100, 86.9, 74.3, 65.3, 59.3, 55.1, 51.7, 49.1)  # survivors a year, Fader and Hardie (2007)


def contracts(survivors: tuple[float, ...]) -> Columns:
    """Count contracts that ended after some renewals, and those that still run."""
    lost = [before - after for before, after in zip(survivors[:-1], survivors[1:], strict=True)]
    rows = [(renewals, 1, 10 * count) for renewals, count in enumerate(lost)]
    rows.append((len(lost), 0, 10 * survivors[-1]))
    return dict(zip(("renewals", "is_lapsed", "customers"), np.array(rows, float).T, strict=True))


def test_fit_reproduces_the_high_end_customers_of_the_paper():
    result = MODEL.fit(contracts(HIGH_END), prior=0)
    assert list(result.values.values()) == pytest.approx([0.668, 3.806], abs=5e-3)
    assert result.loglik == pytest.approx(-1611.158, abs=0.01)


def test_survival_is_projected_as_published():
    """The projection of years 8 to 12: 46.0, 43.6, 41.4, 39.5, 37.8 of 100."""
    result = MODEL.fit(contracts(HIGH_END), prior=0)
    years = np.arange(12.0)
    renews = MODEL.chances(result, {"renewals": years, "is_lapsed": np.zeros(12)}, horizon=12).p
    survives = np.cumprod(renews)
    assert 100 * survives[7:12] == pytest.approx([46.0, 43.6, 41.4, 39.5, 37.8], abs=0.06)


def test_loyalty_grows_with_every_renewal_and_a_lapsed_contract_has_no_chance():
    result = MODEL.fit(contracts(HIGH_END))
    predicted = MODEL.chances(
        result, {"renewals": np.array([0.0, 5, 5]), "is_lapsed": np.array([0.0, 0, 1])}, horizon=12
    )
    assert 0 < predicted.p[0] < predicted.p[1] < 1
    assert (predicted.p[2], predicted.p_alive[2]) == (0, 0)
    assert predicted.p_recent[2] == predicted.p[1]


def test_a_prior_keeps_the_fit_finite_where_nobody_differs():
    """Everybody renews alike: the likelihood alone would run to infinity."""
    same = contracts((100, 90, 81, 72.9, 65.61))
    result = MODEL.fit(same)
    assert max(result.values.values()) < 100
    predicted = MODEL.chances(result, {"renewals": np.array([2.0]), "is_lapsed": np.zeros(1)}, horizon=12)
    assert predicted.p[0] == pytest.approx(0.9, abs=0.02)


def test_too_few_contracts_give_no_model():
    assert MODEL.fit(contracts((1, 0.9, 0.8))) is None
