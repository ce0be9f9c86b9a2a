"""Find a connector by its name: a folder or a file in `connectors`, or an entry point of another distribution."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getmembers, isabstract, isclass
from pathlib import Path
from types import ModuleType
from typing import Any

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError, choices

GROUP = "belvedere.connectors"
HERE = Path(__file__).resolve().parent.parent


def connectors() -> Iterator[str]:
    """Name every connector there is, importing none."""
    files = {path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")}
    packages = {path.parent.name for path in HERE.glob("*/connector.py")}
    yield from sorted(files | packages | {point.name for point in entry_points(group=GROUP)})


def find(name: str) -> type[Connector]:
    """Import a connector by its name; raises SettingsError that names the nearest choices."""
    if name.isidentifier() and not name.startswith("_"):
        if (HERE / name / "connector.py").is_file():
            return _only(import_module(f"connectors.{name}.connector"))
        if (HERE / f"{name}.py").is_file():
            return _only(import_module(f"connectors.{name}"))
    for point in entry_points(group=GROUP, name=name):
        connector = _loaded(point)
        return _only(connector) if isinstance(connector, ModuleType) else connector
    raise SettingsError(f"unknown connector {name!r}: {choices(name, connectors())}")


def _loaded(point: EntryPoint) -> Any:
    """Import what an entry point names; raises SettingsError where it imports what has moved within the kit."""
    try:
        return point.load()
    except ImportError as error:
        if not (error.name or "").startswith("connectors.kit."):
            raise
        raise SettingsError(
            f"connector {point.name!r} ({point.value}): {error}. Modules of connectors.kit have moved: "
            "import what a connector needs by `from connectors.kit import ...`, and the tests' part by "
            "`from connectors.kit.testing import ...`"
        ) from None


def _only(module: ModuleType) -> type[Connector]:
    connector = [
        kind
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, Connector) and kind.__module__ == module.__name__ and not isabstract(kind)
    ]
    if len(connector) != 1:
        raise SettingsError(f"{module.__name__} must define one connector class, found {len(connector)}")
    return connector[0]
