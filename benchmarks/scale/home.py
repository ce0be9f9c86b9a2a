"""A home for builds: a lake with the raw rows of so many customers, made once and kept in `.bench`."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from scale.source import MACROS, ROLES, STREAMS, connection, raw, records

from engine.config.connection import ConnectionConfig
from engine.config.project import Project
from engine.storage.backend import backend
from engine.storage.manifest import Written

ROOT = Path(__file__).resolve().parents[2]
HELD = "held.json"


def place(customers: int) -> Path:
    """Name the folder for so many customers; BELVEDERE_BENCH_HOME names another folder than `.bench`."""
    return Path(os.environ.get("BELVEDERE_BENCH_HOME") or ROOT / ".bench") / f"build-{customers}"


def make(customers: int) -> None:
    """Write the raw rows, unless they are there."""
    folder = place(customers)
    if (folder / HELD).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    project, held = _project(folder / "source", {}), {}
    con = backend.connect(threads=2, memory_limit="4GB")
    con.raw_sql(MACROS)
    for name, streams in STREAMS.items():
        for stream, source in streams.items():
            columns = list(con.con.sql(records(source, 1)).columns)
            made = con.sql(raw(source, customers, columns))
            written = project.lake.write(f"raw/{name}/{stream}", made, con=con)
            held[f"{name}/{stream}"] = {"columns": columns, "file": vars(written)}
    (folder / HELD).write_text(json.dumps(held))


def fresh(customers: int, name: str) -> Project:
    """Give a project with the raw rows and nothing else, in a home of its own."""
    folder = place(customers)
    home = folder / name
    shutil.rmtree(home, ignore_errors=True)
    (home / "lake").mkdir(parents=True)
    (home / "lake" / "raw").symlink_to(folder / "source" / "lake" / "raw")
    held = json.loads((folder / HELD).read_text())
    project = _project(home, held)
    project.ledger.files.add([Written(**one["file"]) for one in held.values()], "bench")
    return project


def opened(customers: int, name: str) -> Project:
    """Open a home that a build has filled."""
    folder = place(customers)
    return _project(folder / name, json.loads((folder / HELD).read_text()))


def _project(home: Path, held: dict[str, Any]) -> Project:
    columns = {key: one["columns"] for key, one in held.items()}
    connections = {
        name: ConnectionConfig.model_validate(
            connection(name, {stream: columns[f"{name}/{stream}"] for stream in STREAMS[name]})
        )
        for name in (ROLES if held else ())
    }
    return Project(home / "defs", home, connections=connections)
