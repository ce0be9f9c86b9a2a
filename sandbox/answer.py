"""A request as a system sees it, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """Hold one request, the system's prefix cut off its path."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any = None
    base: str = ""

    def one(self, name: str, default: str = "") -> str:
        """Take a query parameter's first value."""
        return self.query.get(name, [default])[0]


@dataclass
class Answer:
    """Hold one answer; a payload of None has no body."""

    status: int = 200
    payload: Any = None
    headers: dict[str, str] = field(default_factory=dict)
