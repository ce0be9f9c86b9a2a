"""Find connectors by name: a folder or file in `connectors`, or an entry point of a distribution."""

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
CONNECTORS_FOLDER = Path(__file__).resolve().parent.parent


def installed_connectors() -> Iterator[str]:
    """Yield the names of all connectors, without importing any."""
    files = {path.stem for path in CONNECTORS_FOLDER.glob("*.py") if not path.stem.startswith("_")}
    packages = {path.parent.name for path in CONNECTORS_FOLDER.glob("*/connector.py")}
    yield from sorted(files | packages | {point.name for point in entry_points(group=GROUP)})


def find_connector(name: str) -> type[Connector]:
    """Import a connector by its name; raises SettingsError with the nearest choices if there is none."""
    if name.isidentifier() and not name.startswith("_"):
        if (CONNECTORS_FOLDER / name / "connector.py").is_file():
            return _single_connector(import_module(f"connectors.{name}.connector"))
        if (CONNECTORS_FOLDER / f"{name}.py").is_file():
            return _single_connector(import_module(f"connectors.{name}"))
    for point in entry_points(group=GROUP, name=name):
        loaded = _load(point)
        return _single_connector(loaded) if isinstance(loaded, ModuleType) else loaded
    raise SettingsError(f"unknown connector {name!r}: {choices(name, installed_connectors())}")


def _load(point: EntryPoint) -> Any:
    """Import an entry point; raises SettingsError if it imports a kit module that no longer exists."""
    try:
        return point.load()
    except ImportError as error:
        if not (error.name or "").startswith("connectors.kit."):
            raise
        raise SettingsError(
            f"connector {point.name!r} ({point.value}): {error}. Modules of connectors.kit have moved: "
            "use `from connectors.kit import ...` in a connector and `from connectors.kit.testing import ...` "
            "in its tests"
        ) from None


def _single_connector(module: ModuleType) -> type[Connector]:
    classes = [
        kind
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, Connector) and kind.__module__ == module.__name__ and not isabstract(kind)
    ]
    if len(classes) != 1:
        raise SettingsError(f"{module.__name__} must define exactly one connector class; it defines {len(classes)}")
    return classes[0]
