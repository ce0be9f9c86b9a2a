"""How much is gathered before it lands, and when small files become one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The sizes that one run of an extract works with.

    Pages land together once they hold `rows` rows or `bytes` bytes, or `seconds` after the first of them came. More
    than `files` files of together at most `compacted_bytes` bytes become one file.
    """

    rows: int = 50_000
    bytes: int = 32 << 20
    seconds: float = 5.0
    files: int = 24
    compacted_bytes: int = 4 << 20
