"""Fewer files for a stored stream: one for many small ones, or one for all, without superseded versions."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.limits import Limits
from engine.extract.stored_rows import NUMBERS, read_rows, with_every_path
from engine.extract.stored_stream import StoredStream, newest
from engine.storage.lease import LeaseTaken, lease
from engine.storage.manifest import COMPACTION, Written
from engine.storage.stores.sync_state import full_refresh_of, uncursored_refresh_of

if TYPE_CHECKING:
    import ibis.expr.types as ir


def compact(stored: StoredStream, limits: Limits) -> None:
    """Let one file stand for many small ones, now and then; large ones wait for the build."""
    files, size = [], 0
    for file in sorted(stored.before, key=lambda written: written.bytes):
        size += file.bytes
        if size > limits.compacted_bytes:
            break
        files.append(file)
    if len(files) > limits.files and not stored.generations.is_open:
        _replace(stored, files)


def compact_all(stored: StoredStream) -> None:
    """Let one file stand for all, unless a full refresh is not complete: until then more than one row of a key counts."""
    if not stored.generations.is_open:
        _replace(stored, stored.before)


def _replace(stored: StoredStream, files: Sequence[Written]) -> None:
    lake = stored.project.lake
    compacted = lake.write(stored.asset, _compacted(stored, files), con=stored.engine)
    stored.project.ledger.files.replace(files, compacted, COMPACTION)


def _compacted(stored: StoredStream, files: Sequence[Written]) -> "ir.Table":
    """Keep the rows that count, with the columns that every file has.

    A column that only some have would look whole ever after. What is mapped now is filled from the payload; not
    so where a record has no such key, for then a build must go on to say that it was read without.
    """
    from transforms.conform.payload import lacks, text_at

    whole = stored.project.lake.shared_columns(files) | {*NUMBERS.names}
    rows = newest(stored.read(files))
    late = [path for path in stored.stream.paths if path not in whole]
    if stored.stream.has_schema_api and late:
        alive = rows.filter(~rows._deleted)
        lacking = alive.agg(**{path: lacks(alive, path).any() for path in late}).to_pyarrow().to_pylist()[0]
        late = [path for path in late if not lacking[path]]
    rows = _with_listed_tombstones(stored, rows, files)
    filled = {
        path: rows[path].coalesce(text_at(rows, path)) if path in rows.columns else text_at(rows, path) for path in late
    }
    return _without_payload(stored, rows.select(*(name for name in rows.columns if name in whole), **filled))


def _with_listed_tombstones(stored: StoredStream, counting: "ir.Table", files: Sequence[Written]) -> "ir.Table":
    """Keep also one of each tombstone that a list may name again, though its record came back: it must be known then."""
    import ibis

    from transforms.conform.expressions import first

    if stored.stream.deletes not in ("list", "feed"):
        return counting
    rows = with_every_path(read_rows(stored.project.lake, stored.engine, files, stored.stream), stored.stream)
    tombstones = rows.filter(rows._deleted & rows._key.notnull()).select(counting.columns)
    tombstones = first(tombstones, ["_key", "_cursor"], [ibis.desc("_sequence")])
    present = counting.filter(counting._deleted).select("_key", same_sequence="_sequence")
    is_known = (tombstones._key == present._key) & (tombstones._sequence == present.same_sequence)
    return counting.union(tombstones.anti_join(present, is_known))


def _without_payload(stored: StoredStream, rows: "ir.Table") -> "ir.Table":
    """Leave of tombstones the key, the times, and the ids that their source merged into them."""
    import ibis

    emptied = {
        path: rows._deleted.ifelse(ibis.null("string"), rows[path])
        for path in stored.stream.paths
        if path in rows.columns and path != stored.stream.merges
    }
    payload = rows._deleted.ifelse("{}", rows._payload)
    return rows.mutate(_payload=payload, **emptied)


MIN_ROWS = 100_000  # a smaller stream costs nothing
TIMES = 2  # so many times as many rows as records


def rewrite(
    project: Project, connection: str, stream: Stream, records: int, run_id: str, *, min_rows: int = MIN_ROWS
) -> bool:
    """Rewrite what is worth it, unless somebody reads the connection or a slice is still open; tells whether it did."""
    asset = f"raw/{connection}/{stream.name}"
    if not _is_worth_it(project, asset, records, min_rows):
        return False
    with suppress(LeaseTaken), lease(project.ledger, f"connection:{connection}", run_id):
        states = (stream.name, uncursored_refresh_of(stream.name), full_refresh_of(stream.name))
        is_open = any(project.ledger.sync.open_slices(connection, state) for state in states)
        if not is_open and not project.ledger.generations.of(connection, stream.name).is_open:
            compact_all(StoredStream(project, asset, stream, is_at_leisure=True))
            return True
    return False


def _is_worth_it(project: Project, asset: str, records: int, min_rows: int) -> bool:
    files = project.ledger.files.for_asset(asset)
    rows = sum(file.rows for file in files)
    return len(files) > 1 and rows >= min_rows and rows > TIMES * records
