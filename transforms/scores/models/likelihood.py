"""How parameters are found: the most likely ones, or the most plausible ones under a weak prior."""

from collections.abc import Callable, Sequence

import numpy as np

from transforms.scores.models.base import Floats

LOWEST, HIGHEST = -7.0, 9.0  # logs of a parameter: a degenerate likelihood would run on for ever
ROUGH, FINE = 1e-2, 1e-6


def most_likely(loglik: Callable[[Floats], float], starts: Sequence[Sequence[float]], prior: float) -> Floats:
    """Find the positive parameters of the highest log-likelihood less `prior` times their squared logs.

    A rough search from each start (logs of parameters), then a fine one from the best; both by simplex, since it needs
    no gradient and no linear algebra, whose threads would cost more than the sums themselves.
    """
    from scipy.optimize import minimize

    def cost(logs: Floats) -> float:
        with np.errstate(all="ignore"):
            value = -loglik(np.exp(logs)) + prior * float(np.sum(logs**2))
        return value if np.isfinite(value) else 1e300

    bounds = [(LOWEST, HIGHEST)] * len(starts[0])

    def search(start: Floats, near: float) -> tuple[float, Floats]:
        options = {"xatol": near, "fatol": near, "maxiter": 1000}
        result = minimize(cost, start, method="Nelder-Mead", bounds=bounds, options=options)
        return float(result.fun), np.asarray(result.x, float)

    _, best = min((search(np.array(start), ROUGH) for start in starts), key=lambda result: result[0])
    _, best = search(best, FINE)
    return np.asarray(np.exp(best), float)
