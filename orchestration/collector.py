"""The collector of garbage, and what it need not look at."""

import gc
from functools import cache


@cache
def spare_what_stays() -> None:
    """Let it not walk through all that was imported, again and again, while many rows come and go; once a process."""
    gc.freeze()
