"""The asset of a warehouse: all tables of one build, or none."""

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.publish.publish import publish
from orchestration.assets.failures import failure
from orchestration.assets.keys import STAGE, table_key, warehouse_key

GROUP = "publish"


def warehouse_assets(name: str) -> dg.Definitions:
    """Make the asset that publishes to one warehouse."""
    project = Project.load()
    config, built = project.warehouse(name), [*TABLES.tables, *project.tables]

    @dg.asset(
        key=warehouse_key(name),
        group_name=GROUP,
        deps=[table_key(table) for table in built if table in (config.tables or built)],
        tags={STAGE: "deliver"},
        kinds={"sql" if config.url else "duckdb"},
        pool=f"warehouse_{name}",
        description="All tables for whoever queries them; readers see the old tables or the new ones, never half.",
    )
    def warehouse(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        try:
            published = publish(Project.load(), name, context.run.run_id)
        except ConnectorError as error:
            raise failure(error) from None
        records = [dg.TableRecord({"table": table, "rows": rows}) for table, rows in published.tables.items()]
        schema = dg.TableSchema([dg.TableColumn("table"), dg.TableColumn("rows", "int")])
        return dg.MaterializeResult(
            metadata={
                "summary": f"{len(published.tables)} tables, {sum(published.tables.values())} rows at {published.location}",
                "place": published.location,
                "dagster/row_count": sum(published.tables.values()),
                "tables": dg.MetadataValue.table(records, schema=schema),
            }
        )

    return dg.Definitions(assets=[warehouse])
