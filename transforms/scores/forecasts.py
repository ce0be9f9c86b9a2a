"""How good forecasts were, measured on groups of customers who were promised the same chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from transforms.scores.models.base import Floats

SURE = 1e-6  # a promise of 0 or 1 that fails would cost the log loss everything
TENTHS = 10
FEWEST_ORIGINS, FEWEST_INDEPENDENT = 3, 2.0  # with fewer dates nothing is chosen
Z = 1.959964


@dataclass(frozen=True)
class Forecasts:
    """Hold for each group the chance that was promised, how many customers it has, and how many of them ordered."""

    promised: Floats
    customers: Floats
    ordered: Floats

    @classmethod
    def together(cls, parts: Sequence["Forecasts"]) -> "Forecasts":
        """Put the forecasts of several dates together."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__annotations__))

    @property
    def mean(self) -> float:
        """Give the mean chance."""
        return float(np.average(self.promised, weights=self.customers))

    @property
    def rate(self) -> float:
        """Give the share that ordered."""
        return float(self.ordered.sum() / self.customers.sum())


@dataclass(frozen=True)
class Tenth:
    """Hold what one tenth of the customers was promised, and what came."""

    tenth: int
    customers: int
    promised: float
    came: float


def auc(of: Forecasts) -> float | None:
    """Give the chance that one who ordered was promised more than one who did not; equal promises count half."""
    good, bad = of.ordered.sum(), (of.customers - of.ordered).sum()
    if not good or not bad:
        return None
    promised, group = np.unique(of.promised, return_inverse=True)
    ordered = np.bincount(group, of.ordered, len(promised))
    others = np.bincount(group, of.customers - of.ordered, len(promised))
    below = np.cumsum(others) - others / 2
    return float(np.dot(ordered, below) / (good * bad))


def log_loss(of: Forecasts) -> float:
    """Give the mean surprise."""
    p = np.clip(of.promised, SURE, 1 - SURE)
    total = np.dot(of.ordered, np.log(p)) + np.dot(of.customers - of.ordered, np.log1p(-p))
    return float(-total / of.customers.sum())


def brier(of: Forecasts) -> float:
    """Give the mean squared error."""
    total = np.dot(of.ordered, (1 - of.promised) ** 2) + np.dot(of.customers - of.ordered, of.promised**2)
    return float(total / of.customers.sum())


def tenths(of: Forecasts) -> list[Tenth]:
    """Part the customers into tenths by what they were promised; who was promised the same is in the same one."""
    promised, group = np.unique(of.promised.round(12), return_inverse=True)
    customers = np.bincount(group, of.customers, len(promised))
    ordered = np.bincount(group, of.ordered, len(promised))
    middle = (np.cumsum(customers) - customers / 2) / customers.sum()
    tenth = np.minimum((middle * TENTHS).astype(int), TENTHS - 1)
    result = []
    for number in np.unique(tenth):
        is_in_tenth = tenth == number
        count = customers[is_in_tenth].sum()
        mean = float(np.average(promised[is_in_tenth], weights=customers[is_in_tenth]))
        result.append(Tenth(int(number) + 1, int(count), mean, float(ordered[is_in_tenth].sum() / count)))
    return result


def calibration_error(parts: Sequence[Tenth]) -> float:
    """Give the mean distance of what was promised and what came, each tenth by its customers."""
    return float(
        np.average([abs(part.promised - part.came) for part in parts], weights=[part.customers for part in parts])
    )


def wilson(good: float, total: float) -> tuple[float, float]:
    """Give the score interval of a share (Wilson 1927), 95 %."""
    p, z2 = good / total, Z * Z
    center = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z * sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return max(center - half, 0.0), min(center + half, 1.0)


def gain(default: Mapping[str, float], other: Mapping[str, float], independent: float) -> tuple[float, float | None]:
    """Compare two models' losses on the dates both have: the mean gain over the default, and its standard error.

    Horizons that overlap see the same orders, so of all dates only so many count as `independent`. With fewer than two
    of them, or three dates, there is no telling how sure the gain is.
    """
    shared = sorted({*default} & {*other})
    gains = np.array([default[date] - other[date] for date in shared])
    if len(gains) < FEWEST_ORIGINS or independent < FEWEST_INDEPENDENT:
        return (float(gains.mean()) if len(gains) else 0.0), None
    return float(gains.mean()), float(gains.std(ddof=1) / sqrt(min(independent, len(gains))))


def choose(default: str, gains: Mapping[str, tuple[float, float | None]]) -> str:
    """Keep the default unless the best of the others gains more than one standard error; of equals the first by name."""
    sure = {name: mean for name, (mean, error) in gains.items() if error is not None and mean > error}
    return min(sure, key=lambda name: (-sure[name], name)) if sure else default
