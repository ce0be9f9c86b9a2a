"""Gathers pages, types their records in bulk, and lands them in the lake together with the checkpoint.

A file and a transaction for each page would cost more than reading it. What is gathered is bounded in rows, bytes and
time (`Limits`), and lands when a slice ends or breaks off.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from connectors.kit.arrow import string_array, timestamp_array
from connectors.kit.raw_rows import Page, raw_table
from connectors.kit.repair import Repairs
from connectors.kit.stream import Stream
from engine.extract.context import StreamContext
from engine.extract.limits import Limits
from engine.storage.manifest import Written
from engine.storage.stores.sync_state import UNCURSORED_REFRESH, OpenSlice, Progress, seen_of


class LakeWriter:
    """Land the pages of one slice, without the rows that are stored in the newest generation already.

    `read_until` is the stamp up to which the stream had been read: rows of this slice before it are late.
    `before` is the first reading of the same slice, whose rows count too.
    """

    def __init__(
        self,
        run: StreamContext,
        state: str,
        slice_: OpenSlice,
        *,
        read_until: datetime | None = None,
        before: "LakeWriter | None" = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.run, self.stored, self.state, self.result = run, run.current(), state, run.result
        self.read_until, self._clock = read_until, clock
        self.progress: Progress = before.progress if before else _progress(slice_)
        self.skipped_keys: list[pa.Table] = before.skipped_keys if before else []
        self.seen: list[pa.ChunkedArray] = before.seen if before else []
        self.is_empty = slice_.checkpoint is None and not slice_.is_read
        self._since = None if state.endswith(UNCURSORED_REFRESH) else slice_.slice_.start
        self.pages, self._is_second = 0, before is not None
        self._landed_keys: list[pa.ChunkedArray] = []
        self._pages: list[Page] = []
        self._rows = self._bytes = 0
        self._began = clock()

    def add(self, page: Page) -> None:
        """Take a page; land what has been gathered when it is enough, or when the slice ends."""
        if self.progress.source_count is None and page.total is not None:
            self.progress = replace(self.progress, source_count=page.total)
        self.is_empty = self.is_empty and not page.rows
        self._pages.append(page)
        self._rows += len(page.rows)
        self._bytes += sum(map(len, page.rows))
        self.pages += 1
        self.result.pages += 1
        self.result.read += len(page.rows)
        self.result.repairs.add(page.repairs)
        self.result.notes += [note for note in page.notes if note not in self.result.notes]
        if page.checkpoint is None or self._is_enough():
            self.flush()

    def flush(self) -> None:
        """Land what has been gathered, and the checkpoint, in one transaction."""
        if not self._pages:
            return
        checkpoint = self._pages[-1].checkpoint
        self.progress = replace(self.progress, checkpoint=checkpoint, is_read=checkpoint is None)
        stream = self.run.stream
        rows = without_payload(_flagged(typed(self._pages, self.result.repairs), stream), stream)
        if stream.cursor is None:
            self.seen.append(rows.column("_key").drop_null())
        fresh, stored = self.stored.split_stored_rows(rows, self._since, self._landed_keys)
        if self.stored.before and fresh.num_rows:
            self._landed_keys.append(fresh.column("_key").drop_null())
        self.land(fresh, self._skipped(stored) if stored.num_rows else [])
        self._pages, self._rows, self._bytes, self._began = [], 0, 0, self._clock()

    def land(self, rows: pa.Table, skipped: Sequence[Written] = ()) -> None:
        """Write rows and count them in together with the state; `skipped` are files of other keys that came."""
        run = self.run
        written, pending = (
            [run.project.lake.write(run.asset, part)] if part.num_rows else []
            for part in self._parted(run.row_numbers.number(rows))
        )
        waiting = [*pending, *skipped]
        run.ledger.sync.land(run.name, self.state, written, self.progress, run.run_id, waiting)
        result = self.result
        result.files += written
        result.landed += rows.num_rows
        result.bytes += sum(file.bytes for file in written)
        result.late += self._late(rows)

    def _late(self, rows: pa.Table) -> int:
        """Count the rows with a stamp that had been read before."""
        start, end = self.progress.slice_.start, self.progress.slice_.end
        if not (self.read_until and start and end and start < self.read_until <= end):
            return 0
        return int(pc.sum(pc.less(rows.column("_cursor"), timestamp_array([self.read_until])[0])).as_py() or 0)

    def _is_enough(self) -> bool:
        limits = self.run.limits
        is_full = self._rows >= limits.rows or self._bytes >= limits.bytes
        return is_full or self._clock() - self._began >= limits.seconds

    def _parted(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Set apart the flagged rows that delete stored records: the delete guard judges all of them at the end."""
        flags = rows.column("_deleted")
        if self.run.stream.deletes != "flag" or not self.stored.before or not pc.any(flags).as_py():
            return rows, rows.slice(0, 0)
        killing = pa.array(sorted(self.stored.alive(rows.filter(flags).column("_key"))), pa.string())
        waits = pc.and_(flags, pc.fill_null(pc.is_in(rows.column("_key"), value_set=killing), False))
        return rows.filter(pc.invert(waits)), rows.filter(waits)

    def _skipped(self, stored: pa.Table) -> list[Written]:
        """Remember the keys of rows that were stored already: the count of the slice includes them."""
        sent = stored.select(["_key", "_cursor"])
        if self._is_second:  # rows without a key cannot be told apart, and were counted by the first reading
            sent = sent.filter(sent.column("_key").is_valid())
        self.skipped_keys.append(sent)
        if not self.progress.checkpoint:  # the slice ends here, so that no other run proves it
            return []
        return [self.run.project.lake.write(seen_of(self.run.name, self.state), sent)]


