"""The CDNOW sample as order days: what the lifetimes wheel ships, read as a file."""

from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from engine.storage.backend import backend

EVENTS = pa.schema([("customer_id", pa.string()), ("on", pa.date32()), ("amount", pa.decimal128(18, 2))])


def order_days(con: Any) -> ir.Table:
    """Read the purchases of 2,357 customers, January 1997 to June 1998."""
    path = Path(find_spec("lifetimes").origin).parent / "datasets" / "CDNOW_sample.txt"
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    made = [
        {"customer_id": row[1], "on": datetime.strptime(row[2], "%Y%m%d").date(), "amount": Decimal(row[4])}  # noqa: DTZ007
        for row in rows
    ]
    table = backend.table(con, pa.Table.from_pylist([row for row in made if row["amount"] > 0], EVENTS))
    return backend.keep(con, table.group_by("customer_id", "on").agg(amount=table.amount.sum()))


def events(con: Any, *rows: tuple[str, Any]) -> ir.Table:
    """Make order days of (customer, day)."""
    given = [{"customer_id": name, "on": on, "amount": Decimal(10)} for name, on in rows]
    return backend.table(con, pa.Table.from_pylist(given, EVENTS))
