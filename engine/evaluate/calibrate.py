"""Calibrate the criteria for key accounts on the tables of the current build, and keep the anchors for builds to come."""

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
    """Report a calibration: anchors by criterion, how scores spread, and whose suggested tier changes."""

    version: str
    as_of: date
    anchors: list[Anchors]
    spread: dict[str, dict[str, Any]]
    moved: list[dict[str, Any]]
    is_kept: bool


def calibrate(project: Project, names: Sequence[str] = (), *, keep: bool = True) -> Calibration:
    """Take new anchors from the current build; they count from the next one.

    Raises SettingsError when nothing was built yet, or for a criterion that is not there.
    """
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    held = criteria_for(project.ledger, project.model, current.as_of)
    con = backend.connect()
    reads = ("criteria", "key_account_criteria", "key_accounts", "customers")
    t = {name: project.lake.read(con, name) for name in reads}
    _built_by(held, t["criteria"])
    found = calibrated(t["key_account_criteria"], t["customers"], held.criteria, _fixed(project, held, names))
    after = with_anchors(held.criteria, found)
    version = _version(after)
    old, new = (_scored(t, held, criteria, project, current.as_of) for criteria in (held.criteria, after))
    if keep:
        values = {one.criterion: {"anchors": one.after, "n": one.values} for one in found if _counts(one, held)}
        project.ledger.model_parameters.save(CALIBRATION, version, current.as_of, {"criteria": values})
    return Calibration(
        version,
        current.as_of,
        found,
        {row.pop("criterion"): row for row in spread(old[0], new[0]).to_pyarrow().to_pylist()},
        moved(old[1], new[1], t["customers"]).to_pyarrow().to_pylist(),
        keep,
    )


def _fixed(project: Project, held: InForce, names: Sequence[str]) -> dict[str, str]:
    known = [one.name for one in held.criteria]
    wrong = next((name for name in names if name not in known), None)
    if wrong:
        raise SettingsError(f"no criterion {wrong!r}; {choices(wrong, known)}")
    fixed = {one.name: "scored by hand" for one in held.criteria if one.is_manual}
    configured = project.model.key_accounts.criteria
    fixed |= {name: "its anchors are in the customer model" for name, one in configured.items() if one.anchors}
    return fixed | ({name: "not asked for" for name in known if name not in names} if names else {})


def _built_by(held: InForce, built: ir.Table) -> None:
    """Refuse tables whose criteria measured something else; weights and anchors do not matter."""
    measured = {(row["criterion"], row["sql"], row["measure"]) for row in built.to_pyarrow().to_pylist()}
    if measured != {(one.name, one.sql, one.measure) for one in held.criteria}:
        raise SettingsError("the criteria have changed since the last build: run `belvedere build` first")


def _scored(t: dict[str, Any], held: InForce, criteria: Sequence[Criterion], project: Project, as_of: date) -> Any:
    wanted = project.model.key_accounts
    shared: dict[str, Any] = {
        "as_of": as_of,
        "criteria": criteria,
        "missing": held.missing,
        "overrides": held.overrides,
    }
    long = key_account_criteria(rescored(t["key_account_criteria"], criteria), **shared)
    limits = {
        "min_total": wanted.min_total,
        "min_coverage": wanted.min_coverage,
        "capacity": wanted.capacity,
        "is_review": False,
    }
    return long, key_accounts(long, t["customers"], t["key_accounts"], **shared, **limits)


def _counts(one: Anchors, held: InForce) -> bool:
    """Tell whether anchors came of a calibration, this one or an earlier one."""
    earlier = held.calibration.values["criteria"] if held.calibration else {}
    return one.kept is None or one.criterion in earlier


def _version(criteria: Sequence[Criterion]) -> str:
    said = repr([(one.name, one.anchors) for one in criteria])
    return f"cal-{sha256(said.encode()).hexdigest()[:8]}"
