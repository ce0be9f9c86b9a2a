"""A line of a field map as YAML has it."""

from collections.abc import Mapping
from typing import Any

from connectors.kit.errors import SettingsError, choices
from schemas.mapping import Constant, Entry, Field


def mapped(entry_config: Any) -> Entry | tuple[Entry, ...]:
    """Read one line of a field map as YAML has it: a path, {path, values, otherwise, unit, nulls}, {constant}, or a list."""
    if isinstance(entry_config, str):
        return entry_config
    if isinstance(entry_config, list):
        return tuple(entry for part in entry_config if not isinstance(entry := mapped(part), tuple))
    if isinstance(entry_config, Mapping) and "constant" in entry_config:
        return Constant(str(entry_config["constant"]))
    if isinstance(entry_config, Mapping) and "path" in entry_config:
        options = {"path", "values", "otherwise", "unit", "nulls"}
        for wrong in entry_config.keys() - options:
            raise SettingsError(f"field map: unknown {wrong!r}; {choices(wrong, options)}")
        return Field(**entry_config)
    raise SettingsError(f"field map: {entry_config!r} is neither a path, nor {{path: ...}}, nor {{constant: ...}}")
