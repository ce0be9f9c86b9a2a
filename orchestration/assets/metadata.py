"""The metadata of materialized tables: counts, reasons, a small plot, the first rows. No personal values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from engine.build.context import TableResult
from engine.build.current_tables import Tables
from engine.config.project import Project

BLOCKS = "·▁▂▃▄▅▆▇█"
SCORES = {"retention": (0, 100), "satisfaction": (0, 100), "key_accounts": (1, 10)}
Metadata = dict[str, Any]


def table_metadata(project: Project, results: Sequence[TableResult]) -> dict[str, Metadata]:
    """Describe tables that have just become current: rows, seconds, and what only some tables have."""
    tables = Tables(project, [*SCORES, *_SPECIAL, "customer_360"])
    described = {result.table: _counts(result) for result in results}
    for name in project.tables.keys() & described.keys():
        described[name]["dagster/column_schema"] = _own_columns(project, name)
    for table, metadata in described.items():
        if table in SCORES:
            metadata["distribution"] = _distribution(tables, table, *SCORES[table])
        if table in _SPECIAL:
            metadata.update(_SPECIAL[table](tables))
    return described


def _own_columns(project: Project, table: str) -> dg.TableSchema:
    """The columns of a table of the project's own, as it was built."""
    (file,) = project.ledger.files.for_asset(table)
    descriptions = project.tables[table].columns
    columns = [
        dg.TableColumn(column.name, str(column.type), description=descriptions.get(column.name))
        for column in pq.read_schema(project.lake.full(file.path))
    ]
    return dg.TableSchema(columns)


def _counts(result: TableResult) -> Metadata:
    metadata: Metadata = {"dagster/row_count": result.rows, "seconds": round(result.seconds, 2)}
    streams = {name: note for name, note in result.notes.items() if isinstance(note, dict)}
    if streams:
        metadata["quarantined"] = sum(note["quarantined"] for note in streams.values())
        metadata["streams"] = rows_table(
            [
                {"stream": name, **{key: note[key] for key in ("received", "accepted", "quarantined")}}
                for name, note in streams.items()
            ]
        )
        metadata |= _left_out(streams)
    metadata |= {name: str(note) for name, note in result.notes.items() if note and not isinstance(note, dict)}
    return metadata


def _left_out(streams: Mapping[str, Mapping[str, Any]]) -> Metadata:
    """List the values that the contract discarded, and the fields that rows were read without."""
    discarded = [
        {"stream": stream, "reason": reason, "rows": rows}
        for stream, note in streams.items()
        for reason, rows in note.get("discarded", {}).items()
    ]
    unread = [line for note in streams.values() for line in note.get("unread", ())]
    metadata: Metadata = {"discarded": rows_table(discarded)} if discarded else {}
    return metadata | ({"unread": dg.MetadataValue.text("\n".join(unread))} if unread else {})


def _distribution(tables: Tables, score: str, low: int, high: int) -> dg.MetadataValue:
    """Draw a score's distribution with block characters: Dagster's Markdown drops most images."""
    rows = tables.query(
        f"SELECT least(floor((value_effective - {low}) / ({high - low} / 20.0)), 19)::INT AS bin, count(*) AS n "  # noqa: S608 - ours
        f"FROM {score} WHERE value_effective IS NOT NULL GROUP BY 1"
    )
    counts = {row["bin"]: row["n"] for row in rows}
    most = max(counts.values(), default=1)
    bars = "".join(BLOCKS[-(-counts.get(number, 0) * 8 // most)] for number in range(20))
    unscored = tables.query(f"SELECT count(*) AS n FROM {score} WHERE value_effective IS NULL")[0]["n"]  # noqa: S608
    without = f"; {unscored} without a score" if unscored else ""
    return dg.MetadataValue.md(f"`{low} {bars} {high}` ({sum(counts.values())} customers{without})")


def _reasons(tables: Tables) -> Metadata:
    rows = tables.query(
        "SELECT connection, stream, reason, count(*) AS rows FROM (SELECT connection, stream, "
        "unnest(string_split(reasons, '; ')) AS reason FROM quarantine) "
        "GROUP BY ALL ORDER BY rows DESC, 1, 2, 3 LIMIT 30"
    )
    return {"reasons": rows_table(rows)}


def _balances(tables: Tables) -> Metadata:
    rows = tables.query(
        "SELECT connection, stream, source_count, landed, accepted, quarantined, conformed, joined, unjoined, gap "
        "FROM reconciliation WHERE slice = 'all' ORDER BY is_closed, connection, stream"
    )
    (closed,) = tables.query(
        "SELECT count(*) FILTER (is_closed) AS n, count(*) AS of FROM reconciliation WHERE slice = 'all'"
    )
    return {"streams": rows_table(rows), "closed": f"{closed['n']} of {closed['of']}"}


def _front_row(tables: Tables) -> Metadata:
    rows = tables.query(
        "SELECT key_account_rank AS rank, customer_id, country, key_account_tier AS tier, "
        "round(key_account_score, 2) AS key_account, round(retention_score, 1) AS retention, "
        "round(satisfaction_score, 1) AS satisfaction FROM customer_360 "
        "WHERE key_account_rank IS NOT NULL ORDER BY key_account_rank LIMIT 10"
    )
    return {"key_accounts": rows_table(rows)}


def _match_rules(tables: Tables) -> Metadata:
    rows = tables.query("SELECT rule, count(*) AS accounts FROM crosswalk GROUP BY rule ORDER BY 2 DESC, 1")
    return {"rules": rows_table(rows)}


def rows_table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Show rows as a table."""
    names = list(rows[0]) if rows else ["nothing"]
    records = [dg.TableRecord({name: "" if row[name] is None else str(row[name]) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in names]))


_SPECIAL: Mapping[str, Callable[[Tables], Metadata]] = {
    "quarantine": _reasons,
    "reconciliation": _balances,
    "key_accounts": _front_row,
    "crosswalk": _match_rules,
}
