"""One stream in one run: what all parts of its reading share."""

from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError
from connectors.kit.stream import Slice, Stream
from engine.config.project import Project
from engine.extract.completeness import total
from engine.extract.delete_guard import DeleteGuard
from engine.extract.result import StreamResult
from engine.extract.stored_stream import StoredStream
from engine.storage.slice_counts import SliceCount
from engine.storage.sync_state import OpenSlice


class StreamContext:
    """Hold where a stream is read from and how far, what was held of it before, and what came of it.

    `began` is the source's clock when the run began: no slice reaches beyond `until`, which is the stream's lag before.
    `anew` tells since when the stream is being read as a whole once more, if it is.
    """

    def __init__(self, project: Project, connector: Connector, stream: Stream, run_id: str, began: datetime) -> None:
        self.project, self.connector, self.stream, self.run_id = project, connector, stream, run_id
        self.ledger, self.name, self.until = project.ledger, connector.name, began - stream.lag
        self.config = project.connection(connector.name)
        self.result = StreamResult(connector.name, stream.name)
        self.held = StoredStream(project, f"raw/{connector.name}/{stream.name}", stream)
        self._now = self.held
        self.anew: OpenSlice | None = None
        self.breaker = DeleteGuard(self.held, self.result, self.config.max_delete_pct)

    @property
    def place(self) -> str:
        """Name the stream as people do."""
        return f"{self.name} {self.stream.name}"

    @cached_property
    def first(self) -> datetime | None:
        """Tell the first stamp that is asked for; raises SettingsError for a `start` that is no date."""
        if not self.config.start or self.stream.cursor is None:
            return None
        try:
            start = datetime.fromisoformat(self.config.start)
        except ValueError:
            raise SettingsError(f"connection {self.name!r}: start: {self.config.start!r} is no ISO date") from None
        return start if start.tzinfo else start.replace(tzinfo=UTC)

    @property
    def to_come(self) -> Slice:
        """Tell which part of the stream the next run reads, whatever becomes of this one."""
        return Slice(self.until - self.stream.lookback)

    def current(self) -> StoredStream:
        """Look at what is held once more where that is something else now: slices overlap by the lookback."""
        if self._now.before != self._now.files_now():
            self._now = StoredStream(self.project, self.held.asset, self.stream)
        return self._now

    @cached_property
    def total(self) -> SliceCount | None:
        """Ask for the count of the whole stream, once."""
        held = self.current()
        return total(
            self.connector,
            self.stream,
            Slice(self.first),
            self.to_come,
            lambda keys: len(held.alive(pa.chunked_array([pa.array(sorted(keys), pa.string())]))),
        )
