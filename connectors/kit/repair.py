"""Broken text in what a source sends: half a surrogate pair, bytes that are no UTF-8, NaN, a byte order mark.

JSON (RFC 8259) allows none of them, yet systems that cut texts by length, or that write JSON by hand, send them. One
such character would cost a whole page, so a text that cannot be read is repaired and read again; what was changed is
counted. Text that can be read is never looked at here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # half a pair, written as if it were a character
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|-?\b(?:NaN|Infinity)\b|-?[0-9][0-9.]*[eE]\+?[0-9]{3,}', re.DOTALL)
_IN_STRING = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.|(?P<control>[\x00-\x1f])",
    re.DOTALL,
)
TOO_DEEP = "an answer of {} bytes is nested too deeply to be read"  # msgspec gives up at Python's recursion limit
_ANY = msgspec.json.Decoder(Any)


@dataclass
class Repairs:
    """Count what was replaced: `characters` by U+FFFD, `numbers` (NaN, Infinity, 1e999) by null."""

    characters: int = 0
    numbers: int = 0

    def add(self, other: "Repairs") -> None:
        """Count what was replaced elsewhere, too."""
        self.characters += other.characters
        self.numbers += other.numbers

    def notes(self) -> Iterator[str]:
        """Say what was replaced, in a sentence for each kind."""
        if self.characters:
            singular = "1 character that is not valid Unicode was"
            many = f"{self.characters:,} characters that are not valid Unicode were"
            yield f"{singular if self.characters == 1 else many} replaced by {REPLACEMENT}"
        if self.numbers:
            singular = "1 number that is NaN or infinite was"
            many = f"{self.numbers:,} numbers that are NaN or infinite were"
            yield f"{singular if self.numbers == 1 else many} replaced by null"


def repaired(body: bytes, repairs: Repairs | None = None) -> bytes:
    """Replace in a JSON text what keeps it from being read, and count it; all else stays as it was sent."""
    count = repairs if repairs is not None else Repairs()

    def in_string(match: re.Match[str]) -> str:
        if match["half"]:
            count.characters += 1
            return REPLACEMENT
        return f"\\u{ord(match['control']):04x}" if match["control"] else match[0]

    def token(match: re.Match[str]) -> str:
        if match[0][0] == '"':
            return _IN_STRING.sub(in_string, match[0])
        if isfinite(float(match[0])):
            return match[0]
        count.numbers += 1
        return "null"

    text = valid_text(bytes(body).removeprefix(_BYTE_ORDER_MARK), count)
    return _TOKEN.sub(token, text).encode()


def valid_text(body: bytes, repairs: Repairs) -> str:
    """Read UTF-8; what is none is replaced and counted."""
    text = _SURROGATE_BYTES.sub(REPLACEMENT.encode(), body).decode("utf-8", "replace")
    repairs.characters += text.count(REPLACEMENT) - body.count(REPLACEMENT.encode())
    return text


def is_unicode(text: str) -> bool:
    """Tell whether a text holds no surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_surrogates(text: str, repairs: Repairs) -> str:
    """Replace and count surrogates, which no UTF-8 can hold."""
    text, count = _SURROGATE.subn(REPLACEMENT, text)
    repairs.characters += count
    return text


def read_json(body: bytes, decoder: "msgspec.json.Decoder[Kind] | None" = None, repairs: Repairs | None = None) -> Any:
    """Decode JSON; what cannot be is repaired, counted and decoded again.

    Raises one of UNREADABLE where that does not help.
    """
    decode = (decoder or _ANY).decode
    try:
        return decode(body)
    except UNREADABLE as error:
        if decoder and isinstance(error, msgspec.ValidationError):  # it is JSON, of another shape
            raise
        count = Repairs()
        mended = repaired(body, count)
        if mended == bytes(body):
            raise
    match = decode(mended)
    if repairs is not None:
        repairs.add(count)
    return match
