"""Look up values in parsed JSON by a dotted path."""

from collections.abc import Mapping
from typing import Any


def at(value: Any, path: str) -> Any:
    """Return the value at a dotted path, such as `owner.id` or `lines.0.price`; None if there is none."""
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping):
            value = value.get(part)
        else:
            return None
    return value
