"""Shifted beta-geometric: the chance that a contract is renewed, given how often it was.

Source: Fader and Hardie (2007), How to Project Customer Retention, Journal of Interactive Marketing 21(1). A contract
is an unbroken chain of orders, each within the term (and a month) of the one before; the horizon is the term.
"""

from typing import ClassVar

import numpy as np

from transforms.scores.models.base import FEWEST, PRIOR, Chances, Columns, Fit, Floats, Model
from transforms.scores.models.likelihood import most_likely

STARTS = ((0.0, 0.5), (1.0, 2.0))


class SBG(Model):
    """See a customer by renewals."""

    name = "sbg"
    cells: ClassVar[tuple[str, ...]] = ("renewals", "is_lapsed")

    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Fit on contracts that ended after some renewals, and on those that still run after some."""
        renewals, lapsed, weight = (counts[name] for name in (*self.cells, "customers"))
        if weight.sum() < FEWEST or np.dot(renewals + lapsed, weight) < FEWEST:
            return None

        def loglik(p: Floats) -> float:
            return float(np.dot(weight, _loglik(p, renewals, lapsed)))

        values = most_likely(loglik, STARTS, prior)
        named = {"alpha": float(values[0]), "beta": float(values[1])}
        return Fit(self.name, named, loglik(values), int(weight.sum()))

    def chances(self, fit: Fit, cells: Columns, *, horizon: int, part: float = 0.0) -> Chances:
        """Tell the chance of the next renewal; a contract that has lapsed has none."""
        renewals, lapsed = (cells[name] for name in self.cells)
        alpha, beta = fit.values["alpha"], fit.values["beta"]
        renews = (beta + renewals) / (alpha + beta + renewals)
        alive = 1.0 - lapsed
        return Chances(alive * renews, renews, renews, alive, renews)


MODEL = SBG()


def _loglik(p: Floats, renewals: Floats, lapsed: Floats) -> Floats:
    from scipy.special import betaln

    alpha, beta = p
    return np.asarray(betaln(alpha + lapsed, beta + renewals) - betaln(alpha, beta))
