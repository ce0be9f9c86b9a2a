"""Find a connector by its name: a file in `connectors`, or an entry point of another distribution."""

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from inspect import getmembers, isabstract, isclass
from pathlib import Path
from types import ModuleType

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError, choices

GROUP = "belvedere.connectors"
HERE = Path(__file__).resolve().parent.parent


def connectors() -> Iterator[str]:
    """Name every connector there is, importing none."""
    own = {path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_")}
    yield from sorted(own | {point.name for point in entry_points(group=GROUP)})


def find(name: str) -> type[Connector]:
    """Import a connector by its name; raises SettingsError that names the nearest choices."""
    if (HERE / f"{name}.py").is_file() and name.isidentifier() and not name.startswith("_"):
        return _only(import_module(f"connectors.{name}"))
    for point in entry_points(group=GROUP, name=name):
        found = point.load()
        return _only(found) if isinstance(found, ModuleType) else found
    raise SettingsError(f"unknown connector {name!r}: {choices(name, connectors())}")


def _only(module: ModuleType) -> type[Connector]:
    found = [
        kind
        for _, kind in getmembers(module, isclass)
        if issubclass(kind, Connector) and kind.__module__ == module.__name__ and not isabstract(kind)
    ]
    if len(found) != 1:
        raise SettingsError(f"{module.__name__} must define one connector class, found {len(found)}")
    return found[0]
