"""Which files count: the manifest of the lake, and the snapshots that builds make of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, update

from connectors.kit.errors import BusyError
from connectors.kit.write import chunks
from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

_MOST = 10_000  # names in one statement: databases allow some tens of thousands
_ABANDONED = timedelta(days=1)
COMPACTION = "compaction"  # the run that a compacted file is of: nothing in it is new


@dataclass(frozen=True)
class Written:
    """Describe one file that was written; it counts once the manifest holds it. `path` is relative to the lake."""

    asset: str
    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """Name one build."""

    id: str
    as_of: date
    run_id: str
    created_at: datetime


def written(row: Row[Any]) -> Written:
    """Read a row of the manifest, or of what is pending."""
    return Written(row.asset, row.path, row.rows, row.bytes, row.sha256)


def add_files(opened: Connection, files: Sequence[Written], run_id: str, *, live: bool = True) -> None:
    """Put files into the manifest; a file that it holds already is left as it is."""
    held: set[str] = set()
    for some in chunks([file.path for file in files], _MOST):
        held |= set(opened.scalars(select(t.manifest.c.path).where(t.manifest.c.path.in_(some))))
    now = datetime.now(UTC)
    rows = [
        {**vars(file), "run_id": run_id, "created_at": now, "is_live": live} for file in files if file.path not in held
    ]
    if rows:
        opened.execute(insert(t.manifest), rows)


def add_pending(opened: Connection, files: Sequence[Written], run_id: str) -> None:
    """Keep files that count only when they are released."""
    now = datetime.now(UTC)
    rows = [{**vars(file), "run_id": run_id, "created_at": now} for file in files]
    if rows:
        opened.execute(insert(t.pending), rows)


class Files(Store):
    """The manifest: the files of the lake that count, and those that wait to be released."""

    def for_asset(self, asset: str, snapshot: str | None = None) -> list[Written]:
        """List the files of an asset: a raw asset's live ones, a table's of the given or the current snapshot."""
        with self.transaction() as opened:
            query = select(t.manifest).where(_belongs(t.manifest.c.asset, asset))
            chosen = snapshot or opened.scalar(select(t.snapshots.c.id).order_by(t.snapshots.c.seq.desc()).limit(1))
            of_snapshot = select(t.snapshot_files.c.path).where(
                t.snapshot_files.c.snapshot == (chosen or ""), _belongs(t.snapshot_files.c.asset, asset)
            )
            is_part = t.manifest.c.is_live if "/" in asset else t.manifest.c.path.in_(of_snapshot)
            rows = opened.execute(query.where(is_part).order_by(t.manifest.c.id))
            return [written(row) for row in rows]

    def by_path(self, path: str) -> Written | None:
        """Return what is recorded of the file at a path of the lake."""
        with self.transaction() as opened:
            row = opened.execute(select(t.manifest).where(t.manifest.c.path == path)).first()
            return written(row) if row else None

    def parts(self, asset: str) -> dict[str, Written]:
        """List the parts of a table in the current snapshot by name: `score_history.2026-10-20` is one of score_history."""
        parts = (file for file in self.for_asset(asset) if file.asset != asset)
        return {file.asset.removeprefix(f"{asset}."): file for file in parts}

    def add(self, files: Sequence[Written], run_id: str) -> None:
        """Count files in that carry no state: plans and outcomes."""
        with self.transaction() as opened:
            add_files(opened, files, run_id)

    def pending(self, asset: str) -> list[Written]:
        """List the files of an asset that wait to be released."""
        with self.transaction() as opened:
            rows = opened.execute(select(t.pending).where(t.pending.c.asset == asset).order_by(t.pending.c.id))
            return [written(row) for row in rows]

    def release(self, asset: str, run_id: str) -> list[Written]:
        """Count the pending files of an asset in, and list them."""
        waiting = self.pending(asset)
        with self.transaction() as opened:
            add_files(opened, waiting, run_id)
            for some in chunks([file.path for file in waiting], _MOST):
                opened.execute(delete(t.pending).where(t.pending.c.path.in_(some)))
        return waiting

    def landed_since(self, asset: str, mark: int) -> list[Written]:
        """List the files of an asset that landed after a mark; what a compaction made of older ones did not."""
        with self.transaction() as opened:
            at = t.manifest.c
            query = select(t.manifest).where(at.asset == asset, at.id > mark, at.run_id != COMPACTION)
            rows = opened.execute(query.order_by(t.manifest.c.id))
            return [written(row) for row in rows]

    def replace(self, old: Sequence[Written], new: Written, run_id: str) -> None:
        """Let one file stand for several: a compaction. Raises BusyError when somebody has replaced one of them already."""
        with self.transaction() as opened:
            add_files(opened, [new], run_id)
            for some in chunks([file.path for file in old], _MOST):
                live = update(t.manifest).where(t.manifest.c.path.in_(some), t.manifest.c.is_live)
                if opened.execute(live.values(is_live=False)).rowcount != len(some):
                    raise BusyError(f"{new.asset}: a file that was to be replaced counts no more; nothing is replaced")

    def newest_id(self) -> int:
        """Return a mark to count what lands after it."""
        with self.transaction() as opened:
            return int(opened.scalar(select(func.max(t.manifest.c.id))) or 0)

    def rows_since(self, mark: int) -> dict[str, int]:
        """Count by asset the rows that landed after a mark."""
        with self.transaction() as opened:
            query = select(t.manifest.c.asset, func.sum(t.manifest.c.rows)).where(t.manifest.c.id > mark)
            return {asset: int(rows) for asset, rows in opened.execute(query.group_by(t.manifest.c.asset))}

    def paths(self) -> set[str]:
        """List every path that the manifest knows."""
        with self.transaction() as opened:
            return set(opened.scalars(select(t.manifest.c.path))) | set(opened.scalars(select(t.pending.c.path)))

    def remove(self, paths: Sequence[str]) -> None:
        """Take files that are gone out of the manifest."""
        with self.transaction() as opened:
            for some in chunks(paths, _MOST):
                opened.execute(delete(t.manifest).where(t.manifest.c.path.in_(some)))


class Snapshots(Store):
    """The builds: which file each table of a build is."""

    def add_table(self, snapshot: str, file: Written, run_id: str) -> None:
        """Add a build's table to a snapshot that is not current yet."""
        with self.transaction() as opened:
            add_files(opened, [file], run_id)
            here = (t.snapshot_files.c.snapshot == snapshot, t.snapshot_files.c.asset == file.asset)
            opened.execute(delete(t.snapshot_files).where(*here))
            opened.execute(insert(t.snapshot_files).values(snapshot=snapshot, asset=file.asset, path=file.path))

    def switch(self, snapshot: str, as_of: date, run_id: str) -> None:
        """Make all staged tables current at once; a table that was not staged is carried over."""
        with self.transaction() as opened:
            last = opened.scalar(select(t.snapshots.c.id).order_by(t.snapshots.c.seq.desc()).limit(1))
            staged = select(t.snapshot_files.c.asset).where(t.snapshot_files.c.snapshot == snapshot)
            carried = select(t.snapshot_files.c.asset, t.snapshot_files.c.path).where(
                t.snapshot_files.c.snapshot == (last or ""), t.snapshot_files.c.asset.not_in(staged)
            )
            rows = [{"snapshot": snapshot, "asset": row.asset, "path": row.path} for row in opened.execute(carried)]
            if rows:
                opened.execute(insert(t.snapshot_files), rows)
            row = {"id": snapshot, "as_of": as_of, "run_id": run_id, "created_at": datetime.now(UTC)}
            opened.execute(insert(t.snapshots).values(row))

    def current(self) -> Snapshot | None:
        """Return the newest snapshot."""
        return next(iter(self.all()), None)

    def all(self) -> list[Snapshot]:
        """List all snapshots, newest first."""
        with self.transaction() as opened:
            rows = opened.execute(select(t.snapshots).order_by(t.snapshots.c.seq.desc()))
            return [Snapshot(row.id, row.as_of, row.run_id, row.created_at) for row in rows]

    def retire(self, keep: int) -> list[str]:
        """Drop all snapshots but the newest `keep`; returns the paths of the files that nothing needs any more.

        Their rows stay until `Files.remove` takes them out, once the files are deleted: a crash in between names them again.
        """
        with self.transaction() as opened:
            kept = list(opened.scalars(select(t.snapshots.c.id).order_by(t.snapshots.c.seq.desc()).limit(keep)))
            newest = opened.scalar(select(func.max(t.snapshots.c.seq))) or 0
            old = select(t.snapshots.c.id).where(t.snapshots.c.id.not_in(kept), t.snapshots.c.seq < newest)
            dropped = [*opened.scalars(old), *_abandoned(opened)]
            opened.execute(delete(t.snapshot_files).where(t.snapshot_files.c.snapshot.in_(dropped)))
            opened.execute(delete(t.snapshots).where(t.snapshots.c.id.in_(dropped)))
            needed = select(t.snapshot_files.c.path)
            is_raw = t.manifest.c.asset.like("%/%")
            superseded = and_(is_raw, t.manifest.c.is_live.is_(False), *_counted_by_nobody(opened))
            useless = superseded | (~is_raw & t.manifest.c.path.not_in(needed))
            return list(opened.scalars(select(t.manifest.c.path).where(useless)))


