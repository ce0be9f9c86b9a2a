"""What all parts of the reading of one stream share in one run."""

from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError
from connectors.kit.stream import Slice, Stream
from engine.config.project import Project
from engine.extract.completeness import total
from engine.extract.delete_guard import DeleteGuard
from engine.extract.limits import Limits
from engine.extract.result import StreamResult
from engine.extract.stored_rows import RowNumbers
from engine.extract.stored_stream import StoredStream
from engine.storage.stores.slice_counts import SliceCount
from engine.storage.stores.sync_state import full_refresh_of


class StreamContext:
    """One stream in one run: its source, what was stored of it before, and the result so far.

    `began` is the source's clock when the run began; no slice reaches beyond `until`, the stream's lag before that.
    What was stored is looked at lazily, so that a full refresh can open its generation first.
    """

    def __init__(
        self,
        project: Project,
        connector: Connector,
        stream: Stream,
        run_id: str,
        began: datetime,
        limits: Limits | None = None,
        result: StreamResult | None = None,
    ) -> None:
        self.project, self.connector, self.stream, self.run_id = project, connector, stream, run_id
        self.ledger, self.name, self.until = project.ledger, connector.name, began - stream.lag
        self.asset = f"raw/{connector.name}/{stream.name}"
        self.config = project.connection(connector.name)
        self.limits = limits or Limits()
        self.result = result or StreamResult(connector.name, stream.name)
        self.began = began
        self.rolled_back = 0  # records that a reading showed in an earlier version than the stored one

    def again(self) -> "StreamContext":
        """Return a context that begins with what is stored now, for a second reading in the same run."""
        began, result = self.began, self.result
        return StreamContext(self.project, self.connector, self.stream, self.run_id, began, self.limits, result)

    def read_until(self, until: datetime) -> None:
        """Record that the stream has been read beyond the beginning of the run."""
        self.until = self.result.until = until
        vars(self).pop("total", None)  # it depends on `to_come`

    @property
    def label(self) -> str:
        """The stream's name in messages."""
        return f"{self.name} {self.stream.name}"

    @cached_property
    def stored(self) -> StoredStream:
        """The stream as it was stored when the run began."""
        self._now = stored = StoredStream(self.project, self.asset, self.stream)
        return stored

    @cached_property
    def delete_guard(self) -> DeleteGuard:
        """The guard of this run, which compares deletions with what was stored when the run began."""
        return DeleteGuard(self.stored, self.result, self.config.max_delete_pct)

    @cached_property
    def row_numbers(self) -> RowNumbers:
        """The numbers of the rows that land in this run."""
        return RowNumbers(self.stored.generations.newest, self.ledger.files.newest_id())

    @cached_property
    def is_whole_reading(self) -> bool:
        """Whether this run is part of a reading of the whole stream."""
        is_begun = bool(self.ledger.sync.open_slices(self.name, full_refresh_of(self.stream.name)))
        return is_begun or self.stored.generations.is_open

    @cached_property
    def first(self) -> datetime | None:
        """The first stamp that is asked for, from the setting `start`; raises SettingsError if it is not a date."""
        if not self.config.start or self.stream.cursor is None:
            return None
        try:
            start = datetime.fromisoformat(self.config.start)
        except ValueError:
            raise SettingsError(f"connection {self.name!r}: start: {self.config.start!r} is no ISO date") from None
        return start if start.tzinfo else start.replace(tzinfo=UTC)

    @property
    def to_come(self) -> Slice:
        """The part of the stream that the next run reads, whatever this one achieves."""
        return Slice(self.until - self.stream.lookback)

    def current(self) -> StoredStream:
        """Return the stream as it is stored now: slices overlap by the lookback, so that rows of this run come again."""
        stored = self.stored
        if self._now.before != stored.files_now():
            self._now = StoredStream(self.project, self.asset, self.stream)
        return self._now

    @cached_property
    def total(self) -> SliceCount | None:
        """The source's count of the whole stream, asked for once."""
        stored = self.current()
        return total(
            self.connector,
            self.stream,
            Slice(self.first),
            self.to_come,
            lambda keys: len(stored.alive(pa.chunked_array([pa.array(sorted(keys), pa.string())]))),
        )
