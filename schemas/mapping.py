"""Which field of a source feeds which field of ours: the vocabulary of field maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["text", "epoch_s", "epoch_ms", "percent", "seconds", "milliseconds"]


@dataclass(frozen=True)
class Field:
    """Take one value from a record of the source.

    `path` is a dotted path into the record's JSON (`properties.amount`, `partner_id.0`).
    `values` translates the source's words into ours; a word it does not list gives `otherwise`
    (null by default), so that a later entry of the map can have its say.
    `unit` is the source's unit: our instants are UTC, our probabilities 0 to 1, our durations minutes.
    `nulls` are texts by which this field says null, beside those of its stream.
    """

    path: str
    values: Mapping[str, str] | None = None
    otherwise: str | None = None
    unit: Unit = "text"
    nulls: Sequence[str] = ()


@dataclass(frozen=True)
class Constant:
    """Give every record the same value."""

    value: str


Entry: TypeAlias = str | Field | Constant
FieldMap: TypeAlias = Mapping[str, Entry | tuple[Entry, ...]]


def entries(mapped: Entry | tuple[Entry, ...]) -> tuple[Field | Constant, ...]:
    """Spell out one line of a field map: the first entry that is not null wins."""
    listed = mapped if isinstance(mapped, tuple) else (mapped,)
    return tuple(Field(entry) if isinstance(entry, str) else entry for entry in listed)


def paths(fields: FieldMap) -> tuple[str, ...]:
    """List every path of the source that a field map reads, once each, in order."""
    read = (entry.path for mapped in fields.values() for entry in entries(mapped) if isinstance(entry, Field))
    return tuple(dict.fromkeys(read))


def stem(path: str) -> str:
    """Name the field that a path reads: without the places in a list, such as the id of [id, name]."""
    parts = path.split(".")
    while len(parts) > 1 and parts[-1].isdecimal():
        parts.pop()
    return ".".join(parts)
