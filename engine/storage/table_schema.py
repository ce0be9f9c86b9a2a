"""The Arrow schema of a table."""

import ibis
import pyarrow as pa

from schemas.find import model


def arrow_schema(name: str) -> pa.Schema:
    """Return a table's Arrow schema by its model."""
    columns = model(name).to_schema().columns.items()
    return ibis.schema({name: column.dtype.type for name, column in columns}).to_pyarrow()
