"""The target of a delivery, opened: its connector and stream, what it can do, and that it is the account it was."""

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
    """Hold a connector that can be written to, and the stream that is.

    Which account the connector opens is asked meanwhile; whoever comes to read or to write waits for the answer, and
    gets AccessError when it is not the account that it was.
    """

    connector: Connector
    stream: Stream
    pinned: Future[None]

    @cached_property
    def writes(self) -> Writes:
        """Give the connector as one that writes."""
        self.pinned.result()
        return self._described

    @property
    def writing(self) -> Writing:
        """Tell how it is written to."""
        return self._described.writing

    @cached_property
    def reads(self) -> ReadsByKey:
        """Give the connector as one that reads by key."""
        self.pinned.result()
        return cast("ReadsByKey", self.connector)

    @cached_property
    def finds(self) -> FindsByField | None:
        """Give the connector as one that finds records by a field, if it is one."""
        self.pinned.result()
        return self.connector if isinstance(self.connector, FindsByField) else None

    @cached_property
    def reads_payload(self) -> ReadsPayload | None:
        """Give the connector as one that reads extracted records, if it is one."""
        self.pinned.result()
        return self.connector if isinstance(self.connector, ReadsPayload) else None

    @cached_property
    def fields(self) -> Mapping[str, SourceField]:
        """Describe what may be written."""
        return self._described.writable(self.stream)

    def creates_once(self, key: str | None) -> bool:
        """Tell whether the target itself sees to it that a record with this key is there once."""
        return self.writing.idempotent or self._is_unique(key)

    def knows_operations(self, key: Key | None) -> bool:
        """Tell whether it does so by the operation alone, which must be the same one then when it is sent again."""
        return self.writing.idempotent and not self._is_unique(key.field if key else None)

    def _is_unique(self, field: str | None) -> bool:
        return bool(field and field in self.fields and self.fields[field].is_unique)

    def storable(self, value: Any) -> Any:
        """Give a value as the target can hold it: to some systems 0 and nothing are the same."""
        return None if self.writing.zero_means_null and value == 0 and not isinstance(value, bool) else value

    @property
    def _described(self) -> Writes:
        return cast("Writes", self.connector)


@contextmanager
def opened(project: Project, config: DeliveryConfig, *, is_written: bool = False) -> Iterator[Target]:
    """Open a delivery's target; where it will be written to, it is asked at the same time what may be written.

    Raises SettingsError for a stream that is not there or cannot be written, AccessError when the connection opens
    another account than when it was first used: a sandbox taken for production, or the reverse.
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
    known = {stream.name: stream for stream in (*connector.targets, *connector.streams)}
    wanted = config.target.stream
    if wanted not in known:
        raise SettingsError(f"connection {connector.name!r}: no stream {wanted!r}; {choices(wanted, known)}")
    if not isinstance(connector, Writes) or not isinstance(connector, ReadsByKey):
        raise SettingsError(f"connection {connector.name!r} cannot be written to: its connector only reads")
    return known[wanted]
