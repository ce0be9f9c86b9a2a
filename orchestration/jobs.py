"""The jobs, the nightly schedule and the sensors around the assets."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from engine.config.project import Project
from engine.extract.run import failed_required
from orchestration.assets.keys import STAGE
from orchestration.dead_runs import BY_HAND, end_dead_runs

# A server process imports everything once; each step is a fork of it, which saves seconds of CPU a step.
FORKED = {"forkserver": {"preload_modules": ["orchestration.definitions", "orchestration.step_server"]}}
EARLIER_STAGE = "belvedere/beat"  # by which a dagster.yaml of version 0.1 in a home limits the runs of a stage to one
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]  # what was canceled starts nothing


def stages() -> dg.Definitions:
    """Define the jobs `extract`, `build`, `deliver` and `backtest`, the schedule `nightly` and what joins them."""
    extract = dg.define_asset_job(
        "extract",
        selection=dg.AssetSelection.tag(STAGE, "extract"),
        description="Pull what changed from every connection into the raw lake.",
        executor_def=dg.multiprocess_executor.configured({"max_concurrent": 4, "start_method": FORKED}),
        tags={STAGE: "extract", EARLIER_STAGE: "extract"},
    )
    build = dg.define_asset_job(
        "build",
        selection=dg.AssetSelection.tag(STAGE, "build"),
        description="Make every table from the newest good raw snapshots.",
        executor_def=dg.in_process_executor,
        tags={STAGE: "build", EARLIER_STAGE: "build"},
    )
    deliver = dg.define_asset_job(
        "deliver",
        selection=dg.AssetSelection.tag(STAGE, "deliver"),
        description="Publish the tables; plan, guard and apply changes at the targets.",
        executor_def=dg.in_process_executor,
        tags={STAGE: "deliver", EARLIER_STAGE: "deliver"},
    )
    backtest = dg.define_asset_job(
        "backtest",
        selection=dg.AssetSelection.tag(STAGE, "backtest"),
        description="Predict from past dates by every model of retention, and compare with what came.",
        executor_def=dg.in_process_executor,
    )
    nightly = dg.ScheduleDefinition(
        name="nightly",
        job=extract,
        cron_schedule="0 2 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Start the night at 02:00 UTC; build and deliver follow by themselves.",
    )
    return dg.Definitions(
        jobs=[extract, build, deliver, backtest],
        schedules=[nightly],
        sensors=[
            _follows("build_after_extract", "extract", "build", ENDED),
            _follows("deliver_after_build", "build", "deliver", [dg.DagsterRunStatus.SUCCESS], _required_missing),
            killed_commands,
        ],
    )


def _follows(
    name: str,
    first: str,
    then: str,
    statuses: list[dg.DagsterRunStatus],
    hindrance: Callable[[], str | None] = lambda: None,
) -> dg.SensorDefinition:
    ended = " or ".join(sorted(status.value.lower() for status in statuses))

    @dg.sensor(
        name=name,
        job_name=then,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Start `{then}` when `{first}` has ended ({ended}).",
    )
    def follow(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        since = datetime.fromisoformat(context.cursor) if context.cursor else datetime.now(UTC)
        records = context.instance.get_run_records(
            dg.RunsFilter(job_name=first, statuses=statuses, updated_after=since), ascending=True
        )
        context.update_cursor(max([since, *(_aware(record.update_timestamp) for record in records)]).isoformat())
        runs = [record.dagster_run for record in records if _is_followed(record.dagster_run)]
        if runs and (reason := hindrance()):
            yield dg.SkipReason(reason)
            return
        yield from (dg.RunRequest(run_key=run.run_id) for run in runs)

    return follow


def _is_followed(run: dg.DagsterRun) -> bool:
    """Whether a run starts the next stage: not runs of commands, nor those whose process was stopped."""
    was_stopped = run.tags.get(RUN_FAILURE_REASON_TAG) == RunFailureReason.UNEXPECTED_TERMINATION.value
    return BY_HAND not in run.tags and not was_stopped


def _required_missing() -> str | None:
    missing = failed_required(Project.load())
    return f"nothing is delivered: required connection {', '.join(missing)} could not be read" if missing else None


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Mark runs of commands that were killed as failed: as long as they count as started, none like them starts.",
)
def killed_commands(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """End the runs of commands whose process is dead; it starts nothing."""
    ended = end_dead_runs(context.instance, Project.load().ledger)
    return dg.SkipReason(f"runs of killed commands: {', '.join(ended) or 'none'}")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
