"""Calibrate the key-account criteria on the tables of the current build; later builds use the anchors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any

import ibis.expr.types as ir

from connectors.kit.errors import SettingsError, choices
from engine.build.active_criteria import CALIBRATION, InForce, criteria_for
from engine.config.project import Project
from engine.storage.backend import backend
from transforms.scores.calibration import Anchors, calibrated, moved, rescored, spread, with_anchors
from transforms.scores.criteria import Criterion
from transforms.scores.criteria_scores import key_account_criteria
from transforms.scores.key_accounts import key_accounts


@dataclass(frozen=True)
class Calibration:
    """A calibration: anchors and spread of scores by criterion, and customers whose suggested tier changes."""

    version: str
    as_of: date
    anchors: list[Anchors]
    spread: dict[str, dict[str, Any]]
    moved: list[dict[str, Any]]
    is_kept: bool


def calibrate(project: Project, names: Sequence[str] = (), *, keep: bool = True) -> Calibration:
    """Compute new anchors from the current build; with `keep` they count from the next build on.

    Raises SettingsError when there is no build yet, when the criteria have changed since, or for an unknown
    criterion.
    """
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    active = criteria_for(project.ledger, project.model, current.as_of)
    con = backend.connect()
    reads = ("criteria", "key_account_criteria", "key_accounts", "customers")
    tables = {name: project.lake.read(con, name) for name in reads}
    _refuse_other_criteria(active, tables["criteria"])
    new_anchors = calibrated(
        tables["key_account_criteria"], tables["customers"], active.criteria, _fixed_criteria(project, active, names)
    )
    after = with_anchors(active.criteria, new_anchors)
    version = _version(after)
    old, new = (_scored(tables, active, criteria, project, current.as_of) for criteria in (active.criteria, after))
    if keep:
        values = {
            anchors.criterion: {"anchors": anchors.after, "n": anchors.values}
            for anchors in new_anchors
            if _counts(anchors, active)
        }
        project.ledger.model_parameters.save(CALIBRATION, version, current.as_of, {"criteria": values})
    return Calibration(
        version,
        current.as_of,
        new_anchors,
        {row.pop("criterion"): row for row in spread(old[0], new[0]).to_pyarrow().to_pylist()},
        moved(old[1], new[1], tables["customers"]).to_pyarrow().to_pylist(),
        keep,
    )


def _fixed_criteria(project: Project, active: InForce, names: Sequence[str]) -> dict[str, str]:
    names_in_use = [criterion.name for criterion in active.criteria]
    wrong = next((name for name in names if name not in names_in_use), None)
    if wrong:
        raise SettingsError(f"no criterion {wrong!r}; {choices(wrong, names_in_use)}")
    fixed = {criterion.name: "it is scored by hand" for criterion in active.criteria if criterion.is_manual}
    configured = project.model.key_accounts.criteria
    fixed |= {
        name: "its anchors are in the customer model" for name, criterion in configured.items() if criterion.anchors
    }
    return fixed | ({name: "not named in this command" for name in names_in_use if name not in names} if names else {})


def _refuse_other_criteria(active: InForce, built: ir.Table) -> None:
    """Raise SettingsError when the build measured other criteria; weights and anchors do not matter."""
    measured = {(row["criterion"], row["sql"], row["measure"]) for row in built.to_pyarrow().to_pylist()}
    if measured != {(criterion.name, criterion.sql, criterion.measure) for criterion in active.criteria}:
        raise SettingsError("the criteria have changed since the last build: run `belvedere build` first")


def _scored(
    tables: dict[str, Any], active: InForce, criteria: Sequence[Criterion], project: Project, as_of: date
) -> Any:
    wanted = project.model.key_accounts
    shared: dict[str, Any] = {
        "as_of": as_of,
        "criteria": criteria,
        "missing": active.missing,
        "overrides": active.overrides,
    }
    long = key_account_criteria(rescored(tables["key_account_criteria"], criteria), **shared)
    limits: dict[str, Any] = {
        "min_total": wanted.min_total,
        "min_coverage": wanted.min_coverage,
        "capacity": wanted.capacity,
        "is_review": False,
    }
    return long, key_accounts(long, tables["customers"], tables["key_accounts"], **shared, **limits)


def _counts(anchors: Anchors, active: InForce) -> bool:
    """Return whether anchors come from a calibration, this one or an earlier one."""
    earlier = active.calibration.values["criteria"] if active.calibration else {}
    return anchors.unchanged_reason is None or anchors.criterion in earlier


def _version(criteria: Sequence[Criterion]) -> str:
    content = repr([(criterion.name, criterion.anchors) for criterion in criteria])
    return f"cal-{sha256(content.encode()).hexdigest()[:8]}"
