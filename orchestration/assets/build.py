"""The build's assets: one step makes all tables, and they become current together."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from inspect import getdoc

import dagster as dg

from connectors.kit.errors import ConnectorError
from orchestration.assets.extract import raw_key
from orchestration.assets.failures import failure
from orchestration.assets.metadata import table_metadata
from orchestration.build import CONFORMED, RESULTS, TableResult, build
from orchestration.extract import stale
from orchestration.project import Project
from orchestration.storage.lease import LeaseHeld
from schemas.find import model

GROUPS = {
    "conform": (*CONFORMED, "fx_rates", "quarantine", "redirects", "reconciliation"),
    "customers": ("crosswalk", "customer_redirects", "match_suggestions", "customers"),
    "scores": ("retention", "satisfaction", "key_account_criteria", "key_accounts", "score_history"),
    "views": ("customer_360",),
}
BUILD_OP = "build_tables"
SHOWN = 5
READS = {
    "quarantine": CONFORMED,
    "redirects": CONFORMED,
    "reconciliation": (*CONFORMED, "crosswalk", "quarantine", "redirects"),
    "crosswalk": ("accounts",),
    "customer_redirects": ("crosswalk",),
    "match_suggestions": ("accounts", "crosswalk"),
    "customers": ("accounts", "crosswalk", "owners", "deals", "orders", "invoices", "tickets", "activities"),
    "retention": ("customers", "orders", "invoices"),
    "satisfaction": ("customers", "tickets", "ratings"),
    "key_account_criteria": (
        "customers",
        "satisfaction",
        "deals",
        "invoices",
        "payments",
        "tickets",
        "activities",
    ),
    "key_accounts": ("key_account_criteria", "customers"),
    "customer_360": ("customers", "retention", "satisfaction", "key_accounts"),
    "score_history": ("retention", "satisfaction", "key_accounts"),
}


class AsOf(dg.Config):
    """Say which date the scores are about, YYYY-MM-DD; today when not given."""

    as_of: str | None = None


def build_assets() -> dg.Definitions:
    """Make the assets of the build, with a check on each that its rows keep their schema's rules."""
    project = Project.load()
    specs = [_spec(project, table) for table in (*CONFORMED, *RESULTS)]
    checks = [dg.AssetCheckSpec("rules", asset=table) for table in (*CONFORMED, *RESULTS)]
    checks.append(dg.AssetCheckSpec("balance", asset="reconciliation", description="No record is lost on the way."))

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
            for result in build(project, as_of, context.run_id):
                results.append(result)
                context.log.info(f"{result.table}: {result.rows} rows")
        except (ConnectorError, LeaseHeld) as error:
            raise failure(error) from None
        described = table_metadata(project, results)
        for result in results:
            stale_note = {"stale": dg.MetadataValue.text(", ".join(old))} if old else {}
            yield dg.MaterializeResult(asset_key=result.table, metadata=described[result.table] | stale_note)
            yield _rules(result)
            if result.table == "reconciliation":
                yield _balance(result)

    return dg.Definitions(assets=[everything])


def _spec(project: Project, table: str) -> dg.AssetSpec:
    feeding = [
        raw_key(connection, stream.name)
        for connection in project.connections
        for stream in project.streams(connection)
        if stream.table == table
    ]
    schema = model(table).to_schema()
    columns = [
        dg.TableColumn(name, str(column.dtype), description=column.description)
        for name, column in schema.columns.items()
    ]
    return dg.AssetSpec(
        table,
        deps=[
            *feeding,
            *READS.get(table, ()),
            *(["fx_rates"] if table in ("deals", "orders", "invoices", "payments") else []),
        ],
        group_name=next(group for group, members in GROUPS.items() if table in members),
        description=getdoc(model(table)),
        kinds={"duckdb", "parquet"},
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
    )


def _balance(result: TableResult) -> dg.AssetCheckResult:
    """Report what does not add up between the sources' own counts and the tables."""
    gaps = result.notes["gaps"]
    named = [*gaps[:SHOWN], *([f"and {len(gaps) - SHOWN} more"] if len(gaps) > SHOWN else [])]
    return dg.AssetCheckResult(
        passed=not gaps,
        check_name="balance",
        asset_key=result.table,
        description="; ".join(named) or None,
        metadata={"open": len(gaps)},
    )


def _rules(result: TableResult) -> dg.AssetCheckResult:
    """Report rows set aside, as a warning; a stream that kept its last table, or a result that breaks its own rules, as an error."""
    kept = [
        f"{stream}: {note['share']:.0%} of its rows are broken; "
        + (f"its last {note['kept_last']} good rows stay" if note["kept_last"] else "there is no earlier table to keep")
        for stream, note in result.notes.items()
        if isinstance(note, dict) and "share" in note
    ]
    broken = [f"{count} rows: {reason}" for reason, count in result.broken.items()]
    broken += [
        f"{stream}: {note['unfit']} rows hold values that are not of their type; the contract is freeze"
        for stream, note in result.notes.items()
        if isinstance(note, dict) and "unfit" in note
    ]
    return dg.AssetCheckResult(
        passed=not kept and not broken,
        check_name="rules",
        asset_key=result.table,
        description="; ".join([*kept, *broken]) or None,
        metadata={"rows": result.rows},
    )
