"""The build's assets: one step makes all tables, and they become current together."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from inspect import getdoc

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.build.conform import streams_feeding
from engine.build.context import TableResult
from engine.build.freshness import stale_tables
from engine.build.own_table import OwnTable
from engine.build.project_registry import registry_of
from engine.build.registry import Registry, Table
from engine.build.run import build, rebuild
from engine.build.score_history import TABLE as HISTORY
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.extract.run import stale
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.history import add_day
from orchestration.assets.keys import STAGE, raw_key, table_key
from orchestration.assets.metadata import table_metadata
from orchestration.assets.schema_checks import rules
from pages.visible import visible
from schemas.find import model

BUILD_OP = "build_tables"
SHOWN = 5


class AsOf(dg.Config):
    """The date that the scores are about, YYYY-MM-DD.

    Today when not given; where some of the tables are made, the date of the others.
    """

    as_of: str | None = None


def build_assets() -> dg.Definitions:
    """Make the assets of the build, with a check on each that its rows keep their schema's rules.

    One step makes all of them, or those that are selected: they become current together.
    """
    project = Project.load()
    registry = registry_of(project)
    # The daily history has partitions, so it is an asset of its own.
    tables = [table for table in registry.tables.values() if not table.is_daily]
    keys = {table.name: table_key(table.name) for table in tables}
    # Blocking: a check of severity ERROR that fails makes the run fail, and nothing is delivered after it.
    checks = [dg.AssetCheckSpec("rules", asset=key, blocking=True) for key in keys.values()]
    lost = "No record is lost on the way."
    balance = dg.AssetCheckSpec("balance", asset=keys["reconciliation"], description=lost, blocking=True)

    @dg.multi_asset(
        name=BUILD_OP,
        specs=[_spec(project, registry, table) for table in tables],
        check_specs=[*checks, balance],
        pool="build",
        can_subset=True,
    )
    def tables_of_a_build(
        context: dg.AssetExecutionContext, config: AsOf
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        project, run_id = Project.load(), context.run.run_id
        as_of = date.fromisoformat(config.as_of) if config.as_of else None
        selected = [name for name, key in keys.items() if key in context.selected_asset_keys]
        if len(selected) == len(keys):
            as_of = as_of or datetime.now(UTC).date()
            results = build(project, as_of, run_id)
        else:
            results = rebuild(project, selected, run_id, as_of)
            snapshot = project.ledger.snapshots.current()
            as_of = snapshot.as_of if snapshot else as_of
        yield from _reported(context, project, as_of, results)

    return dg.Definitions(assets=[tables_of_a_build])


def _reported(
    context: dg.AssetExecutionContext, project: Project, as_of: date | None, results: Iterator[TableResult]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Run a build, then yield its tables with their checks once they are current.

    Tables that were made along with selected ones are reported as events: Dagster takes no result
    of an asset that was not selected. A check of theirs that fails fails the step.
    """
    unread = stale(project)
    if unread:
        context.log.warning(f"built from an earlier reading of: {', '.join(unread)}")
    built = []
    try:
        for result in results:
            built.append(result)
            context.log.info(f"{result.table}: {result.rows} rows in {result.seconds:.1f} s")
    except (ConnectorError, LeaseTaken) as error:
        raise failure(error) from None
    described = table_metadata(project, built)
    failed = []
    for result in built:
        key, checks = table_key(result.table), _checks(result)
        metadata = described[result.table]
        if unread:
            metadata["stale"] = dg.MetadataValue.text(", ".join(unread))
        if as_of and result.table == HISTORY:
            add_day(context, as_of, result)
        elif key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
            chosen = {check_key.name for check_key in context.selected_asset_check_keys if check_key.asset_key == key}
            yield from (check for check in checks if check.check_name in chosen)
        else:
            context.log_event(dg.AssetMaterialization(key, metadata=metadata))
            failed += [f"{result.table}: {check.description}" for check in checks if _is_error(check)]
    if to_make := stale_tables(project):
        context.log.warning(f"nothing is published or delivered until these are made too: {', '.join(to_make)}")
    if failed:
        raise dg.Failure(visible("; ".join(failed)), allow_retries=False)


def _checks(result: TableResult) -> list[dg.AssetCheckResult]:
    checks = [rules(result)]
    return [*checks, _balance(result)] if result.table == "reconciliation" else checks


def _is_error(check: dg.AssetCheckResult) -> bool:
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def _spec(project: Project, registry: Registry, table: Table) -> dg.AssetSpec:
    return dg.AssetSpec(
        table_key(table.name),
        deps=[*_raw_deps(project, table), *map(table_key, _table_deps(registry, table.name))],
        group_name=table.group,
        description=_description(project, table),
        kinds={project.model.engine, "parquet"},
        tags={STAGE: "build"},
        metadata=_columns(table),
    )


def _description(project: Project, table: Table) -> str:
    if config := project.tables.get(table.name):
        return f"{config.description}\n\nGrain: {config.grain}."
    return getdoc(model(table.name)) or ""


def _columns(table: Table) -> dict[str, dg.TableSchema]:
    """The columns of a table of ours; those of another are known when it is made."""
    if isinstance(table, OwnTable):
        return {}
    columns = [
        dg.TableColumn(name, str(column.dtype), description=column.description)
        for name, column in model(table.name).to_schema().columns.items()
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def _table_deps(registry: Registry, name: str) -> list[str]:
    """The tables that a table reads.

    In place of the daily history stands what its day is made of: the build makes it on the way,
    and an asset with partitions between assets of one step would be a circle for Dagster.
    """
    reads = registry.reads(name)
    daily = {other for other in reads if registry.tables[other].is_daily}
    return sorted((reads - daily).union(*(registry.reads(other) for other in daily)))


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
