"""The history of scores as an asset with daily partitions: a build adds its day, a backfill makes past days again."""

import warnings
from collections.abc import Iterator
from datetime import date
from inspect import getdoc

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.build.backfill import backfill
from engine.build.context import TableResult
from engine.build.score_history import TABLE
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.keys import STAGE, table_key
from orchestration.assets.schema_checks import rules
from schemas.find import model

GROUP = "history"


def history_assets() -> dg.Definitions:
    """Make the asset `score_history`; each partition is the date that its scores are about."""
    config = Project.load().model
    start = config.history_start

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # backfill_policy: a run a day would take hours for a year

        @dg.asset(
            key=table_key(TABLE),
            partitions_def=dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1),
            backfill_policy=dg.BackfillPolicy.single_run(),
            group_name=GROUP,
            deps=[table_key(name) for name in sorted(TABLES.reads(TABLE))],
            check_specs=[dg.AssetCheckSpec("rules", asset=table_key(TABLE))],
            tags={STAGE: "history"},
            kinds={config.engine, "parquet"},
            pool="build",
            description=f"{getdoc(model(TABLE))} Each build adds its day; a partition that is materialised here is made "
            "from facts dated up to that day alone. A range is filled oldest first.",
        )
        def score_history(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            project, results = Project.load(), []
            try:
                for day in sorted(context.partition_keys):
                    results.append(backfill(project, date.fromisoformat(day), context.run.run_id))
                    context.log.info(f"{day}: {results[-1].rows} rows")
            except (ConnectorError, LeaseTaken) as error:
                raise failure(error) from None
            total = TableResult(
                TABLE, sum(day_result.rows for day_result in results), sum(day_result.seconds for day_result in results)
            )
            for day_result in results:
                total.broken |= day_result.broken
            yield dg.MaterializeResult(metadata={"dagster/row_count": total.rows, "seconds": round(total.seconds, 2)})
            yield rules(total)

    return dg.Definitions(assets=[score_history])


def add_day(context: dg.AssetExecutionContext, day: date, result: TableResult) -> None:
    """Show in Dagster that a build has added its day."""
    metadata = {"dagster/row_count": result.rows, "seconds": round(result.seconds, 2)}
    context.log_event(dg.AssetMaterialization(table_key(TABLE), partition=day.isoformat(), metadata=metadata))
    for reason, rows in result.broken.items():
        context.log.error(f"{TABLE}: {rows} rows: {reason}")
