"""What a person reads when a step fails: the message and no traceback, which may hold what a log must not."""

import dagster as dg

from engine.storage.lease import LeaseTaken
from pages.visible import visible


def failure(error: Exception) -> dg.Failure:
    """Turn an expected error into a failed step; a held lease is marked, so that the shell can say 75."""
    metadata = {"belvedere/held": True} if isinstance(error, LeaseTaken) else {}
    return dg.Failure(visible(str(error)), metadata=metadata, allow_retries=False)
