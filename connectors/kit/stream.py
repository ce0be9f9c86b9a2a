"""What a connector declares about a stream, and the slice of a stream that one read covers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeAlias

from schemas.mapping import Field, FieldMap, entries, paths

Checkpoint: TypeAlias = dict[str, Any]
Deletes: TypeAlias = Literal["feed", "flag", "list", "sweep", "none"]
CursorUnit: TypeAlias = Literal["text", "epoch_s", "epoch_ms"]


@dataclass(frozen=True)
class Stream:
    """One stream of a system: how it is read, and which of its fields feed which columns.

    name: the stream's name in the lake (`raw/<connection>/<name>`).
    primary_key, cursor: paths into a record.
    fields: the field map, from column to path.
    table: the conformed table that the stream feeds; None stores it raw only.
    object: the system's own name of the stream.
    deletes: how deletions become known; `deleted_values` maps a path to the texts that mark a
        deleted record if it is "flag".
    lag: how late a committed record may appear under an older timestamp; the cursor stays that
        far behind the source's clock.
    lookback: the time before the cursor that every run reads again.
    window: the longest slice, for an API that can bound the cursor on both sides; None reads a
        gap as one slice.
    uncursored_fields: paths whose values change without moving the cursor (formulas, roll-ups,
        associations); because of them the stream is fully read from time to time.
    merged_ids: path to the ids of records that the source merged into this one; those are
        redirected, not deleted.
    nulls: texts that mean null in this system.
    ignores: fields left out on purpose.
    has_schema_api: `discover` names every field of a record. Otherwise the fields are known from
        the records.
    offset_paged: pages are requested by number or offset. A record that disappears during the
        read shifts the others, so one may be skipped: a single read proves nothing, and an
        interrupted read starts again.
    key_columns: the parts of the key, if `primary_key` is a field that the connector adds.
    """

    name: str
    primary_key: str
    fields: FieldMap
    table: str | None = None
    object: str = ""
    cursor: str | None = None
    cursor_unit: CursorUnit = "text"
    deletes: Deletes = "none"
    deleted_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lag: timedelta = timedelta(0)
    lookback: timedelta = timedelta(0)
    window: timedelta | None = None
    uncursored_fields: tuple[str, ...] = ()
    merged_ids: str | None = None
    nulls: tuple[str, ...] = ("",)
    ignores: tuple[str, ...] = ()
    has_schema_api: bool = False
    offset_paged: bool = False
    key_columns: str = ""

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """All paths that are read from a record: those of the field map, then `merged_ids`."""
        return tuple(dict.fromkeys([*paths(self.fields), *([self.merged_ids] if self.merged_ids else [])]))

    @cached_property
    def merges(self) -> str | None:
        """Path to the ids merged into a record: the stream's own, else the field map's `merged_ids`."""
        mapped = (entry.path for entry in entries(self.fields.get("merged_ids", ())) if isinstance(entry, Field))
        return self.merged_ids or next(mapped, None)


@dataclass(frozen=True)
class Slice:
    """The records whose cursor is in [start, end). None is unbounded; both None is the whole stream."""

    start: datetime | None = None
    end: datetime | None = None


def parse_cursor(value: Any, unit: CursorUnit) -> datetime | None:
    """Return the instant of a cursor value; in UTC where it names no zone, None for what is not an instant."""
    try:
        if isinstance(value, datetime):
            moment = value
        elif unit == "text":
            moment = datetime.fromisoformat(str(value))
        else:
            moment = datetime.fromtimestamp(float(value) / (1000 if unit == "epoch_ms" else 1), UTC)
    except (ArithmeticError, OSError, TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
