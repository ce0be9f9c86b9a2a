"""Runs started from the shell, recorded in the Dagster instance so that its UI shows them."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import dagster as dg

from engine.config.project import Project
from engine.storage.disk import DiskError, explain_recorded
from engine.storage.lease import lease
from orchestration.assets.field_checks import FIELDS
from orchestration.assets.keys import name_of
from orchestration.cli.exits import Exit
from orchestration.cli.instance import instance
from orchestration.cli.stop import NoiseFilter, before_hard_end, end_children, is_stopped
from orchestration.dead_runs import BY_HAND, LEASE, end_dead_runs
from orchestration.definitions import defs

# The commands print the results themselves; Dagster's console log would repeat them, line by line.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunResult:
    """How a run ended: its id, failure messages, and the metadata of the assets it materialised.

    `checks` are (asset, check, passed, description). `warnings` are failed checks of fields that only
    warn: (asset, description).
    """

    run_id: str
    success: bool
    failures: list[str] = field(default_factory=list)
    is_locked: bool = False
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[tuple[str, str, bool, str | None]] = field(default_factory=list)
    warnings: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def exit(self) -> Exit:
        """Return the exit code of the run."""
        if self.is_locked:
            return Exit.LOCKED
        return Exit.DONE if self.success else Exit.FAILED


def extract_job() -> dg.JobDefinition:
    """Return the job that step processes load again."""
    return defs().resolve_job_def("extract")


def run(job: str, *, assets: list[dg.AssetKey] | None = None, config: Mapping[str, Any] | None = None) -> RunResult:
    """Run a job in this process and wait for its end.

    Raises SettingsError for settings that cannot be used (Dagster would report them with a long traceback),
    LeaseTaken when another run holds a lease that this one needs, DiskError when the disk is full or fails,
    and KeyboardInterrupt when the command was asked to stop.
    """
    project = Project.load()
    name = f"command:{uuid4().hex}"
    options = {
        "run_config": {**QUIET, **(config or {})},
        "tags": {BY_HAND: "true", LEASE: name},
        "asset_selection": assets,
        "raise_on_error": False,
    }
    with instance() as opened:
        end_dead_runs(opened, project.ledger)
        with lease(project.ledger, name, job):
            before_hard_end(lambda: _cancel(opened, name))
            try:
                with redirect_stderr(NoiseFilter(sys.stderr)):
                    ran = _execute(job, opened, options)
            except BaseException:
                end_children()
                raise
            finally:
                if is_stopped():
                    _cancel(opened, name)
    if is_stopped():
        raise KeyboardInterrupt
    return ran


def _execute(job: str, opened: dg.DagsterInstance, options: dict[str, Any]) -> RunResult:
    if job == "extract":
        with dg.execute_job(dg.reconstructable(extract_job), instance=opened, **options) as result:
            return _run_result(result)
    return _run_result(defs().resolve_job_def(job).execute_in_process(instance=opened, **options))


def _cancel(opened: dg.DagsterInstance, name: str) -> None:
    """Mark the run of a stopped command as canceled; errors (a full disk) must not hide why it ended."""
    end_children()
    with suppress(Exception):
        for dagster_run in opened.get_runs(dg.RunsFilter(tags={LEASE: name})):
            if dagster_run.status is not dg.DagsterRunStatus.SUCCESS:
                opened.report_run_canceled(dagster_run, "The command that ran this was stopped by a signal.")


def _run_result(result: Any) -> RunResult:
    """Collect failures, metadata and checks of a run. Raises DiskError where the disk was the reason."""
    ran = RunResult(result.run_id, result.success)
    for event in result.all_events:
        if event.is_step_failure:
            _add_failure(ran, event.step_failure_data)
        elif event.is_job_failure and not event.job_failure_data.first_step_failure_event:  # no step reports it
            _add_unexpected(ran, event.job_failure_data.error)
        elif event.is_step_materialization:
            materialization = event.step_materialization_data.materialization
            key = name_of(materialization.asset_key)
            ran.metadata[key] = {name: value.value for name, value in materialization.metadata.items()}
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            check = event.asset_check_evaluation_data
            key = name_of(check.asset_key)
            if check.check_name == FIELDS and not check.passed and check.severity == dg.AssetCheckSeverity.WARN:
                ran.warnings.append((key, check.description))
            else:
                ran.checks.append((key, check.check_name, check.passed, check.description))
    return ran


def _add_failure(ran: RunResult, data: Any) -> None:
    user = data.user_failure_data
    if user and user.description:
        ran.failures.append(user.description)
        ran.is_locked = ran.is_locked or "belvedere/held" in user.metadata
    elif not (data.error and data.error.cls_name == "DagsterAssetCheckFailedError"):  # the check itself is reported
        _add_unexpected(ran, data.error)


def _add_unexpected(ran: RunResult, error: Any) -> None:
    """Add the traceback of an unexpected error. Raises DiskError instead where the disk caused it."""
    if reason := explain_recorded(error):
        raise DiskError(reason)
    if error:
        ran.failures.append(error.to_string().strip())
