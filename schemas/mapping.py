"""Field maps: which field of a source feeds which column of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["text", "epoch_s", "epoch_ms", "percent", "seconds", "milliseconds"]


@dataclass(frozen=True)
class Field:
    """One value of a source record.

    `path` is a dotted path into the record's JSON (`properties.amount`, `partner_id.0`).
    `values` translates the source's words into ours; a word it does not list gives `otherwise`
    (null by default), so that a later entry of the map can fill the column.
    `unit` is the source's unit: our instants are UTC, our probabilities 0 to 1, our durations minutes.
    `nulls` are texts that mean null in this field, in addition to those of its stream.
    """

    path: str
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    unit: Unit = "text"
    nulls: Sequence[str] = ()


@dataclass(frozen=True)
class Constant:
    """The same value for every record."""

    value: str


Entry: TypeAlias = str | Field | Constant
FieldMap: TypeAlias = Mapping[str, Entry | tuple[Entry, ...]]


def entries(mapped: Entry | tuple[Entry, ...]) -> tuple[Field | Constant, ...]:
    """Return the entries of one line of a field map; the first one that is not null fills the column."""
    listed = mapped if isinstance(mapped, tuple) else (mapped,)
    return tuple(Field(entry) if isinstance(entry, str) else entry for entry in listed)


def paths(fields: FieldMap) -> tuple[str, ...]:
    """Return every source path that a field map reads, once each, in order."""
    read = (entry.path for mapped in fields.values() for entry in entries(mapped) if isinstance(entry, Field))
    return tuple(dict.fromkeys(read))


def stem(path: str) -> str:
    """Return the field that a path reads, without positions in a list: `partner_id.0` reads `partner_id`."""
    parts = path.split(".")
    while len(parts) > 1 and parts[-1].isdecimal():
        parts.pop()
    return ".".join(parts)
