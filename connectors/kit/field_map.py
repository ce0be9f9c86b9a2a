"""A line of a field map as YAML has it."""

from collections.abc import Mapping
from typing import Any

from connectors.kit.errors import SettingsError, choices
from schemas.mapping import Constant, Entry, Field


def mapped(given: Any) -> Entry | tuple[Entry, ...]:
    """Read one line of a field map as YAML has it: a path, {path, values, otherwise, unit, nulls}, {constant}, or a list."""
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        return tuple(entry for one in given if not isinstance(entry := mapped(one), tuple))
    if isinstance(given, Mapping) and "constant" in given:
        return Constant(str(given["constant"]))
    if isinstance(given, Mapping) and "path" in given:
        known = {"path", "values", "otherwise", "unit", "nulls"}
        for wrong in given.keys() - known:
            raise SettingsError(f"field map: unknown {wrong!r}; {choices(wrong, known)}")
        return Field(**given)
    raise SettingsError(f"field map: {given!r} is neither a path, nor {{path: ...}}, nor {{constant: ...}}")
