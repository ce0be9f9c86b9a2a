"""The assets of the backtest: outside the nightly build, since they fit every model several times."""

from base64 import b64encode
from collections.abc import Iterator
from inspect import getdoc

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.config.project import Project
from engine.evaluate.backtest import ALL, TABLES, BacktestResult, backtest
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.keys import STAGE, table_key
from orchestration.assets.metadata import rows_table
from pages.calibration import calibration_svg
from schemas.find import model

GROUP = "backtest"
SHOWN = ("model", "origins", "auc", "log_loss", "brier", "calibration_error", "gain", "gain_error", "is_chosen")


def backtest_assets() -> dg.Definitions:
    """Make the tables `backtest` and `calibration`, each with a check that its rows keep their schema's rules."""
    specs = [
        dg.AssetSpec(
            table_key(table),
            deps=[table_key(name) for name in ("crosswalk", "orders", "invoices")],
            tags={STAGE: "backtest"},
            group_name=GROUP,
            description=getdoc(model(table)),
            kinds={"parquet"},
        )
        for table in TABLES
    ]
    checks = [dg.AssetCheckSpec("rules", asset=table_key(table)) for table in TABLES]

    @dg.multi_asset(name="backtest_models", specs=specs, check_specs=checks, pool="build")
    def compared(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        try:
            result = backtest(Project.load(), context.run.run_id)
        except (ConnectorError, LeaseTaken) as error:
            raise failure(error) from None
        for table, figures in (("backtest", _measures(result)), ("calibration", _plot(result))):
            yield dg.MaterializeResult(
                asset_key=table_key(table),
                metadata={"dagster/row_count": len(result.rows[table]), "summary": summary(result), **figures},
            )
            yield dg.AssetCheckResult(
                passed=not result.broken[table],
                check_name="rules",
                asset_key=table_key(table),
                metadata={"broken": result.broken[table]},
            )

    return dg.Definitions(assets=[compared])


def summary(result: BacktestResult) -> str:
    """Sum up a backtest in one line."""
    return result.note or f"{result.chosen} is chosen, an order within {result.horizon} months, as of {result.as_of}"


def _measures(result: BacktestResult) -> dict[str, dg.MetadataValue]:
    means = [{name: row.get(name) for name in SHOWN} for row in result.rows["backtest"] if row["slice"] == ALL]
    return {"models": rows_table(sorted(means, key=lambda row: row["log_loss"]))}


def _plot(result: BacktestResult) -> dict[str, dg.MetadataValue]:
    rows = result.rows["calibration"]
    if not rows:
        return {}
    image = b64encode(calibration_svg(rows, result.chosen).encode()).decode()
    return {
        "plot": dg.MetadataValue.md(f"![promised and came, by tenths](data:image/svg+xml;base64,{image})"),
        "tenths": rows_table([row for row in rows if row["model"] == result.chosen]),
    }
