"""The manifest: which files of the lake count, and which of them make up each snapshot."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, insert, or_, select, update

from connectors.kit.errors import BusyError
from connectors.kit.write import chunks
from engine.storage import ledger_tables as t
from engine.storage.stores.model_parameters import Parameters, write_parameters
from engine.storage.transactions import Store

NAMES_PER_STATEMENT = 10_000  # SQLite takes 32,766 parameters in one statement, PostgreSQL 65,535
ABANDONED_AFTER = timedelta(days=1)  # no build stages tables for longer than this
COMPACTION = "compaction"  # the run id of compacted files: none of their rows is new


@dataclass(frozen=True)
class Written:
    """A file that was written to the lake; it counts once the manifest lists it.

    `path` is relative to the lake.
    """

    asset: str
    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Snapshot:
    """One build that became current at `created_at`."""

    id: str
    as_of: date
    run_id: str
    created_at: datetime


def lake_file(row: Row[Any]) -> Written:
    """Return the file that a row of `manifest` or `pending` describes."""
    return Written(row.asset, row.path, row.rows, row.bytes, row.sha256)


def add_files(opened: Connection, files: Sequence[Written], run_id: str) -> None:
    """Add files to the manifest; a file that is in it already stays as it is."""
    stored: set[str] = set()
    for paths in chunks([file.path for file in files], NAMES_PER_STATEMENT):
        stored |= set(opened.scalars(select(t.manifest.c.path).where(t.manifest.c.path.in_(paths))))
    rows = [row | {"is_live": True} for row in _rows(files, run_id) if row["path"] not in stored]
    if rows:
        opened.execute(insert(t.manifest), rows)


def add_pending(opened: Connection, files: Sequence[Written], run_id: str) -> None:
    """Store files that count only after `Files.release`."""
    if files:
        opened.execute(insert(t.pending), _rows(files, run_id))


class Files(Store):
    """The files of the lake that count, and those that wait to be released."""

    def for_asset(self, asset: str, snapshot: str | None = None) -> list[Written]:
        """List the files of an asset: the live ones of a raw asset, those of a table in a snapshot.

        The snapshot is the current one unless it is named.
        """
        query = select(t.manifest).where(_belongs(t.manifest.c.asset, asset)).order_by(t.manifest.c.id)
        with self.transaction() as opened:
            if "/" in asset:
                return _files(opened, query.where(t.manifest.c.is_live))
            in_snapshot = select(t.snapshot_files.c.path).where(
                t.snapshot_files.c.snapshot == (snapshot or _current_id(opened)),
                _belongs(t.snapshot_files.c.asset, asset),
            )
            return _files(opened, query.where(t.manifest.c.path.in_(in_snapshot)))

    def by_path(self, path: str) -> Written | None:
        """Return the file that the manifest lists at a path of the lake."""
        with self.transaction() as opened:
            return next(iter(_files(opened, select(t.manifest).where(t.manifest.c.path == path))), None)

    def parts(self, asset: str) -> dict[str, Written]:
        """List the parts of a table in the current snapshot, by what follows the dot.

        `score_history.2026-10-20` is a part of `score_history`.
        """
        parts = (file for file in self.for_asset(asset) if file.asset != asset)
        return {file.asset.removeprefix(f"{asset}."): file for file in parts}

    def add(self, files: Sequence[Written], run_id: str) -> None:
        """Add files that change no state of extraction, such as plans and outcomes."""
        with self.transaction() as opened:
            add_files(opened, files, run_id)

    def pending(self, asset: str) -> list[Written]:
        """List the files of an asset that wait to be released."""
        with self.transaction() as opened:
            return _files(opened, _pending(asset))

    def release(self, asset: str, run_id: str) -> list[Written]:
        """Let the pending files of an asset count from now on, and return them."""
        with self.transaction() as opened:
            files = _files(opened, _pending(asset))
            add_files(opened, files, run_id)
            for paths in chunks([file.path for file in files], NAMES_PER_STATEMENT):
                opened.execute(delete(t.pending).where(t.pending.c.path.in_(paths)))
        return files

    def landed_since(self, asset: str, mark: int) -> list[Written]:
        """List the files of an asset that landed after a mark, without compacted ones."""
        at = t.manifest.c
        query = select(t.manifest).where(at.asset == asset, at.id > mark, at.run_id != COMPACTION)
        with self.transaction() as opened:
            return _files(opened, query.order_by(at.id))

    def replace(self, old: Sequence[Written], new: Written, run_id: str) -> None:
        """Let one file count in place of several, as a compaction does.

        Raises BusyError when one of the old files no longer counts: another compaction has replaced
        it.
        """
        with self.transaction() as opened:
            add_files(opened, [new], run_id)
            for paths in chunks([file.path for file in old], NAMES_PER_STATEMENT):
                live = update(t.manifest).where(t.manifest.c.path.in_(paths), t.manifest.c.is_live)
                if opened.execute(live.values(is_live=False)).rowcount != len(paths):
                    raise BusyError(f"{new.asset}: a file to be compacted was replaced meanwhile; nothing was changed")

    def newest_id(self) -> int:
        """Return a mark: what lands from now on has a greater id."""
        with self.transaction() as opened:
            return newest_id(opened)

    def rows_since(self, mark: int) -> dict[str, int]:
        """Count the rows that landed after a mark, by asset."""
        at = t.manifest.c
        query = select(at.asset, func.sum(at.rows)).where(at.id > mark).group_by(at.asset)
        with self.transaction() as opened:
            return {asset: int(rows) for asset, rows in opened.execute(query)}

    def paths(self) -> set[str]:
        """List the paths of all files, pending and replaced ones too."""
        with self.transaction() as opened:
            return {path for table in (t.manifest, t.pending) for path in opened.scalars(select(table.c.path))}

    def remove(self, paths: Sequence[str]) -> None:
        """Take files out of the manifest that were deleted from the lake."""
        with self.transaction() as opened:
            for batch in chunks(paths, NAMES_PER_STATEMENT):
                opened.execute(delete(t.manifest).where(t.manifest.c.path.in_(batch)))


class Snapshots(Store):
    """The builds: which file each table of a build is."""

    def add_table(self, snapshot: str, file: Written, run_id: str) -> None:
        """Add a table to a snapshot that is not current yet; a second file replaces the first."""
        is_table = (t.snapshot_files.c.snapshot == snapshot, t.snapshot_files.c.asset == file.asset)
        with self.transaction() as opened:
            add_files(opened, [file], run_id)
            opened.execute(delete(t.snapshot_files).where(*is_table))
            opened.execute(insert(t.snapshot_files).values(snapshot=snapshot, asset=file.asset, path=file.path))

    def switch(self, snapshot: str, as_of: date, run_id: str, fits: Iterable[Parameters] = ()) -> None:
        """Make all tables of a snapshot current at once, and store what their build fitted.

        Tables that it lacks are taken over from the last one.
        """
        at = t.snapshot_files.c
        with self.transaction() as opened:
            for fit in fits:
                write_parameters(opened, fit)
            added = select(at.asset).where(at.snapshot == snapshot)
            missing = select(at.asset, at.path).where(at.snapshot == _current_id(opened), at.asset.not_in(added))
            rows = [{"snapshot": snapshot, "asset": row.asset, "path": row.path} for row in opened.execute(missing)]
            if rows:
                opened.execute(insert(t.snapshot_files), rows)
            row = {"id": snapshot, "as_of": as_of, "run_id": run_id, "created_at": datetime.now(UTC)}
            opened.execute(insert(t.snapshots).values(row))

    def landing_order(self, snapshot: str) -> dict[str, int]:
        """Number the files of a snapshot in the order in which they landed, by asset."""
        with self.transaction() as opened:
            query = select(t.snapshot_files.c.asset, t.manifest.c.id)
            joined = query.join(t.manifest, t.manifest.c.path == t.snapshot_files.c.path)
            rows = opened.execute(joined.where(t.snapshot_files.c.snapshot == snapshot))
            return {asset: int(number) for asset, number in rows}

    def current(self) -> Snapshot | None:
        """Return the newest snapshot."""
        return next(iter(self.all()), None)

    def all(self) -> list[Snapshot]:
        """List all snapshots, newest first."""
        with self.transaction() as opened:
            rows = opened.execute(select(t.snapshots).order_by(t.snapshots.c.seq.desc()))
            return [Snapshot(row.id, row.as_of, row.run_id, row.created_at) for row in rows]

    def retire(self, keep: int) -> list[str]:
        """Drop all snapshots but the newest `keep`.

        Returns the paths of the files that nothing needs any more.

        Their rows stay until `Files.remove` takes them out, once the files are deleted: after a
        crash in between they are returned again.
        """
        with self.transaction() as opened:
            newest_first = list(opened.scalars(select(t.snapshots.c.id).order_by(t.snapshots.c.seq.desc())))
            dropped = [*newest_first[max(keep, 1) :], *_abandoned(opened)]  # the current one always stays
            opened.execute(delete(t.snapshot_files).where(t.snapshot_files.c.snapshot.in_(dropped)))
            opened.execute(delete(t.snapshots).where(t.snapshots.c.id.in_(dropped)))
            is_raw = t.manifest.c.asset.like("%/%")
            superseded = and_(is_raw, t.manifest.c.is_live.is_(False), *_not_of_open_slices(opened))
            unused = ~is_raw & t.manifest.c.path.not_in(select(t.snapshot_files.c.path))
            return list(opened.scalars(select(t.manifest.c.path).where(superseded | unused)))


def newest_id(opened: Connection) -> int:
    """Return the id of the file that landed last; 0 when there is none."""
    return opened.scalar(select(func.max(t.manifest.c.id))) or 0


def _rows(files: Sequence[Written], run_id: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [{**vars(file), "run_id": run_id, "created_at": now} for file in files]


def _files(opened: Connection, query: Select[Any]) -> list[Written]:
    return [lake_file(row) for row in opened.execute(query)]


def _pending(asset: str) -> Select[Any]:
    return select(t.pending).where(t.pending.c.asset == asset).order_by(t.pending.c.id)


def _current_id(opened: Connection) -> str:
    return opened.scalar(select(t.snapshots.c.id).order_by(t.snapshots.c.seq.desc()).limit(1)) or ""


def _belongs(column: ColumnElement[str], asset: str) -> ColumnElement[bool]:
    """Match an asset and, of a table, its parts."""
    is_asset = column == asset
    return is_asset if "/" in asset else is_asset | column.startswith(f"{asset}.", autoescape=True)


def _not_of_open_slices(opened: Connection) -> Iterator[ColumnElement[bool]]:
    """Exclude what landed since a slice was opened: its count is taken from those files."""
    at = t.open_slices.c
    for row in opened.execute(select(at.connection, at.stream, at.mark)):
        asset = f"raw/{row.connection}/{row.stream.partition('/')[0]}"
        yield or_(t.manifest.c.asset != asset, t.manifest.c.id <= row.mark)


def _abandoned(opened: Connection) -> list[str]:
    """Name the snapshots that builds which died left unfinished."""
    query = (
        select(t.snapshot_files.c.snapshot)
        .join(t.manifest, t.manifest.c.path == t.snapshot_files.c.path)
        .where(t.snapshot_files.c.snapshot.not_in(select(t.snapshots.c.id)))
        .group_by(t.snapshot_files.c.snapshot)
        .having(func.max(t.manifest.c.created_at) < datetime.now(UTC) - ABANDONED_AFTER)
    )
    return list(opened.scalars(query))
