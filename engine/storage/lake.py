"""The lake: Parquet files that count once the manifest lists them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from connectors.kit.errors import BusyError, ReplyError, SettingsError
from engine.storage.disk import DiskError, explain
from engine.storage.ledger import Ledger
from engine.storage.manifest import Written

if TYPE_CHECKING:  # Ibis takes longer to import than a quiet night takes to read
    import ibis.expr.types as ir

    from engine.storage.backend.backend import Backend

TEMPORARY = ".tmp-"
UNIQUE_COLUMNS = ("_key", "_payload")  # a dictionary of values that never repeat costs space and saves none
RANGE_COLUMNS = ["_key", "_cursor", "_generation"]  # read by range, which statistics make fast
OWNER = ".ledger_id"  # holds the id of the ledger whose lake this is
EARLIER_OWNER = ".generation"  # the same file, as version 0.1 named it
LEFTOVER_AGE = 3600.0  # seconds: a file that is not counted by then was left by a run that died


class Lake:
    """Parquet files below a root: a local folder, or any fsspec URL."""

    def __init__(self, root: str, ledger: Ledger) -> None:
        self.ledger = ledger
        self.files, path = fsspec.core.url_to_fs(root)
        self.root = path.rstrip("/")
        self.is_local = isinstance(self.files, LocalFileSystem)
        self._proven: set[str] = set()
        self._columns: dict[str, frozenset[str]] = {}
        self._is_ours = False

    def write(self, asset: str, table: "pa.Table | ir.Table", *, con: "Backend | None" = None) -> Written:
        """Write one file: under a temporary name, synchronised, renamed.

        It counts once the ledger lists it.

        A table expression is written by its engine, `con`. Raises SettingsError when the lake
        belongs to another ledger, DiskError when the disk is full or broken, BusyError when the
        file cannot be written.
        """
        self._claim()
        name = f"{_safe(asset)}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}.parquet"
        final = self._local_path(name)
        temporary = final.with_name(TEMPORARY + final.name)
        try:
            _make_folder(final.parent)
            rows = _write(table, temporary, con)
            size, digest = _synced(temporary)
            temporary.rename(final)
            _sync_folder(final.parent)
            self._upload(final, name)
        except OSError as error:
            if explanation := explain(error, str(self.root)):
                raise DiskError(explanation) from None
            raise BusyError(f"the lake at {self.root} cannot be written: {error.strerror or error}") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._proven.add(name)
        return Written(asset, name, rows, size, digest)

    def read(
        self, con: "Backend", asset: str, *, snapshot: str | None = None, schema: pa.Schema | None = None
    ) -> "ir.Table":
        """Read an asset: the files that the manifest lists, each proven once a process.

        Without files the table is empty, with the columns of `schema`.
        """
        return self.read_files(con, self.ledger.files.for_asset(asset, snapshot), schema)

    def read_files(self, con: "Backend", files: Sequence[Written], schema: pa.Schema | None = None) -> "ir.Table":
        """Read files of an asset as one table.

        Raises ReplyError for one that is lost or damaged.
        """
        from engine.storage.backend import backend

        return backend.read(con, self.proven(files), schema)

    def proven(self, files: Sequence[Written], *, reread: bool = False) -> list[str]:
        """Return the local paths of files whose digests are proven.

        Raises ReplyError for one that is lost or damaged.

        Every byte of a file is read once a process; with `reread`, once more.
        """
        if reread:
            self._proven -= {file.path for file in files}
        for file in files:
            self._prove(file)
        return [self.full(file.path) for file in files]

    def content(self, file: Written) -> bytes:
        """Read a small file and prove the very bytes that are returned; raises ReplyError."""
        try:
            content = Path(self.full(file.path)).read_bytes()
        except FileNotFoundError:
            raise _lost(file) from None
        if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise _damaged(file, digest)
        return content

    def columns(self, asset: str) -> set[str]:
        """Name the columns that every file of an asset has; none when it has no file."""
        return self.shared_columns(self.ledger.files.for_asset(asset))

    def shared_columns(self, files: Sequence[Written]) -> set[str]:
        """Name the columns that all of some files have."""
        columns = [self.column_names(file) for file in files]
        return set(frozenset.intersection(*columns)) if columns else set()

    def column_names(self, file: Written) -> frozenset[str]:
        """Name the columns of one file; its footer is read once a process, for a file never changes."""
        if file.path not in self._columns:
            self._columns[file.path] = frozenset(pq.read_schema(self.full(file.path)).names)
        return self._columns[file.path]

    def full(self, path: str) -> str:
        """Return the local path of a file of the lake.

        One of a remote lake is downloaded once a process.
        """
        local = self._local_path(path)
        if not self.is_local and not local.exists():
            _make_folder(local.parent)
            temporary = local.with_name(TEMPORARY + local.name)
            self.files.get_file(f"{self.root}/{path}", str(temporary))
            temporary.rename(local)
        return str(local)

    def sweep(self) -> int:
        """Delete files that the manifest does not list and that no run can be about to add.

        Returns their number.
        """
        self._claim()
        listed = self.ledger.files.paths()
        return sum(self._is_leftover_deleted(path) for path in self._all() if path not in listed)

    def prune(self, keep: int) -> int:
        """Delete the files that only builds before the newest `keep` need.

        Files that a compaction replaced are deleted too. Returns their number.
        """
        self._claim()
        paths = self.ledger.snapshots.retire(keep)
        for path in paths:
            with suppress(FileNotFoundError):
                self.files.rm_file(f"{self.root}/{path}")
        self.ledger.files.remove(paths)
        return len(paths)

    def _prove(self, file: Written) -> None:
        """Compare the size of a file with the manifest each time, its digest once a process."""
        try:
            local = Path(self.full(file.path))
            size = local.stat().st_size
        except FileNotFoundError:
            raise _lost(file) from None
        if size == file.bytes and file.path in self._proven:
            return
        if (digest := _digest(local)) != file.sha256:
            raise _damaged(file, digest)
        self._proven.add(file.path)

    def _claim(self) -> None:
        """Refuse the lake of another ledger: to this one all of its files would be leftovers."""
        if self._is_ours:
            return
        owner, earlier = f"{self.root}/{OWNER}", f"{self.root}/{EARLIER_OWNER}"
        ours = self.ledger.ledger_id.encode()
        if self.is_local:
            _make_folder(Path(self.root))
            Path(owner).touch(mode=0o600)
        if not self._content(owner):  # a process may have died before it wrote the id
            self.files.pipe_file(owner, self._content(earlier) or ours)
        if self._content(owner) != ours:
            raise SettingsError(
                f"the lake at {self.root} belongs to another ledger than {self.ledger.url.render_as_string()}: "
                "set BELVEDERE_LEDGER_URL and BELVEDERE_LAKE_URL to the ones that belong together, or use an empty lake"
            )
        with suppress(FileNotFoundError):
            self.files.rm_file(earlier)
        self._is_ours = True

    def _content(self, path: str) -> bytes:
        return bytes(self.files.cat_file(path)) if self.files.exists(path) else b""

    def _local_path(self, path: str) -> Path:
        return Path(self.root if self.is_local else self._downloads) / path

    @cached_property
    def _downloads(self) -> str:
        folder = tempfile.mkdtemp(prefix="belvedere-lake-")
        Finalize(self, shutil.rmtree, (folder, True), exitpriority=0)  # unlike atexit, it runs in forked workers too
        return folder

    def _upload(self, local: Path, name: str) -> None:
        if not self.is_local:
            self.files.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
            self.files.put_file(str(local), f"{self.root}/{name}")

    def _all(self) -> Iterator[str]:
        for path in self.files.find(self.root) if self.files.exists(self.root) else ():
            if path.endswith(".parquet"):
                yield path.removeprefix(self.root).lstrip("/")

    def _is_leftover_deleted(self, path: str) -> bool:
        """Delete a file that is old enough to be a leftover.

        False for one that a run may be about to add.
        """
        full = f"{self.root}/{path}"
        with suppress(FileNotFoundError):  # a writer may have renamed it just now
            age = datetime.now(UTC) - self.files.modified(full).astimezone(UTC)
            if age.total_seconds() >= LEFTOVER_AGE:
                self.files.rm_file(full)
                return True
        return False


def _safe(asset: str) -> str:
    if any(part in ("", ".", "..") for part in asset.split("/")):
        raise SettingsError(f"{asset!r} cannot be the name of an asset: it would lead out of its folder in the lake")
    return asset


def _write(table: "pa.Table | ir.Table", path: Path, con: "Backend | None") -> int:
    path.touch(mode=0o600)
    if isinstance(table, pa.Table):
        repeating = [name for name in table.column_names if name not in UNIQUE_COLUMNS]
        pq.write_table(table, path, compression="zstd", use_dictionary=repeating, write_statistics=RANGE_COLUMNS)
        return int(table.num_rows)
    if con is None:
        raise TypeError("a table expression is written by its engine: pass con")
    from engine.storage.backend import backend

    rows = backend.write(con, table, str(path))
    path.chmod(0o600)  # an engine may have made the file anew
    return rows


def _lost(file: Written) -> ReplyError:
    return ReplyError(f"a file of {file.asset} is missing from the lake: {file.path}; restore it from a backup")


def _damaged(file: Written, digest: str) -> ReplyError:
    return ReplyError(
        f"a file of {file.asset} is damaged: {file.path} has sha256 {digest[:12]}..., the manifest recorded "
        f"{file.sha256[:12]}...; restore it from a backup"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _synced(path: Path) -> tuple[int, str]:
    """Write a file through to the disk; returns its size in bytes and its digest."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
    return path.stat().st_size, _digest(path)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents for their owner only, and sync their names to the disk."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the names in a folder: a renamed file could be lost in a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
