"""The fifteen criteria for key accounts, as data: name, group, weight, anchors, words.

Names and grouping follow Warwick Brown's scoring matrix (growth, harmony, value creation); the last four of value
creation, and all formulas and anchors, are our own. Anchors are frozen: the score of a customer never moves because
another one does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.types as ir

NEUTRAL = 5.5
GROUPS = ("growth", "harmony", "value_creation")


class CriterionError(ValueError):
    """A criterion's settings make no sense."""


@dataclass(frozen=True)
class Criterion:
    """Describe one criterion: ten anchors score 1 to 10, rising or falling."""

    name: str
    group: str
    weight: float
    anchors: tuple[float, ...]
    label: str

    def __post_init__(self) -> None:
        rises = all(left <= right for left, right in pairwise(self.anchors))
        falls = all(left >= right for left, right in pairwise(self.anchors))
        if len(self.anchors) != 10 or not (rises or falls):
            raise CriterionError(f"criterion {self.name!r}: anchors must be ten numbers that rise or fall")

    def score(self, measured: ir.NumericValue) -> ir.NumericValue:
        """Map a measured value to 1 to 10, linear between anchors; equal anchors score their mean; null stays null."""
        value = measured.cast("float64")
        points = self._points()
        if len(points) == 1:
            return ibis.ifelse(value.isnull(), ibis.null("float64"), points[0][1])
        (first, low), (last, high) = points[0], points[-1]
        steps: list[tuple[Any, Any]] = [
            (value.isnull(), ibis.null("float64")),
            (value <= first, low),
            (value >= last, high),
        ]
        for (left, start), (right, end) in pairwise(points):
            steps.append((value <= right, start + (value - left) * ((end - start) / (right - left))))
        return ibis.cases(*steps, else_=high).round(9)

    def _points(self) -> list[tuple[float, float]]:
        """Pair each distinct anchor with its score, ascending by anchor."""
        scores: dict[float, list[int]] = {}
        for place, anchor in enumerate(self.anchors, start=1):
            scores.setdefault(float(anchor), []).append(place)
        return sorted((anchor, sum(places) / len(places)) for anchor, places in scores.items())


def _criterion(name: str, group: str, weight: float, anchors: str, label: str) -> Criterion:
    return Criterion(name, group, weight, tuple(float(anchor) for anchor in anchors.split()), label)


DEFAULTS = (
    _criterion(
        "revenue_level",
        "growth",
        12,
        "1e3 2.5e3 5e3 1e4 2.5e4 5e4 1e5 2.5e5 5e5 1e6",
        "Net revenue in 12 months",
    ),
    _criterion(
        "revenue_growth",
        "growth",
        7,
        "-1 -.5 -.25 -.1 0 .05 .1 .25 .5 1",
        "Growth against the 12 months before",
    ),
    _criterion(
        "pipeline_potential",
        "growth",
        7,
        "0 .02 .05 .1 .15 .2 .3 .5 .75 1",
        "Weighted open deals against revenue",
    ),
    _criterion("demand_stability", "growth", 5, ".2 .3 .4 .45 .5 .55 .6 .7 .8 .9", "Evenness of monthly revenue"),
    _criterion(
        "cost_to_serve",
        "growth",
        5,
        ".30 .20 .15 .10 .075 .05 .03 .02 .01 0",
        "Cost of support against revenue",
    ),
    _criterion("market_reach", "growth", 4, "0 1 2 3 4 5 6 8 10 15", "Countries delivered to and subsidiaries"),
    _criterion("product_fit", "harmony", 9, "40 50 55 60 65 70 75 80 85 95", "Satisfaction"),
    _criterion(
        "innovation_adoption",
        "harmony",
        5,
        "0 .02 .05 .08 .12 .16 .22 .3 .4 .6",
        "Revenue from newly bought categories",
    ),
    _criterion("advocacy", "harmony", 5, "20 30 40 50 55 60 65 70 80 90", "Recommendations and referrals"),
    _criterion("reputation", "harmony", 4, "5 10 25 50 100 250 500 1e3 5e3 2e4", "Employees"),
    _criterion("decision_access", "harmony", 7, "0 1 2 3 4 5 6 8 10 12", "People in two-way contact, by rank"),
    _criterion("contribution_margin", "value_creation", 10, "0 .05 .1 .15 .2 .25 .3 .4 .5 .6", "Margin"),
    _criterion(
        "product_breadth",
        "value_creation",
        7,
        "0 .05 .1 .15 .2 .25 .3 .4 .5 .7",
        "Share of our categories bought",
    ),
    _criterion("relationship_depth", "value_creation", 6, "0 1 2 3 4 5 6 8 10 12", "Months with contact both ways"),
    _criterion("payment_discipline", "value_creation", 7, "90 60 45 30 20 15 10 5 2 0", "Days paid late, by amount"),
)


def configured(
    changes: Mapping[str, Mapping[str, Any]], defaults: Sequence[Criterion] = DEFAULTS
) -> tuple[Criterion, ...]:
    """Lay a user's changes over the defaults: weight, group, anchors, enabled; raises CriterionError."""
    known = {criterion.name: criterion for criterion in defaults}
    for name in changes:
        if name not in known:
            raise CriterionError(f"no criterion {name!r}; choices: {', '.join(known)}")
    chosen = []
    for name, criterion in known.items():
        change = dict(changes.get(name, {}))
        if change.pop("enabled", True):
            given = {key: value for key, value in change.items() if value is not None}
            chosen.append(
                replace(criterion, **given | ({"anchors": tuple(given["anchors"])} if "anchors" in given else {}))
            )
    if not sum(criterion.weight for criterion in chosen):
        raise CriterionError("at least one criterion needs a weight above 0")
    return tuple(chosen)


def version(criteria: Sequence[Criterion], missing: str) -> str:
    """Name a set of criteria by what it is."""
    said = repr([(one.name, one.group, one.weight, one.anchors) for one in criteria]) + missing
    return f"kam-{sha256(said.encode()).hexdigest()[:8]}"
