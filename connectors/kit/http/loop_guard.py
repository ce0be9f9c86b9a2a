"""The way that one reading has taken through its pages: paging that comes back on it would go round for ever."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import urlsplit

from connectors.kit.errors import ReplyError

Place = TypeVar("Place")

BYTES = 8  # of a digest: a million pages have one chance in ten millions to be stopped for nothing


class PaginationGuard:
    """Remember the places that were asked for and the pages that came, by eight bytes each."""

    def __init__(self, where: str, start: Any) -> None:
        self.where, self._been = where, {_print(repr(start).encode())}

    def on(self, position: Place) -> Place:
        """Go on to a place, None is the end; raises ReplyError where it has been asked for before."""
        if position is not None and not self._is_new(repr(position).encode()):
            raise ReplyError(f"{self.where}: paging makes no progress after {_short(position)}: it leads back there")
        return position

    def came(self, rows: Sequence[bytes], position: Any) -> None:
        """Look at the page of a place; raises ReplyError where it came before.

        An API that does not know the parameter answers its first page for ever. Its ends tell a page: to digest all of it
        would cost as much as to ask for it.
        """
        if rows and not self._is_new(b"\n".join([b"%d rows" % len(rows), rows[0], rows[-1]])):
            raise ReplyError(f"{self.where}: paging makes no progress: a page came twice, at {_short(position)}")

    def _is_new(self, what: bytes) -> bool:
        count_before = len(self._been)
        self._been.add(_print(what))
        return len(self._been) > count_before


def _short(position: Any) -> str:
    """Write a place for a message; the query of a link may hold a secret."""
    if isinstance(position, Mapping) and "link" in position:
        return urlsplit(str(position["link"])).path
    return str(position)[:200]


def _print(what: bytes) -> bytes:
    return blake2b(what, digest_size=BYTES).digest()
