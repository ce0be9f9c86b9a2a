"""The Dagster instance as a command opens it."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from engine.config.defs_file import ROOT
from engine.config.loader import home_folder

# A slot in a Dagster pool outlives a killed process, and waiting for one ignores signals. The leases of the ledger
# already admit one run at a time and name their holder, so a command claims no slots.
NO_SLOTS = {"concurrency": {"pools": {"granularity": "run"}}}
NEW = ".new"


@contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of this project: DAGSTER_HOME, else in the home folder."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(home_folder() / "dagster")))
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _exclusively(home):
        if not (home / "dagster.yaml").exists():
            shutil.copy(ROOT / "dagster.yaml", home / f"{NEW}.yaml")
            (home / f"{NEW}.yaml").rename(home / "dagster.yaml")
        _make_databases(home)
        opened = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=NO_SLOTS))
    with opened:
        yield opened


@contextmanager
def _exclusively(home: Path) -> Iterator[None]:
    """Let one command at a time open the instance: two that create its SQLite files at once fail."""
    with (home / ".opening").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_databases(home: Path) -> None:
    """Create Dagster's SQLite files in a temporary folder, then rename: Dagster never repairs half-created ones."""
    settings = yaml.safe_load((home / "dagster.yaml").read_text("utf-8")) or {}
    if (home / "history").exists() or any(name.endswith("storage") for name in settings):
        return
    aside = home / NEW
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    (aside / "dagster.yaml").touch()
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(aside))):
        pass
    for name in ("schedules", "history"):
        shutil.rmtree(home / name, ignore_errors=True)
        (aside / name).rename(home / name)
    shutil.rmtree(aside)
