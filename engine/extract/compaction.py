"""Fewer files for a stored stream: one for many small ones, or one for all, without superseded versions."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from connectors.kit.stream import Stream
from engine.config.project import Project
from engine.extract.stored_stream import StoredStream, newest
from engine.storage.lease import LeaseTaken, lease
from engine.storage.manifest import Written
from engine.storage.sync_state import full_refresh_of, uncursored_refresh_of

if TYPE_CHECKING:
    import ibis.expr.types as ir


FILES, TOGETHER = 24, 4 << 20  # so many files make one, as long as they are not larger together


def compact(held: StoredStream) -> None:
    """Let one file stand for many small ones, now and then; large ones wait for the build."""
    files, size = [], 0
    for file in sorted(held.files_now(), key=lambda one: one.bytes):
        size += file.bytes
        if size > TOGETHER:
            break
        files.append(file)
    if len(files) > FILES:
        _replace(held, files)


def compact_all(held: StoredStream) -> None:
    """Let one file stand for all."""
    _replace(held, held.before)


def _replace(held: StoredStream, files: Sequence[Written]) -> None:
    held.project.lake.compact(held.engine, held.asset, files, lambda rows: _compacted(held, rows, files))


def _compacted(held: StoredStream, rows: "ir.Table", files: Sequence[Written]) -> "ir.Table":
    """Keep the newest versions, with the columns that every file has.

    A column that only some have would look whole ever after. What is mapped now is filled from the payload; not
    so where a record has no such key, for then a build must go on to say that it was read without.
    """
    from transforms.conform.payload import lacks, text_at

    whole, kept = held.project.lake.shared_columns(files), _with_ended(newest(rows), rows)
    late = [path for path in held.stream.paths if path not in whole]
    if held.stream.has_schema_api and late:
        alive = kept.filter(~kept._deleted)
        lacking = alive.agg(**{path: lacks(alive, path).any() for path in late}).to_pyarrow().to_pylist()[0]
        late = [path for path in late if not lacking[path]]
    filled = {
        path: kept[path].coalesce(text_at(kept, path)) if path in kept.columns else text_at(kept, path) for path in late
    }
    return kept.select(*(name for name in kept.columns if name in whole), **filled)


def _with_ended(kept: "ir.Table", rows: "ir.Table") -> "ir.Table":
    """Keep also the tombstones of records that came back: whoever hears of them again must know them."""
    ended = rows.filter(rows._deleted).semi_join(kept.filter(~kept._deleted), "_key")
    return kept.union(ended)


ROWS = 100_000  # a smaller stream costs nothing
TIMES = 2  # so many times as many rows as records


def rewrite(project: Project, connection: str, stream: Stream, records: int, run_id: str) -> bool:
    """Rewrite what is worth it, unless somebody reads the connection or a slice is still open; tells whether it did."""
    asset = f"raw/{connection}/{stream.name}"
    if not _is_worth_it(project, asset, records):
        return False
    with suppress(LeaseTaken), lease(project.ledger, f"connection:{connection}", run_id):
        states = (stream.name, uncursored_refresh_of(stream.name), full_refresh_of(stream.name))
        if not any(project.ledger.sync.open_slices(connection, state) for state in states):
            compact_all(StoredStream(project, asset, stream, is_at_leisure=True))
            return True
    return False


def _is_worth_it(project: Project, asset: str, records: int) -> bool:
    files = project.ledger.files.for_asset(asset)
    rows = sum(file.rows for file in files)
    return len(files) > 1 and rows >= ROWS and rows > TIMES * records
