"""Rare garbage collection, while very many objects come and go."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (100_000, 50, 100)  # thresholds of the three generations; a small build takes a sixth less time with them


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect seldom while a block runs, and never what exists already.

    The usual thresholds are set again after it.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
