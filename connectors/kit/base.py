"""The contract between the engine and its connectors: required and optional methods, changes and outcomes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel, ConfigDict

from connectors.kit.raw_rows import Page
from connectors.kit.stream import Checkpoint, Slice, Stream


class ConnectorSettings(BaseModel):
    """Base of a connector's settings. A subclass adds fields; secrets are `SecretStr`.

    `belvedere init` asks for the required settings and for those listed in `asked_by_init`.
    """

    asked_by_init: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Check:
    """Result of a successful check: the account that answered, the source's clock, and notes."""

    account: str
    now: datetime
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceField:
    """One field that a source offers; `path` is what a field map uses to name it."""

    path: str
    type: str
    label: str = ""
    is_custom: bool = False
    is_writable: bool = True
    is_unique: bool = False  # the system rejects a second record with this value, or updates the first


@dataclass(frozen=True)
class TargetRecord:
    """The current state of one record in a target, with values by the target's field names.

    `changed_at` is when anyone last changed the record, by the target's clock, if the target
    reports it.
    """

    record_id: str
    values: Mapping[str, Any]
    version: str | None = None
    changed_at: datetime | None = None


Action: TypeAlias = Literal["update", "create", "delete"]


@dataclass(frozen=True)
class Change:
    """One requested change of one record, with values by the target's field names.

    Fields that `after` does not name stay as they are; None empties a field. `before` holds the
    values last read from the target and `version` the record's version at that time. `key` of a
    `create` names the field of `after` that identifies the record: if that field is unique in the
    target, a second create with the same value must return the same record.
    """

    op_id: str
    record_id: str | None
    after: Mapping[str, Any]
    before: Mapping[str, Any] = field(default_factory=dict)
    version: str | None = None
    action: Action = "update"
    key: str | None = None


Status: TypeAlias = Literal["applied", "unchanged", "rejected", "conflict", "retry", "unknown"]


@dataclass(frozen=True)
class Outcome:
    """The target's result for one change.

    applied: the target stores what was sent. rejected: the target refuses this change; `message`
    has the reason. conflict: the record has another version. retry: nothing was written and the
    same change may be sent again (`is_locked`: another request was changing the record, so fewer
    parallel requests may help). unknown: the change may or may not have been written.
    `values` are the record's values after the change, if the response contains them.
    """

    op_id: str
    status: Status
    record_id: str | None = None
    version: str | None = None
    message: str = ""
    values: Mapping[str, Any] | None = None
    is_locked: bool = False


@dataclass(frozen=True)
class Writing:
    """How a system accepts writes.

    `batch` is how many changes one call of `write` gets, `parallel` how many calls may run at
    once. `versions`: the system rejects a change whose version is outdated. `idempotent`: the
    system recognises an `op_id` and never applies it twice. `write_timeout`: a request without a
    response is applied within this time or never. `lag` is how far reads may be behind writes.
    `zero_means_null`: a number that was never set is read as 0.
    """

    batch: int = 1
    parallel: int = 1
    versions: bool = False
    idempotent: bool = False
    write_timeout: timedelta = timedelta(minutes=5)
    lag: timedelta = timedelta(0)
    zero_means_null: bool = False


class Connector(ABC):
    """Base of all connectors: translates between one system's protocol and the engine.

    A connector never sleeps, retries, stores state or drops a row; the kit and the engine do that.
    """

    Settings: ClassVar[type[ConnectorSettings]]
    streams: tuple[Stream, ...] = ()
    targets: tuple[Stream, ...] = ()  # streams that are written only, such as tasks

    def __init__(self, name: str, settings: ConnectorSettings) -> None:
        self.name = name
        self.settings = settings

    def share_rate_limit(self, folder: Path) -> None:  # noqa: B027 - most connectors have no limit
        """Count requests together with all processes that use the same folder."""

    def keep_tokens(self, folder: Path) -> None:  # noqa: B027 - most connectors have no such tokens
        """Set the folder where rotated refresh tokens are saved."""

    @classmethod
    def declared_streams(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        """Return the streams without connecting; override it if the settings define the streams."""
        return cls.streams

    def close(self) -> None:  # noqa: B027 - most connectors hold nothing open
        """Close sockets and files."""

    @abstractmethod
    def check(self) -> Check:
        """Verify that the system is reachable, accepts the secret and is the expected account.

        Mapped fields are not checked here, but against `discover` and the records of earlier runs.

        Raises a ConnectorError with the reason if the connection does not work.
        """

    def account(self) -> str:
        """Return the account that answers; override it if a cheaper request than `check` tells it."""
        return self.check().account

    @abstractmethod
    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        """Return the fields of each stream by stream name, custom fields included.

        For a stream with `has_schema_api` the list must be complete.
        """

    @abstractmethod
    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Yield the pages of a slice; with a checkpoint, only the pages after it."""

    def counted_slice(self, stream: Stream, slice_: Slice) -> Slice:
        """Return the slice that `count` really counts, if the source counts only, say, whole days."""
        return slice_

    @abstractmethod
    def now(self) -> datetime:
        """Return the source's own clock (aware, UTC)."""


@runtime_checkable
class CountsSlices(Protocol):
    """`count` returns the source's own count of a slice; None for a stream that it does not count."""

    def count(self, stream: Stream, slice_: Slice) -> int | None: ...


@runtime_checkable
class ListsKeys(Protocol):
    """`keys` lists every live key of a stream in batches; a stored key that is missing was deleted."""

    def keys(self, stream: Stream) -> Iterator[Sequence[str]]: ...


@runtime_checkable
class ReportsDeletes(Protocol):
    """`deletes` yields deleted or archived records as pages of tombstones (`_deleted` is true)."""

    def deletes(self, stream: Stream, slice_: Slice) -> Iterator[Page]: ...


@runtime_checkable
class ReadsByKey(Protocol):
    """`fetch` reads records by id, in batches, for comparison and read-back; missing ids are left out."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]: ...


@runtime_checkable
class FindsByField(Protocol):
    """`find` returns live records by a field's value, to see whether a record to create exists."""

    def find(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]: ...


@runtime_checkable
class ReadsPayload(Protocol):
    """`current_record` makes from an extracted record what `fetch` would return for it.

    It returns None if the payload lacks one of the fields.
    """

    def current_record(self, stream: Stream, payload: bytes, fields: Sequence[str]) -> TargetRecord | None: ...


@runtime_checkable
class Writes(Protocol):
    """`write` sends a batch of changes and returns one outcome per change, matched by id.

    Several threads may call it at once. `writable` returns the fields that may be written, by name.
    """

    writing: Writing

    def writable(self, stream: Stream) -> Mapping[str, SourceField]: ...

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]: ...
