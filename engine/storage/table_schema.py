"""The Arrow schema of a table."""

import ibis
import pyarrow as pa

from schemas.find import model


def arrow_schema(name: str) -> pa.Schema:
    """Give a table's Arrow schema by its model."""
    columns = model(name).to_schema().columns
    return ibis.schema({column: held.dtype.type for column, held in columns.items()}).to_pyarrow()
