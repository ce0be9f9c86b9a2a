"""What is measured, each in a process of its own: `python runs.py NAME CUSTOMERS`."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import ibis.expr.types as ir
import pyarrow.parquet as pq
from scale import by_hand
from scale.home import fresh, make, opened, place
from scale.source import AS_OF

from engine.build.context import BuildContext, TableResult
from engine.build.model_parameters import priors_for, retention_for, revenue_for
from engine.build.registry import Registry, Table
from engine.build.run import build
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.storage import duckdb_session
from engine.storage.backend import backend
from engine.storage.duckdb_session import sql_list
from engine.storage.table_schema import arrow_schema
from transforms.scores.default_criteria import DEFAULTS
from transforms.scores.retention import chances
from transforms.scores.retention_statistics import month_part, window_start
from transforms.scores.score_history import scores_of_day

MEMORY = "6GB"  # of DuckDB; Python and Arrow come on top
HOME, RUN = "whole", "bench"
LAST_PLACE = 1.01e-4
Making = TypeVar("Making", bound=BuildContext)


def whole(customers: int) -> None:
    """Run a whole build from raw rows."""
    _told(build(fresh(customers, HOME), AS_OF, RUN))


def scores(customers: int) -> None:
    """Run the part of a build from conformed tables to scores, by the parameters that the whole build fitted."""
    _told(_scored(_scoring(customers)))


def values(customers: int) -> None:
    """Make by the same transforms what the SQL by hand makes, and nothing that explains it."""
    making = _scoring(customers, Values, _unexplained())
    making.folder, making.hand = place(customers) / "values", _by_hand(customers)
    making.folder.mkdir(exist_ok=True)
    _told(_scored(making))


def _scored(making: BuildContext) -> Iterator[TableResult]:
    """Make the customers, and the tables of their scores."""
    for name, table in making.registry.tables.items():
        if name == "customers" or table.group in ("scores", "views"):
            yield making.make(table)


class Values(BuildContext):
    """Ask only for the columns that the SQL by hand has; what nobody asks for, the engine does not work out."""

    folder: Path
    hand: Path

    def write(self, table: str, made: ir.Table, *_: Any, **__: Any) -> TableResult:
        """Write a table without a look at its schema, unless it only explains another one."""
        start = monotonic()
        if table not in by_hand.RESULTS:
            self.tables[table] = made
            return TableResult(table, 0, 0.0)
        path = str(self.folder / f"{table}.parquet")
        columns = pq.read_schema(self.hand / f"{table}.parquet").names
        rows = backend.write(self.con, made.select(columns).order_by(_key(table)), path)
        self.tables[table] = backend.filled(backend.read(self.con, [path]), arrow_schema(table))
        return TableResult(table, rows, monotonic() - start)


def _unexplained() -> Registry:
    """Gather the scores for customer_360, and leave out how they changed."""

    def score_history(
        retention: ir.Table,
        satisfaction: ir.Table,
        key_accounts: ir.Table,
        key_account_criteria: ir.Table,
        last_scores: ir.Table,
    ) -> ir.Table:
        scores = (retention, satisfaction, key_accounts, key_account_criteria)
        return backend.filled(scores_of_day(*scores, last_scores, as_of=AS_OF), arrow_schema("score_history"))

    plain = Table(score_history, group="scores", is_daily=True)
    tables = (TABLES.tables | {"score_history": plain}).values()
    return Registry(tables, TABLES.internals.values(), TABLES.facts)


def hand(customers: int) -> None:
    """Make the same tables by hand-written SQL."""
    making = _scoring(customers)
    con = duckdb_session.connect(2, MEMORY)
    for table in by_hand.SOURCES:
        con.execute(f"CREATE VIEW {table} AS FROM read_parquet({sql_list(_files(making.project, table))})")
    words = _words(making)
    con.execute(by_hand.FACTS.format(**words))
    con.execute(by_hand.CUSTOMERS.format(**words))
    con.execute(by_hand.STATISTICS.format(**words))
    fitted = retention_for(making.project.ledger.model_parameters, None, AS_OF, making.config.retention, "order")
    cells = con.execute(by_hand.CELLS).to_arrow_table()
    con.register("chances", chances(fitted.model, fitted.fit, cells, horizon=fitted.horizon, as_of=AS_OF))
    con.execute(by_hand.RETENTION.format(horizon=fitted.horizon, **words))
    con.execute(by_hand.WILSON + by_hand.SATISFACTION.format(**words))
    con.execute(by_hand.CRITERIA.format(**words))
    folder = _by_hand(customers)
    folder.mkdir(exist_ok=True)
    for table in by_hand.RESULTS:
        con.execute(
            f"COPY (FROM {table} ORDER BY {', '.join(_key(table))}) TO '{folder / table}.parquet' (COMPRESSION zstd)"
        )


def floor(customers: int) -> None:
    """Read the bytes that the scores are made of, and write those that they come to."""
    project = opened(customers, HOME)
    _moved(customers, (project, by_hand.SOURCES), by_hand.RESULTS)


def floor_whole(customers: int) -> None:
    """Read the raw bytes, and write those of all tables."""
    project = opened(customers, HOME)
    raw = [f"raw/{name}/{stream.name}" for name in project.connections for stream in project.streams(name)]
    _moved(customers, (project, raw), (*TABLES.conformed, "crosswalk", *by_hand.RESULTS))


def _scoring(customers: int, kind: type[Making] = BuildContext, registry: Registry = TABLES) -> Making:
    project = opened(customers, HOME)
    making = kind(project, registry, AS_OF, RUN)
    for table in (*TABLES.conformed, "crosswalk"):
        making.tables[table] = project.lake.read(making.con, table)
    return making


def _key(table: str) -> list[str]:
    return ["customer_id", "criterion"] if table == "key_account_criteria" else ["customer_id"]


def _told(parts: Iterator[Any]) -> None:
    for part in parts:
        print(f"{part.table:<26}{part.rows:>12,} rows {part.seconds:>8.1f} s", flush=True)
        if part.broken:
            raise SystemExit(f"{part.table}: {part.broken}")


def _files(project: Project, table: str) -> list[str]:
    return project.lake.proven(project.ledger.files.for_asset(table))


def _by_hand(customers: int) -> Path:
    return place(customers) / "by_hand"


def _words(making: BuildContext) -> dict[str, Any]:
    """Fill in dates and what the build has learnt."""
    ledger, tomorrow = making.project.ledger, datetime.combine(AS_OF + timedelta(days=1), time.min)
    priors = priors_for(ledger.model_parameters, None, AS_OF, making.config.satisfaction)
    now = by_hand.month(AS_OF) + (1 if month_part(AS_OF) == 0 else 0)
    asked = [by_hand.criterion(one.name, one.group, one.weight, one.anchors) for one in DEFAULTS]
    return {
        "as_of": AS_OF,
        "tomorrow": f"{tomorrow}+00",
        "end": f"epoch(TIMESTAMPTZ '{AS_OF} 23:59:59.999999+00')::BIGINT",
        "now": now,
        "window_start": window_start(AS_OF),
        "answers": by_hand.answers(),
        "fields": by_hand.fields(),
        "median": revenue_for(ledger.model_parameters, None, AS_OF),
        "criteria": " UNION ALL ".join(asked),
        "total": sum(one.weight for one in DEFAULTS),
        "groups": by_hand.means(("growth", "harmony", "value_creation")),
        **by_hand.shrunk(dict(priors.pi), dict(priors.m), priors.active(), priors.backlog or 0.0),
    }


def _moved(customers: int, sources: tuple[Project, Any], results: Any) -> None:
    """Decode every byte of the sources, one batch at a time, and write the results again."""
    project, names = sources
    for path in (path for name in names for path in _files(project, name)):
        for _ in pq.ParquetFile(path).iter_batches():
            pass
    con = duckdb_session.connect(2, MEMORY)
    target = place(customers) / "floor.parquet"
    for table in results:
        files = sql_list(_files(project, table))
        con.execute(f"COPY (FROM read_parquet({files})) TO '{target}' (COMPRESSION zstd)")
    target.unlink()


def compare(customers: int) -> None:
    """Compare what was written by hand with ours, column by column, and say what differs."""
    project, con = opened(customers, HOME), duckdb_session.connect(2, MEMORY)
    for table in by_hand.RESULTS:
        con.execute(f"CREATE OR REPLACE VIEW ours AS FROM read_parquet({sql_list(_files(project, table))})")
        con.execute(f"CREATE OR REPLACE VIEW hand AS FROM read_parquet('{_by_hand(customers) / table}.parquet')")
        _compare(con, table)


def _compare(con: Any, table: str) -> None:
    key = _key(table)
    kinds = {
        name: str(kind) for name, kind in con.execute("SELECT column_name, column_type FROM (DESCRIBE hand)").fetchall()
    }
    columns = [name for name in kinds if name not in key]
    differs = ", ".join(f'count(*) FILTER ({_differs(name, kinds[name])}) AS "{name}"' for name in columns)
    joined = f"ours o FULL JOIN hand h USING ({', '.join(key)})"
    row = con.execute(
        f"SELECT count(*), count(*) FILTER (o.{key[0]} IS NULL OR h.{key[0]} IS NULL), {differs} FROM {joined}"
    )
    rows, alone, *counts = row.fetchall()[0]
    wrong = {name: count for name, count in zip(columns, counts, strict=True) if count}
    said = f"DIFFER: {wrong}, {alone} rows on one side" if wrong or alone else "equal"
    print(f"{table}: {rows:,} rows, {len(columns)} columns: {said}")


def _differs(name: str, kind: str) -> str:
    """Write what makes two values differ; sums come in no fixed order, so the last of four places may be another."""
    mine, theirs = f'o."{name}"', f'h."{name}"'
    if not kind.startswith(("DOUBLE", "DECIMAL")):
        return f"{mine} IS DISTINCT FROM {theirs}"
    near = f"abs({mine}::DOUBLE - {theirs}::DOUBLE) <= greatest(1e-9 * abs({theirs}::DOUBLE), {LAST_PLACE})"
    return f"NOT coalesce({near}, {mine} IS NULL AND {theirs} IS NULL)"


RUNS: Mapping[str, Callable[[int], None]] = {
    "make": make,
    "whole": whole,
    "hand": hand,
    "compare": compare,
    "values": values,
    "scores": scores,
    "floor": floor,
    "floor_whole": floor_whole,
}

if __name__ == "__main__":
    os.environ["BELVEDERE_MEMORY"] = MEMORY
    RUNS[sys.argv[1]](int(sys.argv[2]))
