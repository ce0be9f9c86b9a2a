"""What the command line answers to the shell."""

from enum import IntEnum


class Exit(IntEnum):
    """Say how a command ended; sysexits.h gives 75 its meaning: try again later."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTS_MISSING = 3
    LOCKED = 75
