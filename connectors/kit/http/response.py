"""What came back from a source."""

from collections.abc import Mapping
from typing import Any

import msgspec

from connectors.kit.errors import ReplyError
from connectors.kit.repair import TOO_DEEP, UNREADABLE, Repairs, read_json


class Reply(msgspec.Struct, frozen=True):
    """Hold one whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"

    def json(self, repairs: Repairs | None = None) -> Any:
        """Parse the body; raises ReplyError when it is not JSON."""
        return parsed(self.body, repairs)


class Refused(ReplyError):
    """A request was refused (4xx): the connector knows what its system means by that."""

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status, self.body = status, body

    def json(self) -> Any:
        """Parse the body; raises ReplyError when it is not JSON."""
        return parsed(self.body)


def parsed(body: bytes, repairs: Repairs | None = None) -> Any:
    """Parse JSON, whose broken text is repaired; raises ReplyError when it is not, or is nested beyond reason."""
    try:
        return read_json(body, repairs=repairs)
    except RecursionError:
        raise ReplyError(TOO_DEEP.format(len(body))) from None
    except UNREADABLE:
        raise ReplyError(f"an answer of {len(body)} bytes is not JSON") from None
