"""Arrow columns built from buffers, because `pa.array` and `pa.scalar` import pandas.

That import takes a quarter of a second, longer than reading a stream without changes.
"""

from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
_EPOCH, _UNIT = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def string_array(values: Sequence[bytes]) -> pa.Array:
    """Return a string column of UTF-8 texts."""
    offsets = array("i", accumulate(map(len, values), initial=0))
    return pa.Array.from_buffers(
        pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


def int64_array(values: Iterable[int], kind: pa.DataType | None = None) -> pa.Array:
    """Return a column of 64-bit integers; `kind` is another 64-bit type to read them as."""
    buffer = array("q", values)
    return pa.Array.from_buffers(kind or pa.int64(), len(buffer), [None, pa.py_buffer(buffer)])


def timestamp_array(values: Iterable[datetime]) -> pa.Array:
    """Return a column of UTC timestamps in microseconds."""
    return int64_array(((value - _EPOCH) // _UNIT for value in values), INSTANT)


MAX_DIGITS = 18  # fits 64 bits; int() itself refuses more than 4,300 digits (sys.int_info)


def whole_number(text_or_number: object) -> int | None:
    """Parse a count; None for anything but decimal digits, or for more than MAX_DIGITS of them."""
    text = str(text_or_number).strip()
    return int(text) if len(text) <= MAX_DIGITS and text.isdecimal() else None
