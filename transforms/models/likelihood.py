"""How parameters are found: the most likely ones, or the most plausible ones under a weak prior."""

from collections.abc import Callable, Sequence

import numpy as np

from transforms.models.base import Floats

LOWEST, HIGHEST = -7.0, 9.0  # logs of a parameter: a degenerate likelihood would run on for ever


def most_likely(loglik: Callable[[Floats], float], starts: Sequence[Sequence[float]], prior: float) -> Floats:
    """Find the positive parameters of the highest log-likelihood less `prior` times their squared logs.

    A rough search by gradient from each start (logs of parameters), then a fine one from the best.
    """
    from scipy.optimize import minimize

    def cost(logs: Floats) -> float:
        with np.errstate(all="ignore"):
            value = -loglik(np.exp(logs)) + prior * float(np.sum(logs**2))
        return value if np.isfinite(value) else 1e300

    bounds = [(LOWEST, HIGHEST)] * len(starts[0])
    rough = [minimize(cost, np.array(start), method="L-BFGS-B", bounds=bounds) for start in starts]
    best = min(rough, key=lambda result: float(result.fun))
    options = {"xatol": 1e-6, "fatol": 1e-8, "maxiter": 4000, "maxfev": 8000}
    fine = minimize(cost, best.x, method="Nelder-Mead", bounds=bounds, options=options)
    return np.asarray(np.exp(fine.x), float)
