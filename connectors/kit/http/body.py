"""A response's body, bounded in size and whole."""

import zlib
from collections.abc import Iterator
from io import SEEK_END, BytesIO

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import DecodeError

from connectors.kit.errors import ReplyError

CHUNK = 1 << 18
_PACKED = ("gzip", "x-gzip", "deflate")
_BOTH = 32 + zlib.MAX_WBITS  # whichever of the two its first bytes tell
_MEMBERS = 1000  # gzip texts one after the other: each costs a copy of what follows it, even when it is empty


def whole(response: BaseHTTPResponse, most: int) -> bytes:
    """Read a body to its end, unpacked, keeping no more than `most` bytes of it.

    Raises ReplyError for one that is larger or packed in a way that was not asked for, and urllib3's HTTPError for one
    that is cut or too slow.
    """
    packed = response.headers.get("Content-Encoding", "").strip().lower()
    if packed not in (*_PACKED, "identity", ""):
        raise ReplyError(f"an answer is packed as {packed[:20]!r}, which was not asked for")
    received = _bounded(_parts(response), most)
    parts = _bounded(_unpacked(received, most), most) if packed in _PACKED else received
    body = BytesIO(next(parts, b""))  # a single part is not copied
    body.seek(0, SEEK_END)
    body.writelines(parts)
    return body.getvalue()


def _bounded(parts: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        if size > most:
            raise ReplyError(f"an answer is larger than {most >> 20} MiB; ask for smaller pages")
        yield part


def _parts(response: BaseHTTPResponse) -> Iterator[bytes]:
    """Give what has arrived; read1 does not wait for more."""
    while part := response.read1(CHUNK, decode_content=False):
        yield part
        if response.length_remaining == 0:
            return


def _unpacked(source: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Unpack by the piece: a megabyte may hold a gigabyte. urllib3 lets a body pass whose end is missing."""
    unpacker, begun, members = zlib.decompressobj(_BOTH), False, 1
    try:
        for packed in source:
            rest, begun = packed, True
            while rest:
                if unpacker.eof:  # several members one after the other are one text
                    unpacker, members = zlib.decompressobj(_BOTH), members + 1
                    if members > _MEMBERS:
                        raise DecodeError("too many packed parts")
                yield unpacker.decompress(rest, most + 1)
                rest = unpacker.unused_data or unpacker.unconsumed_tail
    except zlib.error:
        raise DecodeError("not packed as announced") from None
    if begun and not unpacker.eof:
        raise DecodeError("a packed body ended early")
