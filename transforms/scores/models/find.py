"""Find a model of retention by its name: every model that a module of this folder offers."""

from functools import cache
from importlib import import_module
from pathlib import Path

from transforms.scores.models.base import Model

DEFAULT = "bgbb"


def models() -> tuple[str, ...]:
    """List the names of all models."""
    return tuple(sorted(_models()))


def find(name: str) -> Model:
    """Return a model; raises KeyError when there is none by that name."""
    if name not in _models():
        raise KeyError(f"no model {name!r}; choices: {', '.join(models())}")
    return _models()[name]


@cache
def _models() -> dict[str, Model]:
    names = (path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "find"))
    modules = (import_module(f"transforms.scores.models.{name}") for name in names)
    return {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Model)}
