"""The build's assets: one step makes all tables, and they become current together."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from inspect import getdoc

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.build.conform import streams_feeding
from engine.build.context import TableResult
from engine.build.registry import Table
from engine.build.run import build
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.extract.run import stale
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.history import add_day
from orchestration.assets.keys import STAGE, raw_key, table_key
from orchestration.assets.metadata import table_metadata
from orchestration.assets.schema_checks import rules
from schemas.find import model

BUILD_OP = "build_tables"
SHOWN = 5


class AsOf(dg.Config):
    """Say which date the scores are about, YYYY-MM-DD; today when not given."""

    as_of: str | None = None


def build_assets() -> dg.Definitions:
    """Make the assets of the build, with a check on each that its rows keep their schema's rules."""
    project = Project.load()
    # The daily history has partitions, so it is an asset of its own.
    tables = [table for table in TABLES.tables.values() if not table.is_daily]
    specs = [_spec(project, table) for table in tables]
    # Blocking: a check of severity ERROR that fails makes the run fail, and nothing is delivered after it.
    checks = [dg.AssetCheckSpec("rules", asset=table_key(table.name), blocking=True) for table in tables]
    lost = "No record is lost on the way."
    checks.append(dg.AssetCheckSpec("balance", asset=table_key("reconciliation"), description=lost, blocking=True))

    @dg.multi_asset(name=BUILD_OP, specs=specs, check_specs=checks, pool="build")
    def everything(
        context: dg.AssetExecutionContext, config: AsOf
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        project = Project.load()
        as_of = date.fromisoformat(config.as_of) if config.as_of else datetime.now(UTC).date()
        old = stale(project)
        if old:
            context.log.warning(f"built from an earlier reading of: {', '.join(old)}")
        results = []
        try:
            for result in build(project, as_of, context.run.run_id):
                results.append(result)
                context.log.info(f"{result.table}: {result.rows} rows")
        except (ConnectorError, LeaseTaken) as error:
            raise failure(error) from None
        described = table_metadata(project, results)
        for result in results:
            if TABLES.tables[result.table].is_daily:
                add_day(context, as_of, result)
                continue
            stale_note = {"stale": dg.MetadataValue.text(", ".join(old))} if old else {}
            yield dg.MaterializeResult(asset_key=table_key(result.table), metadata=described[result.table] | stale_note)
            yield rules(result)
            if result.table == "reconciliation":
                yield _balance(result)

    return dg.Definitions(assets=[everything])


def _spec(project: Project, table: Table) -> dg.AssetSpec:
    schema = model(table.name).to_schema()
    columns = [
        dg.TableColumn(name, str(column.dtype), description=column.description)
        for name, column in schema.columns.items()
    ]
    return dg.AssetSpec(
        table_key(table.name),
        deps=[*_raw_deps(project, table), *map(table_key, table_deps(table.name))],
        group_name=table.group,
        description=getdoc(model(table.name)),
        kinds={project.model.engine, "parquet"},
        tags={STAGE: "build"},
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )


def table_deps(name: str) -> list[str]:
    """The tables that a table reads.

    In place of the daily history stands what its day is made of: the build makes it on the way,
    and an asset with partitions between assets of one step would be a circle for Dagster.
    """
    reads = TABLES.reads(name)
    daily = {other for other in reads if TABLES.tables[other].is_daily}
    return sorted((reads - daily).union(*(TABLES.reads(other) for other in daily)))


def _raw_deps(project: Project, table: Table) -> list[dg.AssetKey]:
    """The raw assets that the conform unit reads for a table."""
    feeding = list(streams_feeding(project, table.name))
    if table.name == "quarantine":
        feeding = [pair for name in TABLES.conformed for pair in streams_feeding(project, name)]
    elif table.name == "redirects":
        every = [(name, stream) for name in project.connections for stream in project.streams(name)]
        feeding = [(name, stream) for name, stream in every if stream.merges]
    return [raw_key(connection, stream.name) for connection, stream in feeding]


def _balance(result: TableResult) -> dg.AssetCheckResult:
    """Report what does not add up between the sources' own counts and the tables.

    It only warns where nothing but a connection that is not required could not be read to its end.
    """
    gaps = result.notes["gaps"]
    named = [*gaps[:SHOWN], *([f"and {len(gaps) - SHOWN} more"] if len(gaps) > SHOWN else [])]
    return dg.AssetCheckResult(
        passed=not gaps,
        check_name="balance",
        asset_key=table_key(result.table),
        severity=dg.AssetCheckSeverity.ERROR if result.notes["lost"] else dg.AssetCheckSeverity.WARN,
        description="; ".join(named) or None,
        metadata={"open": len(gaps)},
    )
