"""The contract between the house and its doors: what a connector does, what it may do, changes and outcomes."""

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
    """Hold what a user sets for one connection; subclasses add their own; secrets are `SecretStr`.

    `belvedere init` asks for the required settings, and for those of `asked_by_init`.
    """

    asked_by_init: ClassVar[tuple[str, ...]] = ()
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    is_unique: bool = False  # the system itself refuses a second record with the same value, or updates the first


@dataclass(frozen=True)
class TargetRecord:
    """Hold what a target holds in one record now: values by its own field names, its version, its last change.

    `changed_at` is when anybody last changed the record, by the target's clock, where it tells.
    """

    record_id: str
    values: Mapping[str, Any]
    version: str | None = None
    changed_at: datetime | None = None


Action: TypeAlias = Literal["update", "create", "delete"]


@dataclass(frozen=True)
class Change:
    """Ask for one record to be changed: `after` by the target's field names, `before` as last seen there.

    What is not named in `after` stays as it is; None empties a field. A `create` with a `key` is to be there once:
    `key` names the field of `after` by which the target knows a record again, and where that field is unique there,
    a second create with the same value must come to the same record. `version` is what `before` was read at.
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
    """Say what the target answered for one change.

    applied: it holds what was sent. rejected: it refuses this change, and why. conflict: the record is at another
    version. retry: nothing was written, and the same may be sent again (`is_locked`: others were at work on the
    record; fewer at once may help). unknown: it may or may not have been written.
    `values` are what the target says that it holds now, where its answer tells.
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
    """Declare how a system is written to.

    `batch` changes go into one call of `write`, `parallel` calls may be under way at once. `versions`: a change with
    a version is refused when the record has moved on. `idempotent`: the system knows an `op_id` again and never does
    it twice. `write_timeout` is by when a request that got no answer is done, or never will be; `lag` how far a read may
    stay behind a write. `zero_means_null`: a number that was never set reads 0 there.
    """

    batch: int = 1
    parallel: int = 1
    versions: bool = False
    idempotent: bool = False
    write_timeout: timedelta = timedelta(minutes=5)
    lag: timedelta = timedelta(0)
    zero_means_null: bool = False


class Connector(ABC):
    """Speak one system's protocol. It never sleeps, retries, keeps state or swallows a row: the kit does."""

    Settings: ClassVar[type[ConnectorSettings]]
    streams: tuple[Stream, ...] = ()
    targets: tuple[Stream, ...] = ()  # streams that are written only, such as tasks

    def __init__(self, name: str, settings: ConnectorSettings) -> None:
        self.name = name
        self.settings = settings

    def share(self, folder: Path) -> None:  # noqa: B027 - most connectors have no budget
        """Share the account's budget with all processes that name the same folder."""

    def keep_tokens(self, folder: Path) -> None:  # noqa: B027 - most connectors have none
        """Name the folder for refresh tokens that a server replaces while they are used."""

    @classmethod
    def declared(cls, settings: Mapping[str, Any]) -> tuple[Stream, ...]:
        """List the streams without opening anything; a connector whose settings describe them reads those."""
        return cls.streams

    def close(self) -> None:  # noqa: B027 - most connectors hold nothing open
        """Let go of sockets and files."""

    @abstractmethod
    def check(self) -> Check:
        """Prove that the system is reachable, lets us in and is the account we expect.

        Whether mapped fields are there is judged elsewhere, by `discover` and by what earlier runs have seen.
        """

    def account(self) -> str:
        """Tell which account answers, as `check` does; a connector that can ask for less than `check` does so."""
        return self.check().account

    @abstractmethod
    def discover(self) -> Mapping[str, Sequence[SourceField]]:
        """List the fields that each stream offers, custom ones included, by the stream's name.

        Of a stream that is `described` these are all there are, as the source describes them now.
        """

    @abstractmethod
    def read(self, stream: Stream, slice_: Slice, checkpoint: Checkpoint | None = None) -> Iterator[Page]:
        """Yield the slice page by page, going on after `checkpoint`."""

    def counted(self, stream: Stream, slice_: Slice) -> Slice:
        """Tell which slice the source's count is one of, where it cannot be asked as finely as by a slice."""
        return slice_

    @abstractmethod
    def now(self) -> datetime:
        """Tell the source's own clock (aware, UTC)."""


@runtime_checkable
class CountsSlices(Protocol):
    """Tell how many records a slice holds by the source's own count; None for a stream that it does not count."""

    def count(self, stream: Stream, slice_: Slice) -> int | None: ...


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
    """Read single records by key, in batches: the live compare and the read-back. Who is not there is left out."""

    def fetch(self, stream: Stream, record_ids: Sequence[str], fields: Sequence[str]) -> dict[str, TargetRecord]: ...


@runtime_checkable
class FindsByField(Protocol):
    """Find records by the value of a field, live ones only: is it there already, has a create arrived?"""

    def find(
        self, stream: Stream, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[TargetRecord]]: ...


@runtime_checkable
class ReadsPayload(Protocol):
    """Tell from a record as it was extracted what `fetch` would answer; None where it lacks one of the fields."""

    def current_record(self, stream: Stream, payload: bytes, fields: Sequence[str]) -> TargetRecord | None: ...


@runtime_checkable
class Writes(Protocol):
    """Write a batch of changes and answer one outcome for each, matched by id; may be called by several threads."""

    writing: Writing

    def writable(self, stream: Stream) -> Mapping[str, SourceField]: ...

    def write(self, stream: Stream, changes: Sequence[Change]) -> list[Outcome]: ...
