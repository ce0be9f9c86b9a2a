"""Criteria for key accounts, as data: name, group, weight, anchors, words, and where the measure comes from.

Anchors are frozen: the score of a customer never moves because another one does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

import ibis
import ibis.expr.types as ir

NEUTRAL = 5.5
GROUPS = ("growth", "harmony", "value_creation")
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class CriterionError(ValueError):
    """A criterion's settings make no sense."""


@dataclass(frozen=True)
class Criterion:
    """Describe one criterion: ten anchors score 1 to 10, rising or falling.

    What it measures is one of our own measures by its name, or `sql`: an expression over the rows that a customer has
    in `table`, or nothing (`is_manual`): then only people give it a score.
    """

    name: str
    group: str
    weight: float
    anchors: tuple[float, ...]
    label: str
    sql: str | None = None
    table: str = "customers"
    is_manual: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise CriterionError(
                f"criterion {self.name!r}: a name may contain lower-case letters, digits and _ only, and starts with a letter"
            )
        if self.group not in GROUPS:
            raise CriterionError(f"criterion {self.name!r}: group must be one of {', '.join(GROUPS)}")
        if '"' in self.label or "\\" in self.label:
            raise CriterionError(f"criterion {self.name!r}: a label must not contain quotes or backslashes")
        if self.sql and self.is_manual:
            raise CriterionError(f"criterion {self.name!r}: set either `sql` or `manual: true`, not both")
        rises = all(lower <= upper for lower, upper in pairwise(self.anchors))
        falls = all(lower >= upper for lower, upper in pairwise(self.anchors))
        if len(self.anchors) != 10 or not (rises or falls):
            raise CriterionError(f"criterion {self.name!r}: anchors must be ten numbers that rise or fall")

    @property
    def is_falling(self) -> bool:
        """Tell whether less is better."""
        return self.anchors[0] > self.anchors[-1]

    @property
    def measure(self) -> str:
        """Tell where the measure comes from: ours, sql or manual."""
        return "manual" if self.is_manual else "sql" if self.sql else "ours"

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
        for (lower, start), (upper, end) in pairwise(points):
            steps.append((value <= upper, start + (value - lower) * ((end - start) / (upper - lower))))
        return ibis.cases(*steps, else_=high).round(9)

    def _points(self) -> list[tuple[float, float]]:
        """Pair each distinct anchor with its score, ascending by anchor."""
        scores: dict[float, list[int]] = {}
        for score, anchor in enumerate(self.anchors, start=1):
            scores.setdefault(float(anchor), []).append(score)
        return sorted((anchor, sum(places) / len(places)) for anchor, places in scores.items())


def configured(
    changes: Mapping[str, Mapping[str, Any]],
    defaults: Sequence[Criterion],
    calibrated: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Criterion, ...]:
    """Lay a user's changes and own criteria over the defaults; anchors are the user's, else calibrated, else the default's.

    A change is {weight, group, label, anchors, sql, table, manual, enabled}; raises CriterionError.
    """
    by_name = {default.name: default for default in defaults}
    chosen = []
    for name in {**by_name, **changes}:
        change = {key: value for key, value in changes.get(name, {}).items() if value is not None}
        if not change.pop("enabled", True):
            continue
        anchors = change.pop("anchors", None) or (calibrated or {}).get(name)
        if anchors:
            change["anchors"] = tuple(float(anchor) for anchor in anchors)
        change["is_manual"] = change.pop("manual", False)
        chosen.append(replace(by_name[name], **change) if name in by_name else _own(name, change, by_name))
    if not sum(criterion.weight for criterion in chosen):
        raise CriterionError("at least one criterion needs a weight above 0")
    return tuple(chosen)


def version(criteria: Sequence[Criterion], missing: str) -> str:
    """Name a set of criteria by what it is."""
    definition = repr(
        [
            (
                criterion.name,
                criterion.group,
                criterion.weight,
                criterion.anchors,
                criterion.sql,
                criterion.table,
                criterion.is_manual,
            )
            for criterion in criteria
        ]
    )
    return f"kam-{sha256((definition + missing).encode()).hexdigest()[:8]}"


def _own(name: str, setting: Mapping[str, Any], by_name: Mapping[str, Criterion]) -> Criterion:
    """Make a criterion that is not among the defaults; a manual one needs no anchors."""
    if not setting.get("sql") and not setting["is_manual"]:
        raise CriterionError(
            f"no criterion {name!r}; choices: {', '.join(by_name)}. A new criterion needs `sql` or `manual: true`"
        )
    lacking = [key for key in ("group", "weight") if key not in setting]
    lacking += [] if setting["is_manual"] or "anchors" in setting else ["anchors"]
    if lacking:
        raise CriterionError(f"your criterion {name!r} needs {', '.join(lacking)}")
    fallback: dict[str, Any] = {
        "anchors": tuple(float(score) for score in range(1, 11)),
        "label": name.replace("_", " ").capitalize(),
    }
    return Criterion(name, **fallback | dict(setting))
