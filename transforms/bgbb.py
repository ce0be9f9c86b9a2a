"""BG/BB: how many months with an order to expect of a customer who may silently have left.

Source: Fader, Hardie and Shang (2010), Customer-Base Analysis in a Discrete-Time Noncontractual Setting, Marketing
Science 29(6). x months with an order after the first, the last of them tx months after it, n months observed.
Order propensity is Beta(alpha, beta), the chance to leave in a month Beta(gamma, delta).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln

Floats = NDArray[np.float64]

MONTHS = 37  # 36 complete months after the first one, and the one that has begun
FEWEST = 30  # customers, and repeat events: below this no probability is published
PRIOR = 1 / 8  # on the squared logs of the parameters: a standard deviation of 2
HORIZONS = (3, 6, 12)


@dataclass(frozen=True)
class Parameters:
    """Hold a fit: the four parameters, the log-likelihood, and how many customers it rests on."""

    alpha: float
    beta: float
    gamma: float
    delta: float
    loglik: float = 0.0
    customers: int = 0

    @property
    def version(self) -> str:
        """Name the fit by what it is."""
        rounded = ",".join(f"{value:.6g}" for value in (self.alpha, self.beta, self.gamma, self.delta))
        return f"bgbb-{sha256(rounded.encode()).hexdigest()[:8]}"


def fit(counts: Iterable[tuple[int, int, int, int]], prior: float = PRIOR) -> Parameters | None:
    """Fit on grouped counts (x, tx, n, customers); None when there is too little to learn from.

    The penalty `prior` makes it a maximum a posteriori fit; 0 gives maximum likelihood, as papers have it.
    """
    x, tx, n, weight = _columns(counts)
    if np.sum(weight) < FEWEST or np.dot(x, weight) < FEWEST:
        return None

    def cost(logs: Floats) -> float:
        value = -np.dot(weight, _loglik(np.exp(logs), x, tx, n)) + prior * np.sum(logs**2)
        return float(value) if np.isfinite(value) else 1e300

    found = []
    for start in ((0.0, 0.0, 0.0, 1.0), (-0.5, 1.0, -0.5, 1.5)):
        rough = minimize(cost, np.array(start), method="L-BFGS-B", bounds=[(-7, 9)] * 4)
        options = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000, "maxfev": 8000}
        found.append(minimize(cost, rough.x, method="Nelder-Mead", options=options))
    best = min(found, key=lambda result: float(result.fun))
    values = np.exp(best.x)
    loglik = float(np.dot(weight, _loglik(values, x, tx, n)))
    alpha, beta, gamma, delta = (float(value) for value in values)
    return Parameters(alpha, beta, gamma, delta, loglik, int(np.sum(weight)))


def table(parameters: Parameters, horizon: int) -> pa.Table:
    """Tabulate for every (x, tx, n): p_alive, p_order_if_alive within the horizon, expected order months if alive."""
    cells = [(x, tx, n) for n in range(MONTHS + 1) for tx in range(n + 1) for x in range(min(tx, 1), tx + 1)]
    x, tx, n = (np.array(column, float) for column in zip(*cells, strict=True))
    p = np.array([parameters.alpha, parameters.beta, parameters.gamma, parameters.delta])
    alive, if_alive, months = (
        _alive(p, x, tx, n),
        _order_if_alive(p, x, n, horizon),
        _months_if_alive(p, x, n, horizon),
    )
    return pa.table(
        {
            "x": pa.array(x.astype(int), pa.int64()),
            "tx": pa.array(tx.astype(int), pa.int64()),
            "n": pa.array(n.astype(int), pa.int64()),
            "p_alive": alive,
            "p_order_if_alive": if_alive,
            "p": alive * if_alive,
            "months_if_alive": months,
        }
    )


def choose_horizon(parameters: Parameters, counts: Iterable[tuple[int, int, int, int]]) -> int:
    """Choose the shortest horizon in which most customers who are likely alive order: mean probability >= .6."""
    x, tx, n, weight = _columns(counts)
    p = np.array([parameters.alpha, parameters.beta, parameters.gamma, parameters.delta])
    likely = _alive(p, x, tx, n) > 0.5
    for horizon in HORIZONS[:-1]:
        if likely.any() and np.average(_order_if_alive(p, x, n, horizon)[likely], weights=weight[likely]) >= 0.6:
            return horizon
    return HORIZONS[-1]


def probability(parameters: Parameters, x: int, tx: int, n: int, horizon: int) -> tuple[float, float]:
    """Give p_alive and p_order_if_alive of one customer; their product is the chance of an order in the horizon."""
    p = np.array([parameters.alpha, parameters.beta, parameters.gamma, parameters.delta])
    cell = tuple(np.array([float(value)]) for value in (x, tx, n))
    return float(_alive(p, *cell)[0]), float(_order_if_alive(p, cell[0], cell[2], horizon)[0])


def _columns(counts: Iterable[tuple[int, int, int, int]]) -> tuple[Floats, Floats, Floats, Floats]:
    rows = np.array(list(counts), float).reshape(-1, 4)
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _stays(p: Floats, x: Floats, n: Floats) -> Floats:
    a, b, g, d = p
    return np.asarray(betaln(a + x, b + n - x) - betaln(a, b) + betaln(g, d + n) - betaln(g, d))


def _loglik(p: Floats, x: Floats, tx: Floats, n: Floats) -> Floats:
    a, b, g, d = p
    step = np.arange(int(np.max(n - tx, initial=0)))[None, :]
    seen = step < (n - tx)[:, None]
    left = betaln(a + x[:, None], b + (tx - x)[:, None] + step) - betaln(a, b)
    left = left + betaln(g + 1, d + tx[:, None] + step) - betaln(g, d)
    gone = np.where(seen, np.exp(np.where(seen, left, 0.0)), 0.0).sum(axis=1)
    return np.asarray(np.log(np.exp(_stays(p, x, n)) + gone))


def _alive(p: Floats, x: Floats, tx: Floats, n: Floats) -> Floats:
    return np.asarray(np.exp(_stays(p, x, n) - _loglik(p, x, tx, n)))


def _order_if_alive(p: Floats, x: Floats, n: Floats, horizon: int) -> Floats:
    a, b, g, d = p
    known = betaln(g, d + n) + betaln(a + x, b + n - x)
    none = np.exp(betaln(g, d + n + horizon) + betaln(a + x, b + n - x + horizon) - known)
    for month in range(horizon):
        none = none + np.exp(betaln(g + 1, d + n + month) + betaln(a + x, b + n - x + month) - known)
    return np.asarray(1 - none)


def _months_if_alive(p: Floats, x: Floats, n: Floats, horizon: int) -> Floats:
    a, b, g, d = p
    stays = sum(np.exp(betaln(g, d + n + month) - betaln(g, d + n)) for month in range(1, horizon + 1))
    return np.asarray((a + x) / (a + b + n) * stays)