def gathered(tables: Iterable[pa.Table], limits: Limits) -> Iterator[pa.Table]:
    """Put small tables together until they are large enough to land."""
    batch: list[pa.Table] = []
    for table in tables:
        batch += [table] if table.num_rows else []
        rows, size = sum(member.num_rows for member in batch), sum(member.nbytes for member in batch)
        if rows >= limits.rows or size >= limits.bytes:
            yield pa.concat_tables(batch)
            batch = []
    if batch:
        yield pa.concat_tables(batch)


def without_payload(rows: pa.Table, stream: Stream) -> pa.Table:
    """Empty the tombstones: the key, the times and the ids that were merged into their records stay."""
    deleted = rows.column("_deleted")
    if not pc.any(deleted).as_py():
        return rows
    for index, field in enumerate(rows.schema):
        if field.name == "_payload":
            rows = rows.set_column(index, field, pc.if_else(deleted, "{}", rows.column(index)))
        elif field.name in stream.paths and field.name != stream.merges:
            nothing = pa.nulls(rows.num_rows, field.type)
            rows = rows.set_column(index, field, pc.if_else(deleted, nothing, rows.column(index)))
    return rows


def _progress(slice_: OpenSlice) -> Progress:
    return Progress(slice_.slice_, slice_.checkpoint, slice_.source_count, slice_.is_read)


def typed(pages: Sequence[Page], repairs: Repairs | None = None) -> pa.Table:
    """Type the records of many pages at once, each with the time of its page; `repairs` counts replaced text."""
    rows = [row for page in pages for row in page.rows]
    table = raw_table(rows, pages[0].stream, pages[0].extracted_at, deleted=pages[0].deleted, repairs=repairs)
    if len({page.extracted_at for page in pages}) == 1:
        return table
    stamps = timestamp_array([page.extracted_at for page in pages])
    times = [pa.repeat(stamp, len(page.rows)) for stamp, page in zip(stamps, pages, strict=True)]
    index = table.schema.get_field_index("_extracted_at")
    return table.set_column(index, table.schema.field(index), pa.chunked_array(times))


def _flagged(rows: pa.Table, stream: Stream) -> pa.Table:
    """Set `_deleted` in the rows whose values say that the record is deleted (`Stream.deleted_values`)."""
    deleted = rows.column("_deleted")
    for path, words in stream.deleted_values.items():
        says = pc.is_in(_texts(rows, path, stream), value_set=string_array([word.encode() for word in words]))
        deleted = pc.or_(deleted, says)
    return rows.set_column(rows.schema.get_field_index("_deleted"), "_deleted", deleted)


def _texts(rows: pa.Table, path: str, stream: Stream) -> pa.ChunkedArray:
    """Return the texts at a path, from the payload where the path is not mapped and so has no column."""
    if path in rows.column_names:
        return rows.column(path)
    records = [payload.encode() for payload in rows.column("_payload").to_pylist()]
    return raw_table(records, replace(stream, fields={"mark": path}), datetime.now(UTC)).column(path)
