"""The lake: Parquet files that count once the manifest holds them."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import fsspec
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from connectors.kit.errors import ReplyError
from orchestration.storage import engine
from orchestration.storage.engine import Backend
from orchestration.storage.ledger import Ledger
from orchestration.storage.manifest import Written

TEMPORARY = ".tmp-"


class Lake:
    """Write and read Parquet below a root: a local folder, or any fsspec URL."""

    def __init__(self, root: str, ledger: Ledger) -> None:
        self.ledger = ledger
        self.files, path = fsspec.core.url_to_fs(root)
        self.root = path.rstrip("/")
        self.is_local = isinstance(self.files, LocalFileSystem)
        self._proven: set[str] = set()

    def write(self, asset: str, table: pa.Table | ir.Table, *, con: Backend | None = None) -> Written:
        """Write one file whole: under a temporary name, synchronised, renamed. It counts when the ledger says so."""
        name = f"{asset}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid4().hex[:8]}.parquet"
        if not self.is_local:
            return self._put(asset, name, table)
        final = Path(self.full(name))
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = final.with_name(TEMPORARY + final.name)
        rows = _write(table, str(temporary), con)
        temporary.chmod(0o600)
        size, digest = _synced(temporary)
        temporary.rename(final)
        _sync_folder(final.parent)
        self._proven.add(name)
        return Written(asset, name, rows, size, digest)

    def read(
        self, con: Backend, asset: str, *, snapshot: str | None = None, schema: pa.Schema | None = None
    ) -> ir.Table:
        """Read an asset by the manifest, never by a glob; each file is proven whole once a process."""
        files = self.ledger.files(asset, snapshot)
        for file in files:
            self._prove(file)
        return engine.read(con, [self.full(file.path) for file in files], schema)

    def columns(self, asset: str) -> set[str]:
        """Name the columns that every file of an asset has; none when there is no file."""
        found = []
        for file in self.ledger.files(asset):
            with self.files.open(self.full(file.path), "rb") as opened:
                found.append(set(pq.read_schema(opened).names))
        return set.intersection(*found) if found else set()

    def full(self, path: str) -> str:
        """Give the place of a file that the manifest names."""
        return f"{self.root}/{path}"

    def compact(self, con: Backend, asset: str, most: int = 24) -> bool:
        """Let one file stand for many, rows and columns alike, where an asset has more than `most`."""
        files = self.ledger.files(asset)
        if len(files) <= most:
            return False
        self.ledger.replace(files, self.write(asset, self.read(con, asset), con=con), "compaction")
        return True

    def sweep(self) -> int:
        """Remove what no manifest row names and no writer can still be at: leftovers of runs that died."""
        known = self.ledger.known()
        return sum(self._removed(path) for path in self._all() if path not in known)

    def prune(self, keep: int) -> int:
        """Remove the files that only builds older than the newest `keep` used."""
        paths = self.ledger.retire(keep)
        for path in paths:
            with suppress(FileNotFoundError):
                self.files.rm_file(self.full(path))
        self.ledger.forget(paths)
        return len(paths)

    def _prove(self, file: Written) -> None:
        if file.path in self._proven:
            return
        place = self.full(file.path)
        if not self.files.exists(place):
            raise ReplyError(f"the lake lost a file of {file.asset}: {file.path}")
        with self.files.open(place, "rb") as opened:
            if hashlib.file_digest(opened, "sha256").hexdigest() != file.sha256:
                raise ReplyError(f"a file of {file.asset} is damaged: {file.path}; its hash is not the manifest's")
        self._proven.add(file.path)

    def _put(self, asset: str, name: str, table: pa.Table | ir.Table) -> Written:
        arrow = table if isinstance(table, pa.Table) else table.to_pyarrow()
        place = self.full(name)
        self.files.makedirs(place.rpartition("/")[0], exist_ok=True)
        with self.files.open(place, "wb") as opened:
            pq.write_table(arrow, opened, compression="zstd")
        with self.files.open(place, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return Written(asset, name, arrow.num_rows, int(self.files.size(place)), digest)

    def _all(self) -> Iterator[str]:
        if self.files.exists(self.root):
            for place in self.files.find(self.root):
                yield place.removeprefix(self.root).lstrip("/")

    def _removed(self, path: str) -> bool:
        place = self.full(path)
        age = datetime.now(UTC) - self.files.modified(place).astimezone(UTC)
        if age.total_seconds() < 3600:  # a file is written minutes before it is counted, at the most
            return False
        self.files.rm_file(place)
        return True


def _write(table: pa.Table | ir.Table, path: str, con: Backend | None) -> int:
    if isinstance(table, pa.Table):
        pq.write_table(table, path, compression="zstd")
        return int(table.num_rows)
    if con is None:
        raise TypeError("a table expression is written by its engine: pass con")
    return engine.write(con, table, path)


def _synced(path: Path) -> tuple[int, str]:
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        os.fsync(opened.fileno())
    return path.stat().st_size, digest


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
