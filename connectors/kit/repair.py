"""Repair invalid JSON text: half a surrogate pair, invalid UTF-8, NaN, a byte order mark.

JSON (RFC 8259) allows none of them, but systems that cut texts by length or build JSON by string
concatenation send them. One such character would make a whole page unreadable. So a body that
cannot be decoded is repaired and decoded again, and the replacements are counted. Valid bodies are
not changed.
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
_SURROGATE_BYTES = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # half a pair, encoded as a character
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|-?\b(?:NaN|Infinity)\b|-?[0-9][0-9.]*[eE]\+?[0-9]{3,}', re.DOTALL)
_IN_STRING = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.|(?P<control>[\x00-\x1f])",
    re.DOTALL,
)
# msgspec raises RecursionError at Python's recursion limit.
TOO_DEEP = "the response ({} bytes) is nested too deeply to be parsed"
_ANY = msgspec.json.Decoder(Any)


@dataclass
class Repairs:
    """Count of replacements: `characters` by U+FFFD, `numbers` (NaN, Infinity, 1e999) by null."""

    characters: int = 0
    numbers: int = 0

    def add(self, other: "Repairs") -> None:
        """Add another count to this one."""
        self.characters += other.characters
        self.numbers += other.numbers

    def notes(self) -> Iterator[str]:
        """Yield a sentence about each kind of replacement."""
        if self.characters:
            singular = "1 character that is not valid Unicode was"
            plural = f"{self.characters:,} characters that are not valid Unicode were"
            yield f"{singular if self.characters == 1 else plural} replaced by {REPLACEMENT}"
        if self.numbers:
            singular = "1 number that is NaN or infinite was"
            plural = f"{self.numbers:,} numbers that are NaN or infinite were"
            yield f"{singular if self.numbers == 1 else plural} replaced by null"


def repaired(body: bytes, repairs: Repairs | None = None) -> bytes:
    """Replace invalid characters and numbers in a JSON text and count them; the rest stays as sent."""
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
    """Decode UTF-8; replace and count invalid bytes."""
    text = _SURROGATE_BYTES.sub(REPLACEMENT.encode(), body).decode("utf-8", "replace")
    repairs.characters += text.count(REPLACEMENT) - body.count(REPLACEMENT.encode())
    return text


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded, that is, contains no surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_surrogates(text: str, repairs: Repairs) -> str:
    """Replace and count surrogates, which UTF-8 cannot encode."""
    text, count = _SURROGATE.subn(REPLACEMENT, text)
    repairs.characters += count
    return text


def read_json(body: bytes, decoder: "msgspec.json.Decoder[Kind] | None" = None, repairs: Repairs | None = None) -> Any:
    """Decode JSON; if that fails, repair the text, decode again and count the repairs.

    Raises one of UNREADABLE if the repaired text cannot be decoded either.
    """
    decode = (decoder or _ANY).decode
    try:
        return decode(body)
    except UNREADABLE as error:
        if decoder and isinstance(error, msgspec.ValidationError):  # valid JSON of another type
            raise
        count = Repairs()
        repaired_body = repaired(body, count)
        if repaired_body == bytes(body):
            raise
    value = decode(repaired_body)
    if repairs is not None:
        repairs.add(count)
    return value
