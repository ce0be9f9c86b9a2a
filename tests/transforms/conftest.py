"""An engine, and small tables on it written as rows of dictionaries."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa
import pytest

from engine.storage.backend.backend import connect
from schemas.find import model

Rows = Callable[..., ir.Table]
NUMBER = count()  # of this process: Spark keeps what an earlier session of tests has named


# What each engine has ideas of its own about: text, numbers, days, quantiles, ties, windows.
ON_BOTH = {
    "test_calibration",
    "test_conform",
    "test_domains",
    "test_normalise",
    "test_custom_criteria",
    "test_ownership",
    "test_exchange_rates",
    "test_survivorship",
    "test_tax_number_forms",
    "test_tax_numbers",
}
ENGINES = ("duckdb", pytest.param("spark", marks=pytest.mark.spark))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let some tests run on both engines, but for those that need 30 years of rates."""
    is_dangerous = metafunc.module.__name__.rpartition(".")[2] in ON_BOTH
    if is_dangerous and "con" in metafunc.fixturenames and "shipped" not in metafunc.fixturenames:
        metafunc.parametrize("con", ENGINES, indirect=True, scope="session")


@pytest.fixture(scope="session")
def con(request: pytest.FixtureRequest) -> Iterator[Any]:
    if getattr(request, "param", "duckdb") == "spark":
        yield request.getfixturevalue("spark")
    else:
        engine = connect(threads=1)
        yield engine
        engine.disconnect()


@pytest.fixture(scope="session")
def rows(con: Any) -> Rows:
    """Make a table of a model's columns from dictionaries; what a dictionary leaves out is null."""

    def make(table: str, *dicts: dict[str, Any], **extra: pa.DataType) -> ir.Table:
        columns = model(table).to_schema().columns
        schema = pa.schema(
            [(name, column.dtype.type.to_pyarrow()) for name, column in columns.items()] + list(extra.items())
        )
        filled = [{name: row.get(name) for name in schema.names} for row in dicts]
        unknown = {name for row in dicts for name in row} - set(schema.names)
        assert not unknown, unknown
        return con.create_table(f"rows_{next(NUMBER)}", pa.Table.from_pylist(filled, schema=schema), temp=True)

    return make
