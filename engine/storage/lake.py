"""The lake: Parquet files that count once the manifest holds them."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
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
from engine.storage.manifest import COMPACTION, Written

if TYPE_CHECKING:  # Ibis takes longer to import than a quiet night takes to read
    import ibis.expr.types as ir

    from engine.storage.backend.backend import Backend

TEMPORARY = ".tmp-"
UNIQUE = ("_key", "_payload")  # a dictionary of values that never come twice costs and saves nothing
SOUGHT = ["_key", "_cursor"]  # what is read by range
OWNER = ".ledger_id"  # holds the id of the ledger whose lake this is
EARLIER_OWNER = ".generation"  # the same file, as version 0.1 named it
SETTLED = 3600.0  # seconds: a file is written minutes before it is counted, at the most


class Lake:
    """Write and read Parquet below a root: a local folder, or any fsspec URL."""

    def __init__(self, root: str, ledger: Ledger) -> None:
        self.ledger = ledger
        self.files, path = fsspec.core.url_to_fs(root)
        self.root = path.rstrip("/")
        self.is_local = isinstance(self.files, LocalFileSystem)
        self._proven: set[str] = set()
        self._is_ours = False

    def write(self, asset: str, table: "pa.Table | ir.Table", *, con: "Backend | None" = None) -> Written:
        """Write one file whole: under a temporary name, synchronised, renamed. It counts when the ledger says so."""
        self._claim()
        name = f"{_safe(asset)}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}.parquet"
        final = self._here(name)
        temporary = final.with_name(TEMPORARY + final.name)
        try:
            _make_folder(final.parent)
            rows = _write(table, temporary, con)
            size, digest = _synced(temporary)
            temporary.rename(final)
            _sync_folder(final.parent)
            self._send(final, name)
        except OSError as error:
            if said := explain(error, str(self.root)):
                raise DiskError(said) from None
            raise BusyError(f"the lake at {self.root} cannot be written: {error.strerror or error}") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._proven.add(name)
        return Written(asset, name, rows, size, digest)

    def read(
        self, con: "Backend", asset: str, *, snapshot: str | None = None, schema: pa.Schema | None = None
    ) -> "ir.Table":
        """Read an asset by the manifest, never by a glob; each file is proven whole once a process."""
        return self.read_files(con, self.ledger.files.for_asset(asset, snapshot), schema)

    def read_files(self, con: "Backend", files: Sequence[Written], schema: pa.Schema | None = None) -> "ir.Table":
        """Read some files of an asset; raises ReplyError for one that is lost or damaged."""
        from engine.storage.backend import backend

        return backend.read(con, self.proven(files), schema)

    def proven(self, files: Sequence[Written], *, afresh: bool = False) -> list[str]:
        """Give the places of some files on this machine; raises ReplyError for one that is lost or damaged.

        With `afresh` every byte is read again, though this process has done so before.
        """
        if afresh:
            self._proven -= {file.path for file in files}
        for file in files:
            self._prove(file)
        return [self.full(file.path) for file in files]

    def content(self, file: Written) -> bytes:
        """Read a small file whole and compare those very bytes with the manifest; raises ReplyError."""
        try:
            content = Path(self.full(file.path)).read_bytes()
        except FileNotFoundError:
            raise _lost(file) from None
        if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
            raise _damaged(file, digest)
        return content

    def columns(self, asset: str) -> set[str]:
        """Name the columns that every file of an asset has; none when there is no file."""
        return self.shared_columns(self.ledger.files.for_asset(asset))

    def shared_columns(self, files: Sequence[Written]) -> set[str]:
        """Name the columns that each of some files has."""
        found = [set(pq.read_schema(self.full(file.path)).names) for file in files]
        return set.intersection(*found) if found else set()

    def full(self, path: str) -> str:
        """Give the place on this machine of a file that the manifest names; one that lies elsewhere is fetched once."""
        here = self._here(path)
        if not self.is_local and not here.exists():
            _make_folder(here.parent)
            temporary = here.with_name(TEMPORARY + here.name)
            self.files.get_file(f"{self.root}/{path}", str(temporary))
            temporary.rename(here)
        return str(here)

    def compact(
        self, con: "Backend", asset: str, files: Sequence[Written], newest: "Callable[[ir.Table], ir.Table]"
    ) -> None:
        """Let one file stand for many; `newest` tells which rows it needs."""
        self.ledger.files.replace(files, self.write(asset, newest(self.read_files(con, files)), con=con), COMPACTION)

    def sweep(self) -> int:
        """Remove what no manifest row names and no writer can still be at: leftovers of runs that died."""
        self._claim()
        known = self.ledger.files.paths()
        return sum(self._removed(path) for path in self._all() if path not in known)

    def prune(self, keep: int) -> int:
        """Remove the files that only builds older than the newest `keep` used, and those that a compaction replaced."""
        self._claim()
        paths = self.ledger.snapshots.retire(keep)
        for path in paths:
            with suppress(FileNotFoundError):
                self.files.rm_file(f"{self.root}/{path}")
        self.ledger.files.remove(paths)
        return len(paths)

    def _prove(self, file: Written) -> None:
        """Look at the size of a file always, and at every byte of it once."""
        try:
            here = Path(self.full(file.path))
            size = here.stat().st_size
        except FileNotFoundError:
            raise _lost(file) from None
        if size == file.bytes and file.path in self._proven:
            return
        if (digest := _digest(here)) != file.sha256:
            raise _damaged(file, digest)
        self._proven.add(file.path)

    def _claim(self) -> None:
        """Refuse a lake that another ledger keeps: to this one all of its files are leftovers."""
        if self._is_ours:
            return
        owner, earlier = f"{self.root}/{OWNER}", f"{self.root}/{EARLIER_OWNER}"
        ours = self.ledger.ledger_id.encode()
        if self.is_local:
            _make_folder(Path(self.root))
            Path(owner).touch(mode=0o600)
        if not self._content(owner):
            self.files.pipe_file(owner, self._content(earlier) or ours)
        if self._content(owner) != ours:
            raise SettingsError(
                f"the lake at {self.root} belongs to another ledger than {self.ledger.url.render_as_string()}: "
                "set BELVEDERE_LEDGER_URL and BELVEDERE_LAKE_URL to a pair, or begin with an empty lake"
            )
        if self.files.exists(earlier):
            self.files.rm_file(earlier)
        self._is_ours = True

    def _content(self, path: str) -> bytes:
        return bytes(self.files.cat_file(path)) if self.files.exists(path) else b""

    def _here(self, path: str) -> Path:
        return Path(self.root if self.is_local else self._copies) / path

    @cached_property
    def _copies(self) -> str:
        folder = tempfile.mkdtemp(prefix="belvedere-lake-")
        Finalize(self, shutil.rmtree, (folder, True), exitpriority=0)  # at the end of a worker, too
        return folder

    def _send(self, here: Path, name: str) -> None:
        if not self.is_local:
            self.files.makedirs(f"{self.root}/{name}".rpartition("/")[0], exist_ok=True)
            self.files.put_file(str(here), f"{self.root}/{name}")

    def _all(self) -> Iterator[str]:
        for place in self.files.find(self.root) if self.files.exists(self.root) else ():
            if place.endswith(".parquet"):
                yield place.removeprefix(self.root).lstrip("/")

    def _removed(self, path: str) -> bool:
        place = f"{self.root}/{path}"
        with suppress(FileNotFoundError):  # a writer may have renamed it just now
            age = datetime.now(UTC) - self.files.modified(place).astimezone(UTC)
            if age.total_seconds() >= SETTLED:
                self.files.rm_file(place)
                return True
        return False


def _safe(asset: str) -> str:
    if any(part in ("", ".", "..") for part in asset.split("/")):
        raise SettingsError(f"{asset!r} is no name for a place in the lake")
    return asset


def _write(table: "pa.Table | ir.Table", path: Path, con: "Backend | None") -> int:
    path.touch(mode=0o600)
    if isinstance(table, pa.Table):
        words = [name for name in table.column_names if name not in UNIQUE]
        pq.write_table(table, path, compression="zstd", use_dictionary=words, write_statistics=SOUGHT)
        return int(table.num_rows)
    if con is None:
        raise TypeError("a table expression is written by its engine: pass con")
    from engine.storage.backend import backend

    rows = backend.write(con, table, str(path))
    path.chmod(0o600)
    return rows


def _lost(file: Written) -> ReplyError:
    return ReplyError(f"the lake lost a file of {file.asset}: {file.path}")


def _damaged(file: Written, digest: str) -> ReplyError:
    return ReplyError(
        f"a file of {file.asset} is damaged: {file.path}; it is not what the manifest says: "
        f"sha256 {file.sha256[:12]}... was recorded, it is {digest[:12]}... now"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _synced(path: Path) -> tuple[int, str]:
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
    return path.stat().st_size, _digest(path)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, for their owner only, so that a power cut cannot take them away again."""
    for path in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
