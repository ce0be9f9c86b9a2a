"""BG/BB: how many months with an order to expect of a customer who may silently have left. The default.

Source: Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting, Marketing
Science 29(6). x months with an order after the first, the last of them tx months after it, n months observed.
Order propensity is Beta(alpha, beta), the chance to leave in a month Beta(gamma, delta).
"""

from typing import ClassVar

import numpy as np

from transforms.scores.models.base import FEWEST, PRIOR, Chances, Columns, Fit, Floats, Model, ratio
from transforms.scores.models.likelihood import most_likely

HORIZONS = (3, 6, 12)
LIKELY, MOST = 0.5, 0.6
STARTS = ((0.0, 0.0, 0.0, 1.0), (-0.5, 1.0, -0.5, 1.5))
NAMES = ("alpha", "beta", "gamma", "delta")


class BGBB(Model):
    """See a customer by months."""

    name = "bgbb"
    cells: ClassVar[tuple[str, ...]] = ("x", "tx", "n", "has_now", "is_born_now")
    fit_cells: ClassVar[tuple[str, ...]] = ("x", "tx", "n")

    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Fit on complete months."""
        x, tx, n, weight = (counts[name] for name in ("x", "tx", "n", "customers"))
        if weight.sum() < FEWEST or np.dot(x, weight) < FEWEST:
            return None
        values = most_likely(lambda p: float(np.dot(weight, _loglik(p, x, tx, n))), STARTS, prior)
        loglik = float(np.dot(weight, _loglik(values, x, tx, n)))
        return Fit(self.name, dict(zip(NAMES, values.tolist(), strict=True)), loglik, int(weight.sum()))

    def chances(self, fit: Fit, cells: Columns, *, horizon: int, part: float = 0.0) -> Chances:
        """Move evenly from the last complete month to the next one; an order in the month that has begun counts at once."""
        x, tx, n, has_now, born = (cells[name] for name in self.cells)
        p, history = _parameters(fit), (x + has_now, np.where(has_now > 0, n + 1, tx))
        first = n + has_now
        then = np.where(born > 0, n, n + 1)
        share = np.where(then > first, part, 0.0)
        before, after = (_alive(p, *history, months) for months in (first, then))
        alive = before * (1 - share) + after * share
        chance = before * _order_if_alive(p, history[0], first, horizon) * (1 - share)
        chance = chance + after * _order_if_alive(p, history[0], then, horizon) * share
        again = np.where(n > 0, np.maximum(x, 1), 0)
        recent = _alive(p, again, n, n) * _order_if_alive(p, again, n, horizon)
        months = _months_if_alive(p, history[0], first, horizon)
        return Chances(chance, np.maximum(recent, chance), months, alive, ratio(chance, alive))


MODEL = BGBB()


def choose_horizon(fit: Fit, counts: Columns) -> int:
    """Choose the shortest horizon in which most customers who are likely alive order: mean probability >= .6."""
    x, tx, n, weight = (counts[name] for name in ("x", "tx", "n", "customers"))
    p = _parameters(fit)
    likely = _alive(p, x, tx, n) > LIKELY
    for horizon in HORIZONS[:-1]:
        chance = _order_if_alive(p, x, n, horizon)[likely]
        if likely.any() and np.average(chance, weights=weight[likely]) >= MOST:
            return horizon
    return HORIZONS[-1]


def _parameters(fit: Fit) -> Floats:
    return np.array([fit.values[name] for name in NAMES])


def _stays(p: Floats, x: Floats, n: Floats) -> Floats:
    from scipy.special import betaln

    a, b, g, d = p
    return np.asarray(betaln(a + x, b + n - x) - betaln(a, b) + betaln(g, d + n) - betaln(g, d))


def _leaves(p: Floats, x: Floats, last: Floats) -> Floats:
    """Give the log of the chance of x months with an order and then to leave, `last` months after the first order."""
    from scipy.special import betaln

    a, b, g, d = p
    orders = betaln(a + x, b + last - x) - betaln(a, b)
    return np.asarray(orders + betaln(g + 1, d + last) - betaln(g, d))


def _loglik(p: Floats, x: Floats, tx: Floats, n: Floats) -> Floats:
    """Sum over all months in which a customer may have left. They are few, so each is worked out once for all cells."""
    step = np.arange(int(np.max(n - tx, initial=0)))[None, :]
    is_possible = step < (n - tx)[:, None]
    last = np.where(is_possible, tx[:, None] + step, 0).astype(int)
    orders, months = np.arange(np.max(x, initial=0) + 1)[:, None], np.arange(np.max(last, initial=0) + 1)[None, :]
    chance = np.exp(_leaves(p, np.minimum(orders, months), months))
    has_left = np.where(is_possible, chance[x.astype(int)[:, None], last], 0.0).sum(axis=1)
    return np.asarray(np.log(np.exp(_stays(p, x, n)) + has_left))


def _alive(p: Floats, x: Floats, tx: Floats, n: Floats) -> Floats:
    return np.asarray(np.exp(_stays(p, x, n) - _loglik(p, x, tx, n)))


def _order_if_alive(p: Floats, x: Floats, n: Floats, horizon: int) -> Floats:
    from scipy.special import betaln

    a, b, g, d = p
    observed = betaln(g, d + n) + betaln(a + x, b + n - x)
    none = np.exp(betaln(g, d + n + horizon) + betaln(a + x, b + n - x + horizon) - observed)
    for month in range(horizon):
        none = none + np.exp(betaln(g + 1, d + n + month) + betaln(a + x, b + n - x + month) - observed)
    return np.asarray(np.clip(1 - none, 0.0, 1.0))


def _months_if_alive(p: Floats, x: Floats, n: Floats, horizon: int) -> Floats:
    from scipy.special import betaln

    a, b, g, d = p
    stays = sum(np.exp(betaln(g, d + n + month) - betaln(g, d + n)) for month in range(1, horizon + 1))
    return np.asarray((a + x) / (a + b + n) * stays)
