"""The raw assets: one step for each connection, one asset for each stream, materialized as it lands."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.run import extract
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.field_checks import FIELDS, fields_check, fields_metadata
from orchestration.assets.keys import STAGE, raw_key
from pages.visible import visible

GROUP = "extract"
FRESH = dg.FreshnessPolicy.cron(deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=6))


class ExtractRunConfig(dg.Config):
    """How to read: what changed, or with `full` everything again."""

    full: bool = False


def connection_assets(name: str) -> dg.Definitions:
    """Make the raw assets of a connection, each with checks that it is complete and that its fields did not change."""
    project = Project.load()
    config = project.connection(name)
    streams = project.streams(name)
    specs = [
        dg.AssetSpec(
            raw_key(name, stream.name),
            group_name=GROUP,
            kinds={config.connector, "parquet"},
            description=f"{stream.name} as {name} holds them"
            + (f"; feeds the table {stream.table}" if stream.table else ""),
            skippable=True,
            freshness_policy=FRESH,
            tags={"belvedere/role": config.role, STAGE: "extract"},
        )
        for stream in streams
    ]
    checks = [
        dg.AssetCheckSpec(check, asset=raw_key(name, stream.name))
        for stream in streams
        for check in ("complete", FIELDS)
    ]
    contract = config.contract

    @dg.multi_asset(name=f"extract_{name}", specs=specs, check_specs=checks, can_subset=True, pool=f"connection_{name}")
    def connection(
        context: dg.AssetExecutionContext, config: ExtractRunConfig
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        chosen = [stream.name for stream in streams if raw_key(name, stream.name) in context.selected_asset_keys]
        failed = []
        try:
            for result in extract(Project.load(), name, context.run.run_id, streams=chosen, full=config.full):
                if result.status == "failed":
                    failed.append(f"{result.stream}: {result.error}")
                    context.log.error(visible(failed[-1]))
                else:
                    yield dg.MaterializeResult(raw_key(name, result.stream), metadata=_metadata(result))
                yield _complete(result)
                yield fields_check(raw_key(name, result.stream), result, contract)
        except (ConnectorError, LeaseTaken) as error:
            raise failure(error) from None
        if failed:
            raise dg.Failure(f"{len(failed)} of {len(chosen)} streams failed: {'; '.join(failed)}", allow_retries=False)

    return dg.Definitions(assets=[connection])


def _metadata(result: StreamResult) -> dict[str, dg.MetadataValue]:
    optional: dict[str, dg.MetadataValue] = (
        {} if result.total is None else {"source_count": dg.MetadataValue.int(result.total)}
    )
    if result.derived_read_at:
        optional["derived_read_at"] = dg.MetadataValue.text(str(result.derived_read_at))
    if result.notes:
        optional["notes"] = dg.MetadataValue.text("\n".join(result.notes))
    return optional | {
        "dagster/row_count": dg.MetadataValue.int(result.read),
        "held": dg.MetadataValue.int(max(0, result.read - result.landed)),
        "new": dg.MetadataValue.int(result.new),
        "changed": dg.MetadataValue.int(result.changed),
        "unchanged": dg.MetadataValue.int(result.unchanged),
        "deleted": dg.MetadataValue.int(result.deleted),
        "late": dg.MetadataValue.int(result.late),
        "pages": dg.MetadataValue.int(result.pages),
        "bytes": dg.MetadataValue.int(result.bytes),
        "seconds": dg.MetadataValue.float(round(result.seconds, 2)),
        "read_from": dg.MetadataValue.text(
            str(result.since or ("the beginning" if result.pages else "nothing to read"))
        ),
        "read_until": dg.MetadataValue.text(str(result.until or "the end")),
        **fields_metadata(result),
    }


def _complete(result: StreamResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=result.status == "done",
        check_name="complete",
        asset_key=raw_key(result.connection, result.stream),
        metadata={
            "status": result.status,
            "read": result.read,
            "source_count": str(result.total),
            "missing": result.missing,
        },
        description=result.error,
    )
