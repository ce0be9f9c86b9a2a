"""Find a model of retention by its name: the name of its file."""

from importlib import import_module
from pathlib import Path

from transforms.models.base import Model

_APART = {"__init__", "base", "find", "likelihood", "nbd", "logistic"}
DEFAULT = "bgbb"


def models() -> tuple[str, ...]:
    """List the names of all models."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _APART))


def find(name: str) -> Model:
    """Return a model; raises KeyError when there is none by that name."""
    if name not in models():
        raise KeyError(f"no model {name!r}; choices: {', '.join(models())}")
    found: Model = import_module(f"transforms.models.{name}").MODEL
    return found