def _belongs(column: ColumnElement[str], asset: str) -> ColumnElement[bool]:
    """Match an asset; a table's parts, which a dot sets off, belong to it."""
    is_it = column == asset
    return is_it if "/" in asset else is_it | column.startswith(f"{asset}.", autoescape=True)


def _counted_by_nobody(opened: Connection) -> Iterator[ColumnElement[bool]]:
    """Leave what landed since a slice was opened: its proof counts it, whatever has taken its place since."""
    at = t.open_slices.c
    for row in opened.execute(select(at.connection, at.stream, at.mark)):
        asset = f"raw/{row.connection}/{row.stream.partition('/')[0]}"
        yield or_(t.manifest.c.asset != asset, t.manifest.c.id <= row.mark)


def _abandoned(opened: Connection) -> list[str]:
    """Name what builds that died left staged: nobody has added to it for a day."""
    query = (
        select(t.snapshot_files.c.snapshot)
        .join(t.manifest, t.manifest.c.path == t.snapshot_files.c.path)
        .where(t.snapshot_files.c.snapshot.not_in(select(t.snapshots.c.id)))
        .group_by(t.snapshot_files.c.snapshot)
        .having(func.max(t.manifest.c.created_at) < datetime.now(UTC) - _ABANDONED)
    )
    return list(opened.scalars(query))
