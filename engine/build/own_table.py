"""A table of one's own within a build: its step, the types of its columns, and the check of its key."""

from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from engine.build.registry import NamedTable
from engine.storage.backend import backend


@dataclass(frozen=True)
class OwnTable(NamedTable):
    """A table of one's own: made of `reads`, its rows named by `key`."""

    key: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def keywords(self) -> dict[str, str]:
        """The settings that it takes."""
        return {name: name for name in self.settings}


def normalised(table: ir.Table) -> ir.Table:
    """Cast columns to the types that tables have: whole numbers to 64 bits, instants to UTC.

    Raises TypeError for a column of a type that no warehouse takes.
    """
    return table.cast({name: _type(name, kind) for name, kind in table.schema().items()})


def broken_keys(table: ir.Table, key: tuple[str, ...]) -> dict[str, int]:
    """Count the rows whose key is empty or not the only one, by reason."""
    empty = {f"{name} is empty": table[name].isnull().sum() for name in key}
    row = table.agg(**empty).to_pyarrow().to_pylist()[0]
    counts = {reason: int(count or 0) for reason, count in row.items()}
    groups = table.group_by(list(key)).agg(rows=ibis._.count())
    counts[f"{', '.join(key)} is there more than once"] = backend.row_count(groups.filter(groups.rows > 1))
    return {reason: count for reason, count in counts.items() if count}


def _type(name: str, kind: dt.DataType) -> dt.DataType:
    if kind.is_integer() or (kind.is_decimal() and kind.scale == 0):  # sums of whole numbers are decimals
        return dt.int64
    if kind.is_floating():
        return dt.float64
    if kind.is_timestamp():
        return dt.Timestamp(timezone="UTC")
    if kind.is_string() or kind.is_boolean() or kind.is_date() or kind.is_decimal():
        return kind
    raise TypeError(f"column {name!r} is of type {kind}; cast it to text, a number, a date or a timestamp")
