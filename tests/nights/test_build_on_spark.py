"""One night built by DuckDB and by Spark: the same tables, row by row."""

import csv
import math
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.build.run import build
from engine.build.score_history import part_of
from engine.build.tables import TABLES
from engine.config.customer_model import CustomerModelConfig
from engine.config.project import Project
from engine.extract.run import extract
from sandbox.server import Sandbox
from tests.conftest import SPARK, TODAY, only, opened
from transforms.conform import exchange_rates
from transforms.conform.ecb_rates import quotes

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]
STREAMS = {  # each table is fed by one, accounts by three; the others are read alike
    "hubspot": ["accounts", "deals", "owners", "emails"],
    "odoo": ["accounts", "orders", "invoices", "payments"],
    "zendesk": ["accounts", "tickets", "ratings"],
}
PARTED = {"score_history": part_of(TODAY)}
Built = dict[str, pa.Table]


@pytest.fixture(scope="module")
def landed(needs_spark: None, tmp_path_factory: pytest.TempPathFactory, monkeysession: pytest.MonkeyPatch) -> Path:
    """Extract a night of a dozen customers."""
    home = tmp_path_factory.mktemp("landed")
    with Sandbox(customers=12, seed=5, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = small(home)
        assert {result.status for name in project.connections for result in extract(project, name, "first")} == {"done"}
    return home


@pytest.fixture(scope="module")
def few_rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cut the shipped rates down to what a dozen customers need."""
    path = tmp_path_factory.mktemp("rates") / "few.csv"
    days: dict[date, dict[str, float]] = {}
    for row in quotes().to_pylist():
        if row["quoted_on"].year > 2023 and row["currency"] in ("USD", "GBP"):
            days.setdefault(row["quoted_on"], {})[row["currency"]] = row["per_eur"]
    with path.open("w") as file:
        csv.writer(file).writerows(
            [["Date", "USD", "GBP"], *([day, one["USD"], one["GBP"]] for day, one in days.items())]
        )
    return path


@pytest.fixture(scope="module")
def told(landed: Path, few_rates: Path, monkeysession: pytest.MonkeyPatch) -> dict[str, Built]:
    """Build the same night on both engines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange_rates, "_IRREVOCABLE", dict([*exchange_rates._IRREVOCABLE.items()][:2]))
        return {name: built(landed, few_rates, name) for name in ("duckdb", "spark")}


def built(landed: Path, few_rates: Path, name: str) -> Built:
    home = shutil.copytree(landed, landed.with_name(name))
    project = small(home)
    wanted = {"engine": name, "spark": SPARK, "rates": str(few_rates)}
    project.models = {"model": CustomerModelConfig.model_validate(project.model.model_dump() | wanted)}
    broken = {result.table: result.broken for result in build(project, TODAY, "night") if result.broken}
    assert broken == {}
    return {table: held(project, PARTED.get(table, table)) for table in TABLES.tables}


def small(home: Path) -> Project:
    """Open the demo's project without the streams that would show nothing new."""
    return only(opened(home), **STREAMS)


def held(project: Project, table: str) -> pa.Table:
    """Read the one file that a build wrote of a table, as it is."""
    (file,) = project.ledger.files.for_asset(table)
    return pq.ParquetFile(project.lake.full(file.path)).read()


@pytest.mark.parametrize("table", [*TABLES.tables])
def test_a_table_is_the_same_in_rows_order_and_types(told: dict[str, Built], table: str):
    ours, theirs = told["duckdb"][table], told["spark"][table]
    assert types(theirs) == types(ours)
    assert theirs.num_rows == ours.num_rows
    for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
        assert {name: (value, other[name]) for name, value in one.items() if not same(value, other[name])} == {}


def types(table: pa.Table) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in table.schema]


def same(one: Any, other: Any) -> bool:
    is_float = isinstance(one, float) and isinstance(other, float)
    return math.isclose(one, other, rel_tol=1e-9) if is_float else one == other


def test_no_number_is_none(told: dict[str, Built]):
    for tables in told.values():
        for table in tables.values():
            floats = [name for name, kind in types(table) if pa.types.is_floating(kind)]
            assert all(
                math.isfinite(value) for name in floats for value in table[name].to_pylist() if value is not None
            )


def test_there_was_something_to_compare(told: dict[str, Built]):
    rows = {table: told["spark"][table].num_rows for table in told["spark"]}
    assert min(rows[table] for table in TABLES.conformed) > 10
    assert rows["quarantine"] == 13
    assert {table for table, count in rows.items() if count == 0} == {
        "customer_redirects",
        "match_suggestions",
        "overrides",
        "score_alerts",
    }
