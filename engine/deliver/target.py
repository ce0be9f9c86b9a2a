"""The open target of a delivery: its connector and stream, what it can do, and the check of its account."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from connectors.kit.base import Connector, FindsByField, ReadsByKey, ReadsPayload, SourceField, Writes, Writing
from connectors.kit.errors import SettingsError, choices
from connectors.kit.stream import Stream
from engine.config.delivery import DeliveryConfig, Key
from engine.config.pins import pin
from engine.config.project import Project


@dataclass(frozen=True)
class Target:
    """A connector that can be written to, and the stream to write.

    Which account the connector opens is asked in the background. Reads and writes wait for the answer, and raise
    AccessError when it is another account than the pinned one.
    """

    connector: Connector
    stream: Stream
    pinned: Future[None]

    @cached_property
    def writes(self) -> Writes:
        """The connector as a writer."""
        self.pinned.result()
        return self._described

    @property
    def writing(self) -> Writing:
        """How the connector writes: batch size, parallel batches, lag, idempotency."""
        return self._described.writing

    @cached_property
    def reads(self) -> ReadsByKey:
        """The connector as a reader by key."""
        self.pinned.result()
        return cast("ReadsByKey", self.connector)

    @cached_property
    def finds(self) -> FindsByField | None:
        """The connector as a finder of records by a field; None if it cannot."""
        self.pinned.result()
        return self.connector if isinstance(self.connector, FindsByField) else None

    @cached_property
    def reads_payload(self) -> ReadsPayload | None:
        """The connector as a reader of extracted payloads; None if it cannot."""
        self.pinned.result()
        return self.connector if isinstance(self.connector, ReadsPayload) else None

    @cached_property
    def fields(self) -> Mapping[str, SourceField]:
        """The fields that may be written, by name."""
        return self._described.writable(self.stream)

    def creates_once(self, key: str | None) -> bool:
        """Return whether the target itself prevents a second record with this key."""
        return self.writing.idempotent or self._is_unique(key)

    def knows_operations(self, key: Key | None) -> bool:
        """Return whether it recognises a repeated create only by its operation id, which must then stay the same."""
        return self.writing.idempotent and not self._is_unique(key.field if key else None)

    def _is_unique(self, field: str | None) -> bool:
        return bool(field and field in self.fields and self.fields[field].is_unique)

    def storable(self, value: Any) -> Any:
        """Return a value as the target can store it: None for 0 where the system does not tell them apart."""
        return None if self.writing.zero_means_null and value == 0 and not isinstance(value, bool) else value

    @property
    def _described(self) -> Writes:
        return cast("Writes", self.connector)


@contextmanager
def opened(project: Project, config: DeliveryConfig, *, is_written: bool = False) -> Iterator[Target]:
    """Open a delivery's target. With `is_written`, its writable fields are requested at the same time.

    Raises SettingsError for a stream that does not exist or cannot be written, AccessError when the connection opens
    another account than when it was first used (a sandbox instead of production, or the reverse).
    """
    connector = project.open(config.target.connection)
    try:
        stream = _stream(connector, config)
        with ThreadPoolExecutor(2) as meanwhile:
            target = Target(
                connector, stream, meanwhile.submit(lambda: pin(project, connector.name, connector.account()))
            )
            if is_written and stream.has_schema_api:
                meanwhile.submit(lambda: target.fields)
            yield target
            target.pinned.result()
    finally:
        connector.close()


def _stream(connector: Connector, config: DeliveryConfig) -> Stream:
    streams = {stream.name: stream for stream in (*connector.targets, *connector.streams)}
    wanted = config.target.stream
    if wanted not in streams:
        raise SettingsError(f"connection {connector.name!r}: no stream {wanted!r}; {choices(wanted, streams)}")
    if not isinstance(connector, Writes) or not isinstance(connector, ReadsByKey):
        raise SettingsError(f"connection {connector.name!r} cannot be a target: its connector only reads")
    return streams[wanted]
