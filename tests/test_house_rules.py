"""Where code may live, who may import whom, and what files look like: read from the folders, with no list of modules."""

import ast
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# package -> the packages that it may import
MAY_IMPORT = {
    "schemas": set(),
    "connectors": {"schemas"},
    "transforms": {"schemas"},
    "sandbox": set(),
    "pages": {"schemas"},
    "engine": {"connectors", "schemas", "transforms"},
    "orchestration": {"connectors", "engine", "pages", "sandbox", "schemas", "transforms"},
}
# within engine a package imports those of earlier rows, and itself
ENGINE = (("storage",), ("config",), ("extract",), ("build",), ("deliver", "evaluate"), ("publish",))
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
TESTS = sorted(path for package in ("benchmarks", "tests") for path in (ROOT / package).rglob("*.py"))
MODULES_PER_FOLDER = 20
LINES_PER_FILE = 350
EMPTY_NAMES = {
    *("held", "told", "said", "given", "made", "found", "known", "kept", "left", "shown"),
    *("seen", "gone", "anew", "asked", "here", "there", "one", "some", "why"),
}
# percent of the names bound in a package that may be one of EMPTY_NAMES
CEILINGS = {
    "schemas": 0.5,
    "connectors": 0.5,
    "transforms": 0.5,
    "engine": 0.5,
    "orchestration": 0.5,
    "pages": 0.5,
    "sandbox": 0.5,
    "benchmarks": 7.5,
    "tests": 5.0,
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """List the modules that a file imports, wherever in it, and the names that it takes from them: `module.name`."""
    modules = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.add(node.module or "")
            modules |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(modules)


def file_of(module: str) -> Path | None:
    """Find the file of a module, or None where it is not ours (or a name within a module)."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def edges(path: Path) -> frozenset[Path]:
    """List the files of ours that a file imports; `from package import module` is of the module alone."""
    files: set[Path | None] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            files |= {file_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            files |= {file_of(f"{node.module}.{alias.name}") or file_of(node.module or "") for alias in node.names}
    return frozenset(file for file in files if file)


def _is_face(path: Path) -> bool:
    return path.name == "__init__.py" and bool(path.read_text("utf-8").strip())


def offenders(rule: Callable[[Path], object], files: list[Path] = FILES) -> dict[str, object]:
    """Name the files that a rule finds something in, with what it finds."""
    return {name(path): finding for path in files if (finding := rule(path))}


def test_a_package_imports_only_those_below_it():
    def against(path: Path) -> set[str]:
        others = {module.split(".")[0] for module in imported(path)} & {*MAY_IMPORT, "tests", "benchmarks"}
        return others - {package(path)} - MAY_IMPORT[package(path)]

    assert offenders(against) == {}


def test_the_engine_imports_only_what_comes_before():
    rank = {part: number for number, row in enumerate(ENGINE) for part in row}

    def against(path: Path) -> list[str]:
        part = path.relative_to(ROOT).parts[1]
        others = {module.split(".")[1] for module in imported(path) if module.startswith("engine.")} - {part}
        return sorted(other for other in others if rank[other] >= rank[part])

    files = [path for path in FILES if package(path) == "engine" and path.parent != ROOT / "engine"]
    assert {path.relative_to(ROOT).parts[1] for path in files} == {*rank}
    assert offenders(against, files) == {}


def test_only_orchestration_imports_dagster():
    def against(path: Path) -> bool:
        return package(path) != "orchestration" and any(module.split(".")[0] == "dagster" for module in imported(path))

    assert offenders(against) == {}


def test_ibis_backends_are_imported_in_one_folder():
    def against(path: Path) -> list[str]:
        prefixes = ("ibis.backends", "ibis.duckdb", "pyspark")
        return sorted(module for module in imported(path) if module.startswith(prefixes))

    files = [path for path in FILES if path.parent != ROOT / "engine" / "storage" / "backend"]
    assert offenders(against, files) == {}


def test_no_files_import_each_other_in_a_circle():
    assert list(circles({path: edges(path) & {*FILES} for path in FILES})) == []


def circles(graph: dict[Path, frozenset[Path]]) -> Iterator[list[str]]:
    """Yield the strongly connected parts of more than one file (Tarjan 1972)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []

    def visit(path: Path) -> Iterator[list[str]]:
        index[path] = low[path] = len(index)
        stack.append(path)
        for other in sorted(graph[path]):
            if other not in index:
                yield from visit(other)
                low[path] = min(low[path], low[other])
            elif other in stack:
                low[path] = min(low[path], index[other])
        if low[path] == index[path]:
            part = stack[stack.index(path) :]
            del stack[-len(part) :]
            if len(part) > 1:
                yield sorted(map(name, part))

    for path in graph:
        if path not in index:
            yield from visit(path)


def test_circles_are_found():
    a, b, c = (ROOT / f"{letter}.py" for letter in "abc")
    assert list(circles({a: frozenset({b}), b: frozenset({a, c}), c: frozenset()})) == [["a.py", "b.py"]]


def test_an_init_is_empty_or_a_public_face():
    def against(path: Path) -> list[str]:
        body = parsed(path).body
        names = {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets}
        own = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        wrong = [one for one in own if one not in ("__getattr__", "__dir__")]
        return wrong or (["no __all__"] if body and "__all__" not in names else [])

    assert offenders(against, [path for path in FILES if path.name == "__init__.py"]) == {}


def test_our_own_code_imports_modules_and_not_a_public_face():
    def against(path: Path) -> list[str]:
        return sorted(name(other) for other in edges(path) if _is_face(other))

    assert offenders(against) == {}


def test_every_folder_of_code_is_a_package():
    folders = {path.parent for path in FILES}
    assert [name(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_drawer_for_odds_and_ends():
    assert [name(path) for path in FILES if path.stem in ("utils", "util", "helpers", "misc", "common")] == []


def test_a_folder_holds_no_more_than_a_person_can_survey():
    counts = Counter(name(path.parent) for path in FILES if path.name != "__init__.py" and package(path) != "schemas")
    assert {folder: count for folder, count in counts.items() if count > MODULES_PER_FOLDER} == {}


def test_a_file_is_read_in_one_sitting():
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > LINES_PER_FILE} == {}


def test_names_name_something():
    shares = empty_shares()
    assert {top: share for top, share in shares.items() if share > CEILINGS[top]} == {}


def empty_shares() -> dict[str, float]:
    """Tell for each package what percent of the names that it binds name nothing."""
    bound: dict[str, list[str]] = defaultdict(list)
    for path in (*FILES, *TESTS):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound[package(path)].append(node.name)
            elif isinstance(node, ast.arg):
                bound[package(path)].append(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound[package(path)].append(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                bound[package(path)].append(node.attr)
    return {
        top: round(100 * sum(word.strip("_") in EMPTY_NAMES for word in words) / len(words), 2)
        for top, words in bound.items()
    }


def test_types_of_answers_are_made_known_to_msgspec_before_threads_meet_them():
    """Two threads that decode by one new type at once end the process; a Decoder of the module meets it first."""

    def against(path: Path) -> list[str]:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        decoding = [call for call in calls if ast.unparse(call.func).endswith((".decode", ".convert"))]
        return [ast.unparse(call) for call in decoding if any(word.arg == "type" for word in call.keywords)]

    assert offenders(against, [path for path in FILES if package(path) == "connectors"]) == {}


def test_there_is_no_list_of_connectors():
    folder = ROOT / "connectors"
    systems = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/connector.py")}

    def against(path: Path) -> list[str]:
        words = {node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant)}
        named = sorted((systems - {"__init__"}) & {word for word in words if isinstance(word, str)})
        return named if len(named) > 1 else []

    assert offenders(against, sorted((folder / "kit").rglob("*.py"))) == {}
