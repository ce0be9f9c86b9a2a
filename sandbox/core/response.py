"""A request as a system sees it, and its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any


@dataclass(frozen=True)
class Mishap:
    """Say what goes wrong inside a system while it writes.

    `refused` is the place of a record that is refused, `is_silent` says that nothing is written though the answer is a
    success, `is_echoed` that this answer claims what was sent.
    """

    refused: int | None = None
    is_silent: bool = False
    is_echoed: bool = False


@dataclass(frozen=True)
class Request:
    """Hold one request, the system's prefix cut off its path."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: Any = None
    base: str = ""
    mishap: Mishap = Mishap()

    def first(self, name: str, default: str = "") -> str:
        """Take a query parameter's first value."""
        return self.query.get(name, [default])[0]


@dataclass
class Response:
    """Hold one answer; a payload of None has no body."""

    status: int = 200
    payload: Any = None
    headers: dict[str, str] = field(default_factory=dict)
