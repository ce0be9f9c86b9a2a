"""Find a table's model by the table's name."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing the base means importing pandera, which a command may not need
    from schemas.base import Table

_NOT_TABLES = {"__init__", "base", "find", "mapping"}


def tables() -> tuple[str, ...]:
    """List the names of all tables that have a model."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_TABLES))


def model(table: str) -> "type[Table]":
    """Return the model of a table; raises KeyError when there is none by that name."""
    if table not in tables():
        raise KeyError(f"no table {table!r}; choices: {', '.join(tables())}")
    model_class: type[Table] = getattr(import_module(f"schemas.{table}"), table.title().replace("_", ""))
    return model_class
