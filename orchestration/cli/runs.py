"""Runs started from the shell: recorded in the Dagster instance, so that its UI shows them."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.assets.fields import FIELDS
from orchestration.cli.exits import Exit
from orchestration.definitions import defs
from orchestration.jobs import BY_HAND
from orchestration.project import ROOT, Project, home_folder

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Ran:
    """Say how a run ended: its id, its failures in words, the metadata of what it materialised.

    `warnings` are checks of fields that only warn: nothing is missing, but somebody should look.
    """

    run_id: str
    success: bool
    failures: list[str] = field(default_factory=list)
    held: bool = False
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[tuple[str, str, bool, str | None]] = field(default_factory=list)
    warnings: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def exit(self) -> Exit:
        """Translate the end of the run for the shell."""
        if self.held:
            return Exit.HELD
        return Exit.DONE if self.success else Exit.FAILED


@contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of this project: DAGSTER_HOME, else in the home folder."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(home_folder() / "dagster")))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
    with dg.DagsterInstance.get() as opened:
        yield opened


def extract_job() -> dg.JobDefinition:
    """Return the job that step processes load again."""
    return defs().resolve_job_def("extract")


def run(job: str, *, assets: list[dg.AssetKey] | None = None, config: Mapping[str, Any] | None = None) -> Ran:
    """Run a job here and now, and wait for its end.

    Raises SettingsError for settings that cannot be used: Dagster would tell of them by a page of calls.
    """
    Project.load()
    run_config = {**QUIET, **(config or {})}
    tags = {BY_HAND: "true"}
    with instance() as opened:
        if job == "extract":
            with dg.execute_job(
                dg.reconstructable(extract_job),
                instance=opened,
                run_config=run_config,
                tags=tags,
                asset_selection=assets,
                raise_on_error=False,
            ) as result:
                return _ran(result)
        resolved = defs().resolve_job_def(job)
        return _ran(
            resolved.execute_in_process(
                instance=opened,
                run_config=run_config,
                tags=tags,
                asset_selection=assets,
                raise_on_error=False,
            )
        )


def _ran(result: Any) -> Ran:
    ran = Ran(result.run_id, result.success)
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            user = data.user_failure_data
            if user and user.description:
                ran.failures.append(user.description)
            elif not (
                data.error and data.error.cls_name == "DagsterAssetCheckFailedError"
            ):  # the check itself says why
                ran.failures.append(data.error_display_string.strip())
            ran.held = ran.held or bool(user and "belvedere/held" in user.metadata)
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            key = materialization.asset_key.to_user_string()
            ran.metadata[key] = {name: value.value for name, value in materialization.metadata.items()}
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            key = check.asset_key.to_user_string()
            if check.check_name == FIELDS and not check.passed and check.severity == dg.AssetCheckSeverity.WARN:
                ran.warnings.append((key, check.description))
            else:
                ran.checks.append((key, check.check_name, check.passed, check.description))
    return ran
