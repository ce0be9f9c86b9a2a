"""One page of a stream: records as the source sent them, and the place to go on from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import pyarrow as pa

from connectors.kit.records import raw_table
from connectors.kit.repair import Repairs
from connectors.kit.stream import Checkpoint, Stream


@dataclass(frozen=True)
class Page:
    """Hold one page of unparsed records, one JSON text each: bytes, or a msgspec.Raw, which copies nothing.

    `extracted_at` is the source's clock. `checkpoint` None says that the slice ends with this page. `total` is the
    source's own count of the slice, where it tells one. `deleted` says that these are tombstones. `notes` say what
    somebody may want to know of the stream, once. `repairs` count the broken text that was replaced in this page.
    """

    stream: Stream
    rows: Sequence[bytes]
    extracted_at: datetime
    checkpoint: Checkpoint | None
    total: int | None = None
    deleted: bool = False
    notes: tuple[str, ...] = ()
    repairs: Repairs = field(default_factory=Repairs)

    @cached_property
    def records(self) -> pa.Table:
        """Type the records: the columns of `connectors.kit.records`."""
        return raw_table(self.rows, self.stream, self.extracted_at, deleted=self.deleted)
