"""An answer's body, read with an eye on its size, its clock and its end."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from requests.exceptions import ContentDecodingError, ReadTimeout

from connectors.kit.errors import ReplyError

CHUNK = 1 << 18
_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(ReplyError):
    """The answer is larger than what may be held."""


def whole(raw: Any, most: int, in_time: Callable[[], bool]) -> bytes:
    """Read a body to its end, unpacked, holding no more than `most` bytes of it.

    Raises TooLarge, ReadTimeout, ContentDecodingError for a packed body that ends early, and urllib3's IncompleteRead
    for one that is shorter than its Content-Length.
    """
    packed = raw.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip")
    source = _parts(raw, in_time, unpack=not packed)
    parts, size = [], 0
    for part in _unpacked(source, most) if packed else source:
        size += len(part)
        if size > most:
            raise TooLarge(f"an answer is larger than {most >> 20} MiB; ask for smaller pages")
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _parts(raw: Any, in_time: Callable[[], bool], *, unpack: bool) -> Iterator[bytes]:
    """Give what is there; read1 does not wait for a full chunk, so that a slow drip is noticed."""
    is_plain = not raw.headers.get("Content-Encoding")
    while part := raw.read1(CHUNK, decode_content=unpack):
        if not in_time():
            raise ReadTimeout
        yield part
        if is_plain and raw.length_remaining == 0:
            return


def _unpacked(source: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Unpack by the piece: a megabyte may hold a gigabyte. urllib3 lets a body pass whose end is missing."""
    unpacker, begun = zlib.decompressobj(_GZIP), False
    try:
        for packed in source:
            rest, begun = packed, True
            while rest:
                if unpacker.eof:  # several members one after the other are one text
                    unpacker = zlib.decompressobj(_GZIP)
                yield unpacker.decompress(rest, most + 1)
                rest = unpacker.unused_data or unpacker.unconsumed_tail
    except zlib.error:
        raise ContentDecodingError from None
    if begun and not unpacker.eof:
        raise ContentDecodingError
