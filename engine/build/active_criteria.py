"""The criteria and overrides of a build: the defaults, the last calibration, and the customer model."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from connectors.kit.errors import SettingsError
from engine.config.customer_model import CustomerModelConfig
from engine.storage.ledger import Ledger
from engine.storage.stores.model_parameters import Parameters
from transforms.scores.criteria import Criterion, CriterionError, configured, version
from transforms.scores.default_criteria import DEFAULTS

CALIBRATION = "criteria_calibration"
SCORES = ("retention", "satisfaction", "key_account", "tier")


@dataclass(frozen=True)
class InForce:
    """The criteria, how a missing measure counts, the overrides, and the calibration behind the anchors."""

    criteria: tuple[Criterion, ...]
    missing: str
    overrides: list[dict[str, Any]]
    calibration: Parameters | None

    @property
    def version(self) -> str:
        """The version of the criteria, a hash of their settings."""
        return version(self.criteria, self.missing)


def criteria_for(ledger: Ledger, config: CustomerModelConfig, as_of: date) -> InForce:
    """Return what holds as of a date; raises SettingsError for settings that contradict each other."""
    calibration = ledger.model_parameters.newest(CALIBRATION, as_of)
    anchors = (
        {name: criterion["anchors"] for name, criterion in calibration.values["criteria"].items()}
        if calibration
        else {}
    )
    return InForce(_configured(config, anchors), config.key_accounts.missing, _overrides(config), calibration)


def criteria_rows(active: InForce, config: CustomerModelConfig, as_of: date, schema: pa.Schema) -> pa.Table:
    """Return the rows of `criteria`, with where the anchors come from."""
    calibrated = active.calibration.values["criteria"] if active.calibration else {}
    rows = []
    for criterion in active.criteria:
        change = config.key_accounts.criteria.get(criterion.name)
        is_ours = change is None or change.anchors is None
        origin = "calibrated" if is_ours and criterion.name in calibrated else "default" if is_ours else "configured"
        rows.append(
            {
                "criterion": criterion.name,
                "label": criterion.label,
                "group": criterion.group,
                "weight": criterion.weight,
                "measure": criterion.measure,
                "sql": criterion.sql,
                "table": criterion.table if criterion.sql else None,
                "anchors": " ".join(f"{anchor:g}" for anchor in criterion.anchors),
                "anchors_from": origin,
                "calibrated_on": active.calibration.as_of if active.calibration and origin == "calibrated" else None,
                "model_version": active.version,
                "as_of": as_of,
            }
        )
    return pa.Table.from_pylist(rows, schema)


def _configured(config: CustomerModelConfig, anchors: dict[str, Sequence[float]]) -> tuple[Criterion, ...]:
    changes = {
        name: change.model_dump(exclude={"is_overridable"}) for name, change in config.key_accounts.criteria.items()
    }
    try:
        return configured(changes, DEFAULTS, anchors)
    except CriterionError as error:
        raise SettingsError(f"customer model: key_accounts: {error}") from None


def _overrides(config: CustomerModelConfig) -> list[dict[str, Any]]:
    """Check what each override is about, and return them with their ids."""
    names = {override.name for override in _configured(config, {})}
    fixed = {name for name, change in config.key_accounts.criteria.items() if not change.is_overridable}
    rows = []
    for override in config.overrides:
        if override.what not in (*SCORES, *names):
            raise SettingsError(
                f"customer model: overrides: {override.what!r} is no score and no criterion; "
                f"choices: {', '.join((*SCORES, *sorted(names)))}"
            )
        if override.what in fixed:
            raise SettingsError(f"customer model: overrides: criterion {override.what!r} may not be overridden")
        rows.append(override.row())
    ids = [row["override_id"] for row in rows]
    doubled = next((row for row in rows if ids.count(row["override_id"]) > 1), None)
    if doubled:
        raise SettingsError(
            f"customer model: overrides: {doubled['what']} of {doubled['customer_id']} is there twice for "
            f"{doubled['created_on']} by {doubled['author']}"
        )
    return rows
