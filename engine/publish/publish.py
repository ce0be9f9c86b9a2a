"""Publish the tables of the current build to a warehouse: all of them, or none."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import yaml

from connectors.kit.errors import SettingsError, choices
from connectors.kit.settings import refuse_missing_env
from engine.config.project import Project
from engine.config.warehouse import WarehouseConfig
from engine.deliver.audit_log import delivered_rows
from engine.deliver.conflicts import conflicts
from engine.extract.schema_drift.field_usage import source_fields
from engine.publish import duckdb as warehouse_duckdb
from engine.publish import sql
from engine.publish.ownership import LOAD_INFO, LOAD_INFO_COMMENT
from engine.publish.table import TableToPublish, described
from engine.storage.lease import lease
from engine.storage.table_schema import arrow_schema
from schemas.find import tables

NOT_PUBLISHED = {"plan"}
SOURCES_NOTE = "# Belvedere writes this file at each publication: copy it into your dbt project, do not edit it here.\n"
SOURCES_BEGIN = "version: 2\nsources:\n- name: belvedere\n"
AUDIT = ("delivered", "conflicts")  # what a delivery adds to after the tables of its build were published


@dataclass(frozen=True)
class Published:
    """Say what was published: the place, and the rows of each table."""

    place: str
    tables: dict[str, int]


def publish(project: Project, name: str, run_id: str) -> Published:
    """Publish to one warehouse.

    Raises SettingsError when nothing was built, when a column changed its type, or when the place holds what we did not
    publish; BusyError when it cannot be written now; LeaseHeld when another run publishes there.
    """
    config = project.warehouse(name)
    with lease(project.ledger, f"warehouse:{name}", run_id):
        return _published(project, name, config, run_id)


def refresh(project: Project, name: str, run_id: str) -> None:
    """Bring what was written and what stands against it up to date, in a warehouse that holds the tables already."""
    config = project.warehouse(name)
    listed = [_from_lake(project, table) for table in AUDIT if table in _chosen(name, config)]
    place = _place(project, name, config)
    with lease(project.ledger, f"warehouse:{name}", run_id):
        if not place.startswith("duckdb:///"):
            sql.publish(place, config.schema_name, listed)
        elif (path := Path(place.removeprefix("duckdb:///"))).exists():
            warehouse_duckdb.replace(path, listed)


def _published(project: Project, name: str, config: WarehouseConfig, run_id: str) -> Published:
    current = project.ledger.snapshots.current()
    if current is None:
        raise SettingsError("nothing was built yet: run `belvedere sync` first")
    listed = sorted((_from_lake(project, table) for table in _chosen(name, config)), key=_last)
    listed.append(_load_info(listed, current.id, current.as_of.isoformat(), run_id))
    place = _place(project, name, config)
    if place.startswith("duckdb:///"):
        sources = _dbt_sources(Path(place.removeprefix("duckdb:///")).parent)
        warehouse_duckdb.publish(Path(place.removeprefix("duckdb:///")), listed)
        _write_dbt_sources(sources, listed)
        shown = place.removeprefix("duckdb:///")
    else:
        shown = sql.publish(place, config.schema_name, listed)
    return Published(shown, {one.name: one.rows for one in listed})


def _chosen(name: str, config: WarehouseConfig) -> list[str]:
    known = [table for table in tables() if table not in NOT_PUBLISHED]
    for table in config.tables or ():
        if table not in known:
            raise SettingsError(f"warehouse {name!r}: no table {table!r}; {choices(table, known)}")
    return list(config.tables or known)


def _last(table: TableToPublish) -> bool:
    """Let the count of what is published come after what it counts."""
    return table.name == "reconciliation"


def _place(project: Project, name: str, config: WarehouseConfig) -> str:
    refuse_missing_env(config.url, f"warehouse {name!r}", "url")
    return config.url or f"duckdb:///{project.home / 'warehouse.duckdb'}"


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
    return described(table, paths=project.lake.proven(files), rows=sum(file.rows for file in files))


def _load_info(listed: list[TableToPublish], snapshot: str, as_of: str, run_id: str) -> TableToPublish:
    now = datetime.now(UTC)
    rows = [
        {
            "table": one.name,
            "rows": one.rows,
            "snapshot": snapshot,
            "as_of": as_of,
            "run_id": run_id,
            "loaded_at": now,
        }
        for one in listed
    ]
    text, count = pa.string(), pa.int64()
    kinds = {
        "table": text,
        "rows": count,
        "snapshot": text,
        "as_of": text,
        "run_id": text,
        "loaded_at": pa.timestamp("us", tz="UTC"),
    }
    return TableToPublish(
        name=LOAD_INFO,
        comment=LOAD_INFO_COMMENT,
        schema=pa.schema(list(kinds.items())),
        comments=dict.fromkeys(kinds, ""),
        key=["table"],
        data=pa.Table.from_pylist(rows, pa.schema(list(kinds.items()))),
        rows=len(rows),
    )


def _dbt_sources(folder: Path) -> Path:
    """Return the place of the file for dbt; raises SettingsError if there is one that somebody else wrote."""
    target = folder / "dbt" / "sources.yml"
    if target.exists() and not target.read_text("utf-8").removeprefix(SOURCES_NOTE).startswith(SOURCES_BEGIN):
        raise SettingsError(
            f"{target} was not written by Belvedere and would be overwritten: nothing was published; rename it"
        )
    return target


def _write_dbt_sources(target: Path, listed: list[TableToPublish]) -> None:
    """Describe the tables for dbt, which reads them from a database attached as `belvedere`."""
    described_tables = [
        {
            "name": one.name,
            "description": one.comment,
            "columns": [{"name": column, "description": text} for column, text in one.comments.items()],
        }
        for one in listed
    ]
    document = {
        "version": 2,
        "sources": [{"name": "belvedere", "database": "belvedere", "schema": "main", "tables": described_tables}],
    }
    target.parent.mkdir(exist_ok=True)
    target.write_text(SOURCES_NOTE + yaml.safe_dump(document, sort_keys=False), "utf-8")
