"""The exit codes of the command line."""

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended; 75 is EX_TEMPFAIL of sysexits.h: try again later."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTS_MISSING = 3
    LOCKED = 75
