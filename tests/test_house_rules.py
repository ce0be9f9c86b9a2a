"""The rules of the doors: who may import whom, and where code may live."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("connectors", "schemas", "transforms", "orchestration", "pages", "sandbox")
MAY_IMPORT = {
    "schemas": set(),
    "connectors": {"schemas"},
    "transforms": {"schemas"},
    "sandbox": set(),
    "pages": {"schemas"},
    "orchestration": {"connectors", "schemas", "transforms", "pages", "sandbox"},
}
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
WITHOUT_DAGSTER = (
    "project",
    "config",
    "extract",
    "reading",
    "rewrite",
    "reconcile",
    "conformed",
    "left",
    "landing",
    "slices",
    "balance",
    "breaker",
    "held",
    "stream",
    "backfill",
    "build",
    "calibrate",
    "criteria",
    "history",
    "backtest",
    "plan",
    "apply",
    "warehouse",
    "tables",
    "fieldmaps",
    "flows",
    "published",
    "drift",
    "sightings",
    "recorded",
    "field",
    "matching",
    "left",
)


def imported(path: Path) -> set[str]:
    """List the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_room_imports_only_what_its_doors_allow(path: Path):
    room = path.relative_to(ROOT).parts[0]
    others = {module.split(".")[0] for module in imported(path)} & set(ROOMS) - {room}
    assert others <= MAY_IMPORT[room]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_orchestration_imports_dagster(path: Path):
    parts = path.relative_to(ROOT).parts
    uses_dagster = any(module.split(".")[0] == "dagster" for module in imported(path))
    free = parts[0] != "orchestration" or parts[1] == "storage" or path.stem.split("_")[0] in WITHOUT_DAGSTER
    in_assets = len(parts) > 2 and parts[1] in ("assets", "cli")
    assert not uses_dagster or not free or in_assets


@pytest.mark.parametrize("path", FILES, ids=name)
def test_ibis_backends_are_imported_in_one_module(path: Path):
    backends = {module for module in imported(path) if module.startswith(("ibis.backends", "ibis.duckdb", "pyspark"))}
    assert not backends or name(path).startswith("orchestration/storage/engine")


@pytest.mark.parametrize("path", [file for file in FILES if file.name == "__init__.py"], ids=name)
def test_init_files_are_empty(path: Path):
    assert not path.read_text("utf-8").strip()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_drawer_for_odds_and_ends(path: Path):
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")


@pytest.mark.parametrize("path", sorted((ROOT / "connectors").rglob("*.py")), ids=lambda path: path.name)
def test_types_of_answers_are_made_known_to_msgspec_before_threads_meet_them(path: Path):
    """Two threads that decode by one new type at once end the process; a Decoder of the module meets it first."""
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    decoding = [call for call in calls if ast.unparse(call.func).endswith((".decode", ".convert"))]
    assert not [ast.unparse(call) for call in decoding if any(word.arg == "type" for word in call.keywords)]


def test_there_is_no_list_of_connectors():
    known = {path.stem for path in (ROOT / "connectors").glob("*.py")} - {"__init__"}
    for path in (ROOT / "connectors" / "kit").glob("*.py"):
        words = {node.value for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Constant)}
        assert len(known & words) < 2, f"{path.name} names connectors: {known & words}"
