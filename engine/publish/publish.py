"""Publish the tables of the current build to a warehouse: all of them, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from connectors.kit.errors import SettingsError, choices
from connectors.kit.settings import refuse_missing_env
from engine.build.freshness import refuse_stale
from engine.config.project import Project
from engine.config.warehouse import WarehouseConfig
from engine.deliver.audit_log import delivered_rows
from engine.deliver.conflicts import conflicts
from engine.extract.schema_drift.field_usage import source_fields
from engine.publish import duckdb as warehouse_duckdb
from engine.publish import sql
from engine.publish.ownership import LOAD_INFO, LOAD_INFO_COMMENT
from engine.publish.table import RECONCILIATION, TableToPublish, described, own_table
from engine.storage.lease import lease
from engine.storage.manifest import Snapshot
from engine.storage.table_schema import arrow_schema
from schemas.find import tables

NOT_PUBLISHED = {"plan"}
SOURCES_NOTE = "# Belvedere writes this file at each publication: copy it into your dbt project, do not edit it here.\n"
SOURCES_BEGIN = "version: 2\nsources:\n- name: belvedere\n"
AFTER_DELIVERY = ("delivered", "conflicts")  # a delivery adds to them after the tables of its build were published
DUCKDB = "duckdb:///"
LOAD_INFO_SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("rows", pa.int64()),
        ("snapshot", pa.string()),
        ("as_of", pa.string()),
        ("run_id", pa.string()),
        ("loaded_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Published:
    """What was published: the location, without a secret, and the number of rows of each table."""

    location: str
    tables: dict[str, int]


def publish(project: Project, name: str, run_id: str) -> Published:
    """Publish the tables of the current build to one warehouse.

    Raises SettingsError when nothing was built, when a column changed its type, or when the
    warehouse holds what we did not publish; StaleTables when tables are older than those they are made of;
    BusyError when it cannot be written now; LeaseTaken when another run publishes there.
    """
    config = project.warehouse(name)
    with lease(project.ledger, f"warehouse:{name}", run_id):
        refuse_stale(project)
        return _publish(project, name, config, run_id)


def refresh(project: Project, name: str, run_id: str) -> None:
    """Publish the tables again that a delivery adds to.

    A DuckDB file that was never published stays missing.
    """
    config = project.warehouse(name)
    published = [_from_lake(project, table) for table in AFTER_DELIVERY if table in _chosen(project, name, config)]
    url = _url(project, name, config)
    with lease(project.ledger, f"warehouse:{name}", run_id):
        if not url.startswith(DUCKDB):
            sql.publish(url, config.schema_name, published)
        elif (path := Path(url.removeprefix(DUCKDB))).exists():
            warehouse_duckdb.replace(path, published)


def _publish(project: Project, name: str, config: WarehouseConfig, run_id: str) -> Published:
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    published = [_from_lake(project, table) for table in _chosen(project, name, config)]
    published.sort(key=lambda table: table.name == RECONCILIATION)  # it counts what is published: it comes last
    published.append(_load_info(published, current, run_id))
    url = _url(project, name, config)
    if url.startswith(DUCKDB):
        location = url.removeprefix(DUCKDB)
        sources = _dbt_sources(Path(location).parent)
        warehouse_duckdb.publish(Path(location), published)
        _write_dbt_sources(sources, published)
    else:
        location = sql.publish(url, config.schema_name, published)
    return Published(location, {table.name: table.rows for table in published})


def _chosen(project: Project, name: str, config: WarehouseConfig) -> list[str]:
    published = [table for table in (*tables(), *project.tables) if table not in NOT_PUBLISHED]
    for table in config.tables or ():
        if table not in published:
            raise SettingsError(f"warehouse {name!r}: no table {table!r}; {choices(table, published)}")
    return list(config.tables or published)


def _url(project: Project, name: str, config: WarehouseConfig) -> str:
    refuse_missing_env(config.url, f"warehouse {name!r}", "url")
    return config.url or f"{DUCKDB}{project.home / 'warehouse.duckdb'}"


def _from_lake(project: Project, table: str) -> TableToPublish:
    if table == "delivered":
        approvals = project.ledger.approvals.by_digest()
        rows = [row for operation in project.ledger.operations.query() for row in delivered_rows(operation, approvals)]
        return described(table, data=pa.Table.from_pylist(rows, arrow_schema(table)))
    if table == "conflicts":
        return described(table, data=pa.Table.from_pylist(conflicts(project), arrow_schema(table)))
    if table == "source_fields":
        return described(table, data=pa.Table.from_pylist(list(source_fields(project)), arrow_schema(table)))
    files = project.ledger.files.for_asset(table)
    paths, count = project.lake.proven(files), sum(file.rows for file in files)
    if table in project.tables:
        return own_table(table, project.tables[table], paths, count)
    return described(table, paths=paths, rows=count)


def _load_info(published: Sequence[TableToPublish], current: Snapshot, run_id: str) -> TableToPublish:
    build: dict[str, Any] = {"snapshot": current.id, "as_of": current.as_of.isoformat(), "run_id": run_id}
    build |= {"loaded_at": datetime.now(UTC)}
    rows = [{"table": table.name, "rows": table.rows, **build} for table in published]
    return TableToPublish(
        name=LOAD_INFO,
        comment=LOAD_INFO_COMMENT,
        schema=LOAD_INFO_SCHEMA,
        comments=dict.fromkeys(LOAD_INFO_SCHEMA.names, ""),
        key=["table"],
        data=pa.Table.from_pylist(rows, LOAD_INFO_SCHEMA),
        rows=len(rows),
    )


def _dbt_sources(folder: Path) -> Path:
    """Return the path of the file for dbt.

    Raises SettingsError for a file of that name that we did not write.
    """
    path = folder / "dbt" / "sources.yml"
    if path.exists() and not path.read_text("utf-8").removeprefix(SOURCES_NOTE).startswith(SOURCES_BEGIN):
        raise SettingsError(
            f"{path} was not written by Belvedere and would be overwritten: nothing was published; rename it and "
            "publish again"
        )
    return path


def _write_dbt_sources(path: Path, published: Sequence[TableToPublish]) -> None:
    """Describe the tables for dbt, which reads them from a database attached as `belvedere`."""
    described_tables = [
        {
            "name": table.name,
            "description": table.comment,
            "columns": [{"name": column, "description": comment} for column, comment in table.comments.items()],
        }
        for table in published
    ]
    source = {"name": "belvedere", "database": "belvedere", "schema": "main", "tables": described_tables}
    path.parent.mkdir(exist_ok=True)
    path.write_text(SOURCES_NOTE + yaml.safe_dump({"version": 2, "sources": [source]}, sort_keys=False), "utf-8")
