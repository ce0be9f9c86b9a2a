"""An answer's body, read with an eye on its size, its clock and its end."""

import zlib
from collections.abc import Callable, Iterator
from io import SEEK_END, BytesIO
from typing import Any

from requests.exceptions import ContentDecodingError, ReadTimeout

from connectors.kit.errors import ReplyError

CHUNK = 1 << 18
_PACKED = ("gzip", "x-gzip", "deflate")
_BOTH = 32 + zlib.MAX_WBITS  # whichever of the two its first bytes tell


def whole(raw: Any, most: int, in_time: Callable[[], bool]) -> bytes:
    """Read a body to its end, unpacked, holding no more than `most` bytes of it.

    Raises ReplyError for one that is larger or packed in a way that was not asked for, ReadTimeout, ContentDecodingError
    for a packed body that ends early, and urllib3's ProtocolError for one that is shorter than its Content-Length.
    """
    packed = raw.headers.get("Content-Encoding", "").strip().lower()
    if packed not in (*_PACKED, "identity", ""):
        raise ReplyError(f"an answer is packed as {packed[:20]!r}, which was not asked for")
    source = _parts(raw, in_time)
    parts = _unpacked(source, most) if packed in _PACKED else source
    body = BytesIO(next(parts, b""))  # most are one part, which is not copied
    size = body.seek(0, SEEK_END)
    while size <= most and (part := next(parts, None)) is not None:
        size += body.write(part)
    if size > most:
        raise ReplyError(f"an answer is larger than {most >> 20} MiB; ask for smaller pages")
    return body.getvalue()


def _parts(raw: Any, in_time: Callable[[], bool]) -> Iterator[bytes]:
    """Give what is there; read1 does not wait for a full chunk, so that a slow drip is noticed."""
    while part := raw.read1(CHUNK, decode_content=False):
        if not in_time():
            raise ReadTimeout
        yield part
        if raw.length_remaining == 0:
            return


def _unpacked(source: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Unpack by the piece: a megabyte may hold a gigabyte. urllib3 lets a body pass whose end is missing."""
    unpacker, begun = zlib.decompressobj(_BOTH), False
    try:
        for packed in source:
            rest, begun = packed, True
            while rest:
                if unpacker.eof:  # several members one after the other are one text
                    unpacker = zlib.decompressobj(_BOTH)
                yield unpacker.decompress(rest, most + 1)
                rest = unpacker.unused_data or unpacker.unconsumed_tail
    except zlib.error:
        raise ContentDecodingError from None
    if begun and not unpacker.eof:
        raise ContentDecodingError
