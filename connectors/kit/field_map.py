"""Entries of a field map as they are written in YAML."""

from collections.abc import Mapping
from typing import Any

from connectors.kit.errors import SettingsError, choices
from schemas.mapping import Constant, Entry, Field


def parse_entry(config: Any) -> Entry | tuple[Entry, ...]:
    """Parse one entry of a field map: a path, {path: ..., ...}, {constant: ...}, or a list of those.

    Raises SettingsError for anything else.
    """
    if isinstance(config, str):
        return config
    if isinstance(config, list):
        return tuple(entry for line in config if not isinstance(entry := parse_entry(line), tuple))
    if isinstance(config, Mapping) and "constant" in config:
        return Constant(str(config["constant"]))
    if isinstance(config, Mapping) and "path" in config:
        allowed = {"path", "values", "otherwise", "unit", "nulls"}
        for wrong in config.keys() - allowed:
            raise SettingsError(f"field map: unknown {wrong!r}; {choices(wrong, allowed)}")
        return Field(**config)
    raise SettingsError(f"field map: {config!r} is not valid: write a path, {{path: ...}} or {{constant: ...}}")
