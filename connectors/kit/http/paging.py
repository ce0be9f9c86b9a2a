"""How systems hand out pages: six shapes beside the single page, each saying how to ask for the next and when to end."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cache
from typing import Annotated, Any, Literal
from urllib.parse import unquote_plus, urlsplit, urlunsplit

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.kit.arrow import whole_number
from connectors.kit.errors import ReplyError
from connectors.kit.http.request import joined
from connectors.kit.http.response import Reply
from connectors.kit.json_path import at
from connectors.kit.repair import UNREADABLE, read_json

Place = dict[str, Any]


class Paging(BaseModel, ABC):
    """Ask for a page by its place, and tell the place of the next one; None is the end."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int = Field(default=100, ge=1)

    @abstractmethod
    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        """Give parameters, headers and, where the next page is a link, the whole address."""

    @abstractmethod
    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        """Tell the place of the next page, by the unparsed records of this one."""

    def fresh(self, position: Place, rows: Sequence[bytes]) -> Sequence[bytes]:
        """Leave out the records that were asked for only to compare them with the page before."""
        return rows

    def total(self, reply: Reply) -> int | None:
        """Tell the source's own count, where this shape has one."""
        return None


class NoPaging(Paging):
    """Expect everything in one answer."""

    kind: Literal["none"] = "none"

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        return [], {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        return None


class CursorInBody(Paging):
    """Find a token in the answer and send it back."""

    kind: Literal["cursor"]
    path: str = Field(description="Where the token lies in the answer: paging.next.after")
    param: str = Field(description="Parameter to send it in")
    size_param: str | None = None

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        params = [(self.size_param, str(self.size))] if self.size_param else []
        return params + ([(self.param, str(position["cursor"]))] if "cursor" in position else []), {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        token = value_in(reply, self.path)
        if token in (None, "", False):
            return None
        return {"cursor": token}


class NextLink(Paging):
    """Follow a link: in the answer, or in the Link header."""

    kind: Literal["link"]
    path: str | None = Field(None, description="Where the link lies in the answer; the Link header when not given")
    size_param: str | None = None

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        if "link" in position:
            return [], {}, str(position["link"])
        return ([(self.size_param, str(self.size))] if self.size_param else []), {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        link = value_in(reply, self.path) if self.path else _link_header(reply.headers.get("Link", ""))
        return {"link": joined(reply.url, str(link))} if link else None


class PageNumber(Paging):
    """Count pages; a page that is not full is the last."""

    kind: Literal["page"]
    param: str = "page"
    size_param: str | None = "per_page"
    first: int = 1

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        params = [(self.param, str(position.get("page", self.first)))]
        return params + ([(self.size_param, str(self.size))] if self.size_param else []), {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        return {"page": position.get("page", self.first) + 1} if len(rows) >= self.size else None


class Offset(Paging):
    """Count rows; a page that is not full is the last. Rows may be skipped when they move while being read.

    `overlap` asks for the last record of the page before once more: another one there means that rows moved.
    """

    kind: Literal["offset"]
    param: str = "offset"
    size_param: str = "limit"
    overlap: bool = False
    key: str = Field("id", description="Path to a record's key, by which `overlap` compares")

    @model_validator(mode="after")
    def _moves_on(self) -> "Offset":
        if self.overlap and self.size < 2:
            raise ValueError("overlap needs a size of 2 at least")
        return self

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        return [(self.param, str(position.get("offset", 0))), (self.size_param, str(self.size))], {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        if len(rows) < self.size:
            return None
        end = position.get("offset", 0) + len(rows)
        return {"offset": end - 1, "last": _key(rows[-1], self.key)} if self.overlap else {"offset": end}

    def fresh(self, position: Place, rows: Sequence[bytes]) -> Sequence[bytes]:
        if "last" not in position:
            return rows
        if not rows or _key(rows[0], self.key) != position["last"]:
            message = f"rows moved while they were read: another record than before stands at {position['offset']}"
            raise ReplyError(f"{message}; use paging of kind keyset, which no change disturbs")
        return rows[1:]


class KeySet(Paging):
    """Ask for what comes behind the last record's key; a page that is not full is the last.

    The source must sort by that key. Nothing is skipped or repeated, whatever changes meanwhile.
    """

    kind: Literal["keyset"]
    param: str = Field(description="Parameter that takes the last key: starting_after, id_gt")
    key: str = Field("id", description="Path to the key in a record")
    size_param: str | None = "limit"

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        params = [(self.size_param, str(self.size))] if self.size_param else []
        return params + ([(self.param, str(position["last"]))] if "last" in position else []), {}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        return {"last": _key(rows[-1], self.key)} if len(rows) >= self.size else None


class Range(Paging):
    """Ask by the header `Range: records=0-199`; `Content-Range: records 0-199/1234` answers with the count."""

    kind: Literal["range"]
    unit: str = "records"

    def ask(self, position: Place) -> tuple[list[tuple[str, str]], dict[str, str], str | None]:
        start = position.get("offset", 0)
        return [], {"Range": f"{self.unit}={start}-{start + self.size - 1}"}, None

    def following(self, position: Place, reply: Reply, rows: Sequence[bytes]) -> Place | None:
        start, total = position.get("offset", 0), self.total(reply)
        if rows and (answered_start := _range_start(reply)) not in (None, start):
            raise ReplyError(f"a range from {answered_start} was answered where one from {start} was asked for")
        end = start + len(rows)
        if total is not None:  # to ask behind the end is refused (416)
            return {"offset": end} if rows and end < total else None
        return {"offset": end} if len(rows) >= self.size else None

    def total(self, reply: Reply) -> int | None:
        return whole_number(reply.headers.get("Content-Range", "").rpartition("/")[2])


def _range_start(reply: Reply) -> int | None:
    sent = reply.headers.get("Content-Range", "").split(" ")[-1]
    return whole_number(sent.partition("-")[0])


AnyPaging = Annotated[
    NoPaging | CursorInBody | NextLink | PageNumber | Offset | Range | KeySet, Field(discriminator="kind")
]


def value_in(reply: Reply, path: str) -> Any:
    """Look a dotted path up in an answer, whose records are passed over unread; None where there is nothing."""
    try:
        value = read_json(reply.body, _decoder(path))
    except UNREADABLE:  # a list on the way, or no JSON at all
        return at(reply.json(), path)
    for _ in path.split("."):
        value = None if value is None else value.inner
    return value


@cache
def _decoder(path: str) -> msgspec.json.Decoder[Any]:
    kind: Any = Any
    for part in reversed(path.split(".")):
        kind = msgspec.defstruct("At", [("inner", kind | None, msgspec.field(name=part, default=None))])
    return msgspec.json.Decoder(kind)


def _key(row: bytes, path: str) -> str | int:
    """Tell a record's key, without which there is no going on."""
    try:
        value = at(read_json(row), path)
    except UNREADABLE:
        value = None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise ReplyError(f"a record has no key at {path!r}, so that paging cannot go on behind it")
    return value


def without(link: str, pairs: Collection[tuple[str, str]]) -> tuple[str, set[str]]:
    """Take parameters out of a link where name and value are the same; tell the names of those that were there."""
    parts = urlsplit(link)
    others, names = [], set[str]()
    for text in parts.query.split("&"):
        name, _, value = text.partition("=")
        if (unquote_plus(name), unquote_plus(value)) in pairs:
            names.add(unquote_plus(name))
        else:
            others.append(text)
    return urlunsplit(parts._replace(query="&".join(others))), names


def _link_header(value: str) -> str | None:
    """Read rel="next" of a Link header (RFC 8288); requests' own parser stops at a title that holds "="."""
    target = ""
    for part in value.split("<"):
        begun, is_target, attributes = part.partition(">")
        target = begun if is_target else target  # else a "<" within a title
        for attribute in (attributes if is_target else part).split(";"):
            name, _, relations = attribute.partition("=")
            if name.strip().lower() == "rel" and "next" in relations.strip(" \t,\"'").lower().split():
                return target
    return None
