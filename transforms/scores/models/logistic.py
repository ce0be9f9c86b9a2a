"""Logistic regression on cells: learns from what customers did in the horizon after an earlier date."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from transforms.scores.models.base import FEWEST, PRIOR, Chances, Columns, Fit, Floats, Model

STEPS = 50
MONTH = 365.25 / 12


class Logistic(Model):
    """Weigh features, each in standard deviations from its mean; the penalty draws the weights to 0."""

    cells: ClassVar[tuple[str, ...]] = ("orders", "span_days", "known_days")
    period = "day"
    is_taught = True

    @abstractmethod
    def features(self, cells: Columns) -> dict[str, Floats]:
        """Name and work out the features."""

    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Fit by Newton's method; None unless enough customers ordered, and enough did not."""
        weight, ordered = counts["customers"], counts["ordered"]
        if ordered.sum() < FEWEST or (weight - ordered).sum() < FEWEST:
            return None
        features = self.features(counts)
        raw = np.column_stack(list(features.values()))
        mean = np.average(raw, axis=0, weights=weight)
        spread = np.sqrt(np.average((raw - mean) ** 2, axis=0, weights=weight))
        spread = np.where(spread > 1e-9, spread, 1.0)
        weights, loglik = _newton((raw - mean) / spread, weight, ordered, prior)
        named = {"intercept": float(weights[0])}
        for index, name in enumerate(features):
            named |= {name: float(weights[index + 1]), f"{name}_mean": float(mean[index])}
            named |= {f"{name}_spread": float(spread[index])}
        return Fit(self.name, named, loglik, int(weight.sum()))

    def chances(self, fit: Fit, cells: Columns, *, horizon: int, part: float = 0.0) -> Chances:
        """Tell the chance, and the same had the customer ordered today; expect as many orders as so far."""
        chance = self._chance(fit, cells)
        age_days = cells["known_days"]
        again = dict(cells) | {
            "orders": np.where(age_days > 0, np.maximum(cells["orders"], 1), 0),
            "span_days": age_days,
        }
        pace = (cells["orders"] + 1) / np.maximum(age_days, MONTH) * MONTH * horizon
        return Chances(chance, np.maximum(self._chance(fit, again), chance), pace)

    def _chance(self, fit: Fit, cells: Columns) -> Floats:
        total = np.full(len(cells["orders"]), fit.values["intercept"])
        for name, value in self.features(cells).items():
            total += fit.values[name] * (value - fit.values[f"{name}_mean"]) / fit.values[f"{name}_spread"]
        return _sigmoid(total)


def _newton(features: Floats, weight: Floats, ordered: Floats, prior: float) -> tuple[Floats, float]:
    design = np.column_stack([np.ones(len(features)), features])
    penalty = np.diag([0.0, *[2 * prior] * features.shape[1]]) + 1e-9 * np.eye(design.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        p = _sigmoid(design @ weights)
        slope = design.T @ (ordered - weight * p) - penalty @ weights
        bend = (design * (weight * p * (1 - p))[:, None]).T @ design + penalty
        step = np.clip(np.linalg.solve(bend, slope), -2, 2)
        weights = weights + step
        if np.max(np.abs(step)) < 1e-9:
            break
    p = np.clip(_sigmoid(design @ weights), 1e-12, 1 - 1e-12)
    return weights, float(np.dot(ordered, np.log(p)) + np.dot(weight - ordered, np.log1p(-p)))


def _sigmoid(value: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -700, 700))))
