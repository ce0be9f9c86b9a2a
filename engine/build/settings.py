"""The settings of a build: what the functions of the registry name as keyword-only parameters."""

from datetime import date
from typing import Any

from engine.build.active_criteria import criteria_for
from engine.config.project import Project
from transforms.scores.score_changes import LABELS

KEY_ACCOUNTS = ("min_total", "min_coverage", "capacity", "review_months", "cost_per_ticket", "cost_per_agent_hour")
MODEL = ("reporting_currency", "links", "max_cluster", "matching", "rates", "max_rate_age_days", "handover_days")


def build_settings(project: Project, as_of: date) -> dict[str, Any]:
    """Return the value of every setting by name.

    Raises SettingsError for criteria and overrides that contradict each other.
    """
    model, active = project.model, criteria_for(project.ledger, project.model, as_of)
    satisfaction = model.satisfaction
    targets = {"first_reply": satisfaction.first_reply_minutes, "resolution": satisfaction.resolution_minutes}
    return {
        **model.reminders.model_dump(),
        **{name: getattr(model.key_accounts, name) for name in KEY_ACCOUNTS},
        **{name: getattr(model, name) for name in MODEL},
        "as_of": as_of,
        "project": project,
        "roles": project.roles(),
        "survivorship": {name: rule.model_dump(exclude_none=True) for name, rule in model.survivorship.items()},
        "retention_config": model.retention,
        "satisfaction_config": satisfaction,
        "targets": targets,
        "active_criteria": active,
        "criteria": active.criteria,
        "missing": active.missing,
        "overrides": active.overrides,
        "labels": LABELS | {criterion.name.upper(): criterion.label for criterion in active.criteria},
        "most": max(len(LABELS), len(active.criteria)),
    }
