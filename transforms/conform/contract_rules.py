"""What a connection's contract says of rows whose fields are not as they were accepted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Absence:
    """Say that a field was gone at the source from `since` on, until then or still."""

    field: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class Terms:
    """Say what becomes of rows that do not keep to the contract.

    `discards_values`: a value that cannot be read is left out and counted, where its column may be empty; else its
    row is broken. `gone` names by mapped path what was absent when: a row that was read meanwhile lacks a value that
    it should have. `refused` are new fields that no row may bring along.
    """

    discards_values: bool = False
    absences: Mapping[str, Absence] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
