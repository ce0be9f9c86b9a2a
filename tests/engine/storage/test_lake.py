"""The lake: whose it is, what is swept from it, what is refused."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pyarrow as pa
import pytest

from connectors.kit.errors import SettingsError
from engine.storage.lake import Lake
from engine.storage.ledger import Ledger

ROWS = pa.table({"_key": ["1"]})


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "lake")
        return
    url = f"memory://lake-{uuid4().hex}"
    yield url
    files, path = fsspec.core.url_to_fs(url)
    files.rm(path, recursive=True)


@pytest.fixture
def read(root: str) -> Callable[[str], bytes | None]:
    """Read a file at the lake's root; None where there is none."""
    files, path = fsspec.core.url_to_fs(root)
    return lambda name: files.cat_file(f"{path}/{name}") if files.exists(f"{path}/{name}") else None


def put(root: str, name: str, content: bytes) -> None:
    files, path = fsspec.core.url_to_fs(root)
    files.makedirs(path, exist_ok=True)
    files.pipe_file(f"{path}/{name}", content)


def test_the_first_ledger_that_writes_owns_it(root: str, sqlite: Ledger, read: Callable[[str], bytes | None]):
    Lake(root, sqlite).write("deals", ROWS)
    assert read(".ledger_id") == sqlite.ledger_id.encode()


def test_another_ledger_is_refused(root: str, sqlite: Ledger, open_ledger: Callable[[str], Ledger], tmp_path: Path):
    Lake(root, sqlite).write("deals", ROWS)
    other = Lake(root, open_ledger(f"sqlite:///{tmp_path / 'other.db'}"))
    for use in (lambda: other.write("deals", ROWS), other.sweep, lambda: other.prune(1)):
        with pytest.raises(SettingsError, match="belongs to another ledger than sqlite"):
            use()


def test_an_empty_owner_file_of_a_process_that_died_is_filled(
    root: str, sqlite: Ledger, read: Callable[[str], bytes | None]
):
    put(root, ".ledger_id", b"")
    Lake(root, sqlite).write("deals", ROWS)
    assert read(".ledger_id") == sqlite.ledger_id.encode()


def test_the_owner_file_of_version_0_1_is_recognised_and_rewritten(
    root: str, sqlite: Ledger, read: Callable[[str], bytes | None]
):
    put(root, ".generation", sqlite.ledger_id.encode())
    Lake(root, sqlite).write("deals", ROWS)
    assert (read(".ledger_id"), read(".generation")) == (sqlite.ledger_id.encode(), None)


def test_a_lake_of_version_0_1_refuses_another_ledger(root: str, sqlite: Ledger, read: Callable[[str], bytes | None]):
    put(root, ".generation", b"another")
    for _ in range(2):
        with pytest.raises(SettingsError, match="belongs to another ledger"):
            Lake(root, sqlite).write("deals", ROWS)
    assert read(".generation") == b"another"


def test_a_sweep_deletes_old_files_that_the_manifest_does_not_list(lake: Lake):
    listed, leftover, young = (lake.write("deals", ROWS) for _ in range(3))
    lake.ledger.files.add([listed], "run")
    for written in (listed, leftover):
        os.utime(lake.full(written.path), (0, 0))
    assert lake.sweep() == 1
    assert [Path(lake.full(written.path)).exists() for written in (listed, leftover, young)] == [True, False, True]


@pytest.mark.parametrize("asset", ["", "raw//deals", "../deals", "raw/./deals"])
def test_an_asset_that_leads_out_of_its_folder_is_refused(lake: Lake, asset: str):
    with pytest.raises(SettingsError, match="cannot be the name of an asset"):
        lake.write(asset, ROWS)
