"""The contract between the house and its doors: connectors, streams, pages, changes, outcomes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from schemas.mapping import FieldMap

Checkpoint: TypeAlias = dict[str, Any]
Deletes: TypeAlias = Literal["feed", "flag", "list", "sweep", "none"]


class ConnectorSettings(BaseModel):
    """Hold what a user sets for one connection; subclasses add their own; secrets are `SecretStr`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Stream:
    """Declare one stream of a system: what it is called there and which of its fields feed ours.

    `name` is the stream's name in the lake (`raw/<connection>/<name>`), `table` the conformed table it
    feeds (None: kept raw only), `object` the system's own name for it. `primary_key` and `cursor` are
    paths into a record. `lag` is how late a committed record may still appear under an older stamp: the
    cursor stays that far behind the source's clock. `lookback` is read again on every run.
    `nulls` are texts by which this system says null. `ignores` are fields left out on purpose.
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
    nulls: tuple[str, ...] = ("",)
    ignores: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Ask for the records whose cursor lies in [start, end); None is open, both None is the whole stream."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Hold one page as Arrow (the columns of `connectors.kit.records`) and the place to go on from.

    `checkpoint` None says that the slice ends with this page. `total` is the source's own count of the
    slice, where it tells one.
    """

    records: pa.Table
    checkpoint: Checkpoint | None
    total: int | None = None


@dataclass(frozen=True)
class Check:
    """Report that a connection works: which account answered, the source's clock, what to know."""

    account: str
    now: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceField:
    """Describe one field that a source offers, under the path that a field map would use."""

    path: str
    type: str
    label: str = ""
    is_custom: bool = False
    is_writable: bool = True


@dataclass(frozen=True)
class Held:
    """Hold what a target holds in one record now: values by its own field names, and its version."""

    record_id: str
    values: Mapping[str, Any]
    version: str | None = None


@dataclass(frozen=True)
class Change:
    """Ask for one record to be changed: `after` by the target's field names, `before` as last seen there."""

    op_id: str
    record_id: str | None
    after: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    action: Literal["update", "create", "upsert"] = "update"


Status: TypeAlias = Literal["applied", "unchanged", "rejected", "conflict", "retry", "unknown"]


@dataclass(frozen=True)
class Outcome:
    """Say what the target answered for one change."""

    op_id: str
    status: Status
    record_id: str | None = None
    version: str | None = None
    message: str = ""


class Connector(ABC):
    """Speak one system's protocol. It never sleeps, retries, keeps state or swallows a row: the kit does."""

    Settings: ClassVar[type[ConnectorSettings]]
    streams: tuple[Stream, ...] = ()

    def __init__(self, name: str, settings: ConnectorSettings) -> None:
        self.name = name
        self.settings = settings

    @classmethod
    def declared(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        """List the streams without opening anything; a connector whose settings describe them reads those."""
        return cls.streams

    def close(self) -> None:  # noqa: B027 - most connectors hold nothing open
        """Let go of sockets and files."""

    @abstractmethod
    def check(self) -> Check:
        """Prove that the system is reachable, lets us in, is the account we expect and has our fields."""

    @abstractmethod
    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        """List the fields that each stream offers, custom ones included, by the stream's name."""

    @abstractmethod
    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Yield the slice page by page, going on after `checkpoint`."""

    @abstractmethod
    def now(self) -> datetime:
        """Tell the source's own clock (aware, UTC)."""


@runtime_checkable
class CountsSlices(Protocol):
    """Tell how many records a slice holds by the source's own count."""

    def count(self, stream: Stream, slice_: Slice) -> int: ...


@runtime_checkable
class ListsKeys(Protocol):
    """List every live key of a stream, so that missing ones are known to be deleted."""

    def keys(self, stream: Stream) -> Iterator[Sequence[str]]: ...


@runtime_checkable
class ReportsDeletes(Protocol):
    """Report deleted or archived records as pages whose rows are tombstones (`_deleted` true)."""

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]: ...


@runtime_checkable
class ReadsByKey(Protocol):
    """Read single records by key, in batches: the live compare and the read-back."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, Held]: ...


@runtime_checkable
class Writes(Protocol):
    """Write a batch of changes and answer one outcome for each, matched by id."""

    max_batch: int
    upsert_key: str | None

    def writable(self, stream: Stream) -> Mapping[str, SourceField]: ...

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]: ...
