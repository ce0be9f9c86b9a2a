"""Arrow columns of plain values, made of their bytes: for `pa.array` and `pa.scalar` pyarrow imports pandas.

That takes a quarter of a second, which is more than a quiet night needs to read a stream.
"""

from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pyarrow as pa

INSTANT = pa.timestamp("us", tz="UTC")
_EPOCH, _UNIT = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def texts(values: Sequence[bytes]) -> pa.Array:
    """Make a column of texts, given as UTF-8."""
    places = array("i", accumulate(map(len, values), initial=0))
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(places), pa.py_buffer(b"".join(values))])


def numbers(values: Iterable[int], kind: pa.DataType | None = None) -> pa.Array:
    """Make a column of numbers of 64 bits."""
    packed = array("q", values)
    return pa.Array.from_buffers(kind or pa.int64(), len(packed), [None, pa.py_buffer(packed)])


def instants(values: Iterable[datetime]) -> pa.Array:
    """Make a column of instants, to the microsecond."""
    return numbers(((value - _EPOCH) // _UNIT for value in values), INSTANT)


MOST_DIGITS = 18


def whole_number(said: object) -> int | None:
    """Read a count; None for what is none, or beyond all reason: of 4,300 digits Python itself makes no number."""
    text = str(said).strip()
    return int(text) if len(text) <= MOST_DIGITS and text.isdecimal() else None
