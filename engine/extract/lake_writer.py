"""Pages on their way into the lake: gathered, typed in bulk, landed together with the place to go on from.

A file and a transaction a page would cost more than reading it. What is gathered is bounded in rows, bytes and time,
and lands at once when a slice ends or breaks off.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

import pyarrow as pa
import pyarrow.compute as pc

from connectors.kit.arrow import instants, texts
from connectors.kit.raw_rows import Page, raw_table
from connectors.kit.repair import Repairs
from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.result import StreamResult
from engine.extract.stored_stream import StoredStream
from engine.storage.manifest import Written
from engine.storage.sync_state import UNCURSORED_REFRESH, OpenSlice, Progress, full_refresh_of, seen_of

ROWS, BYTES, SECONDS = 50_000, 32 << 20, 5.0


class LakeWriter:
    """Land the pages of one slice; rows that the lake holds already are left out.

    `known` is the stamp up to which the stream had been read: rows of this slice before it are late ones.
    `before` is an earlier landing of the same slice, whose rows count too. `is_anew` says that the stream is being read
    as a whole once more: whom it has shown is remembered until that is done.
    """

    def __init__(
        self,
        project: Project,
        held: StoredStream,
        state: str,
        slice_: OpenSlice,
        result: StreamResult,
        run_id: str,
        *,
        known: datetime | None = None,
        before: "LakeWriter | None" = None,
        is_anew: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.project, self.held, self.state, self.result = project, held, state, result
        self.run_id, self.known, self.is_anew, self._clock = run_id, known, is_anew, clock
        self.progress = before.progress if before else _progress(slice_)
        self.skipped_keys: list[pa.Table] = before.skipped_keys if before else []
        self.seen: list[pa.ChunkedArray] = before.seen if before else []
        self.is_empty = slice_.checkpoint is None and not slice_.is_read
        self._since = None if state.endswith(UNCURSORED_REFRESH) else slice_.slice_.start
        self.pages, self._is_second = 0, before is not None
        self._pages: list[Page] = []
        self._rows = self._bytes = 0
        self._began = clock()

    def add(self, page: Page) -> None:
        """Take a page; land what has gathered when it is enough, or when the slice ends."""
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
        """Land what has gathered, and the place to go on from, in one transaction."""
        if not self._pages:
            return
        place = self._pages[-1].checkpoint
        self.progress = replace(self.progress, checkpoint=place, is_read=place is None)
        rows = _flagged(typed(self._pages, self.result.repairs), self.held.stream)
        if self.held.stream.cursor is None:
            self.seen.append(rows.column("_key").drop_null())
        fresh, held = self.held.split_stored_rows(rows, self._since)
        self.land(fresh, self._skipped(held) if held.num_rows else [])
        self._pages, self._rows, self._bytes, self._began = [], 0, 0, self._clock()

    def land(self, rows: pa.Table, skipped: Sequence[Written] = ()) -> None:
        """Write rows and count them in together with the state, and who else was seen in a slice that is left open."""
        now, later = self._parted(rows)
        written, pending = (
            [self.project.lake.write(self.held.asset, some)] if some.num_rows else [] for some in (now, later)
        )
        waiting = [*pending, *skipped]
        self.project.ledger.sync.land(self.result.connection, self.state, written, self.progress, self.run_id, waiting)
        result = self.result
        result.files += written
        result.landed += rows.num_rows
        result.bytes += sum(file.bytes for file in written)
        result.late += self._late(rows)

    def _late(self, rows: pa.Table) -> int:
        """Count what came under a stamp that had been read before."""
        start, end = self.progress.slice_.start, self.progress.slice_.end
        if not (self.known and start and end and start < self.known <= end):
            return 0
        return int(pc.sum(pc.less(rows.column("_cursor"), instants([self.known])[0])).as_py() or 0)

    def _is_enough(self) -> bool:
        return self._rows >= ROWS or self._bytes >= BYTES or self._clock() - self._began >= SECONDS

    def _parted(self, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Set apart the flagged rows that would delete what is held: the breaker looks at all of them at the end."""
        flags = rows.column("_deleted")
        if self.held.stream.deletes != "flag" or not self.held.before or not pc.any(flags).as_py():
            return rows, rows.slice(0, 0)
        killing = pa.array(sorted(self.held.alive(rows.filter(flags).column("_key"))), pa.string())
        waits = pc.and_(flags, pc.fill_null(pc.is_in(rows.column("_key"), value_set=killing), False))
        return rows.filter(pc.invert(waits)), rows.filter(waits)

    def _skipped(self, held: pa.Table) -> list[Written]:
        """Remember whom the lake held already: a balance counts them as read, that of another run, too."""
        sent = held.select(["_key", "_cursor"])
        if self._is_second:  # a row without a key is told by nothing, and has counted
            sent = sent.filter(sent.column("_key").is_valid())
        self.skipped_keys.append(sent)
        states = [self.state] if self.progress.checkpoint else []  # a slice that ends here is proven by this run
        states += [full_refresh_of(self.result.stream)] if self.is_anew else []
        return [self.project.lake.write(seen_of(self.result.connection, state), sent) for state in states]


def gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Put small tables together, as many as land at once."""
    some: list[pa.Table] = []
    for table in tables:
        some += [table] if table.num_rows else []
        if sum(one.num_rows for one in some) >= ROWS or sum(one.nbytes for one in some) >= BYTES:
            yield pa.concat_tables(some)
            some = []
    if some:
        yield pa.concat_tables(some)


def _progress(slice_: OpenSlice) -> Progress:
    return Progress(slice_.slice_, slice_.checkpoint, slice_.source_count, slice_.is_read)


def typed(pages: Sequence[Page], repairs: Repairs | None = None) -> pa.Table:
    """Type the records of many pages at once, each stamped with its page's time; count in `repairs` what is replaced."""
    rows = [row for page in pages for row in page.rows]
    table = raw_table(rows, pages[0].stream, pages[0].extracted_at, deleted=pages[0].deleted, repairs=repairs)
    if len({page.extracted_at for page in pages}) == 1:
        return table
    stamps = instants([page.extracted_at for page in pages])
    times = [pa.repeat(stamp, len(page.rows)) for stamp, page in zip(stamps, pages, strict=True)]
    place = table.schema.get_field_index("_extracted_at")
    return table.set_column(place, table.schema.field(place), pa.chunked_array(times))


def _flagged(rows: pa.Table, stream: Stream) -> pa.Table:
    """Mark the rows by which a source says that their record is deleted."""
    deleted = rows.column("_deleted")
    for path, words in stream.deleted_values.items():
        says = pc.is_in(_texts(rows, path, stream), value_set=texts([word.encode() for word in words]))
        deleted = pc.or_(deleted, says)
    return rows.set_column(rows.schema.get_field_index("_deleted"), "_deleted", deleted)


def _texts(rows: pa.Table, path: str, stream: Stream) -> pa.ChunkedArray:
    """Give the texts at a path; one that feeds no field of ours has no column and is read from the payload."""
    if path in rows.column_names:
        return rows.column(path)
    records = [payload.encode() for payload in rows.column("_payload").to_pylist()]
    return raw_table(records, replace(stream, fields={"mark": path}), datetime.now(UTC)).column(path)
