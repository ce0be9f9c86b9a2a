"""What makes a night of the assets: four jobs, one schedule, two sensors."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

# A server process imports everything once; each step is a fork of it, which saves seconds of CPU a step.
FORKED = {"forkserver": {"preload_modules": ["orchestration.definitions"]}}
BEAT = "belvedere/beat"
BY_HAND = "belvedere/by_hand"  # the caller runs the other beats itself: sensors leave such runs alone
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
BUILD_GROUPS = ("conform", "customers", "scores", "views", "portfolio")
DELIVER_GROUPS = ("deliver", "publish")


def beats() -> dg.Definitions:
    """Define the jobs `extract`, `build`, `deliver` and `backtest`, the schedule `nightly` and what joins them."""
    extract = dg.define_asset_job(
        "extract",
        selection=dg.AssetSelection.groups("extract"),
        description="Pull what changed from every connection into the raw lake.",
        executor_def=dg.multiprocess_executor.configured({"max_concurrent": 4, "start_method": FORKED}),
        tags={BEAT: "extract"},
    )
    build = dg.define_asset_job(
        "build",
        selection=dg.AssetSelection.groups(*BUILD_GROUPS),
        description="Make every table from the newest good raw snapshots.",
        executor_def=dg.in_process_executor,
        tags={BEAT: "build"},
    )
    deliver = dg.define_asset_job(
        "deliver",
        selection=dg.AssetSelection.groups(*DELIVER_GROUPS),
        description="Publish the tables; plan, guard and apply changes at the targets.",
        executor_def=dg.in_process_executor,
        tags={BEAT: "deliver"},
    )
    backtest = dg.define_asset_job(
        "backtest",
        selection=dg.AssetSelection.groups("backtest"),
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
            _follows("deliver_after_build", "build", "deliver", [dg.DagsterRunStatus.SUCCESS]),
        ],
    )


def _follows(
    name: str,
    first: str,
    then: str,
    statuses: list[dg.DagsterRunStatus],
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
        for record in records:
            if BY_HAND not in record.dagster_run.tags:
                yield dg.RunRequest(run_key=record.dagster_run.run_id)

    return follow


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
