"""What a connector declares of a stream, and how a part of one is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, TypeAlias

from schemas.mapping import Field, FieldMap, entries, paths

Checkpoint: TypeAlias = dict[str, Any]
Deletes: TypeAlias = Literal["feed", "flag", "list", "sweep", "none"]


@dataclass(frozen=True)
class Stream:
    """Declare one stream of a system: what it is called there and which of its fields feed ours.

    `name` is the stream's name in the lake (`raw/<connection>/<name>`), `table` the conformed table it
    feeds (None: kept raw only), `object` the system's own name for it. `primary_key` and `cursor` are
    paths into a record. `lag` is how late a committed record may still appear under an older stamp: the
    cursor stays that far behind the source's clock. `lookback` is read again on every run.
    `window` is how long a slice may be where the API can bound it on both sides; None reads a gap at once.
    `uncursored_fields` are paths whose values change without moving the cursor (formulas, roll-ups, associations):
    the stream is read whole now and then for their sake. `merged_ids` is the path to the ids of records that
    the source merged into this one: they are redirected, not deleted.
    `nulls` are texts by which this system says null. `ignores` are fields left out on purpose.
    `has_schema_api` says that the connector's `discover` names every field of a record; of other streams it is known by
    their records which fields there are.
    `offset_paged` says that pages are asked for by their number: a record that goes while they are read hides another, so
    that one reading proves nothing, and none is gone on with later.
    `key_columns` tells what the key is made of, where `primary_key` is a column of the connector's own.
    `deleted_values` maps a path to the texts that mark a deleted record, where `deletes` is "flag".
    """

    name: str
    primary_key: str
    fields: FieldMap
    table: str | None = None
    object: str = ""
    cursor: str | None = None
    cursor_unit: Literal["text", "epoch_s", "epoch_ms"] = "text"
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
        """List every path that is read from a record: what feeds our fields, then what tells of merges."""
        return tuple(dict.fromkeys([*paths(self.fields), *([self.merged_ids] if self.merged_ids else [])]))

    @cached_property
    def merges(self) -> str | None:
        """Name the path to the ids merged into a record: the connector's, else what feeds `merged_ids`."""
        mapped = (entry.path for entry in entries(self.fields.get("merged_ids", ())) if isinstance(entry, Field))
        return self.merged_ids or next(mapped, None)


@dataclass(frozen=True)
class Slice:
    """Ask for the records whose cursor lies in [start, end); None is open, both None is the whole stream."""

    start: datetime | None = None
    end: datetime | None = None
