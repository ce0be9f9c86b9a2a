"""How a step fails: with the message, without a traceback, which might print secrets or records."""

import dagster as dg

from engine.storage.lease import LeaseTaken
from pages.visible import visible


def failure(error: Exception) -> dg.Failure:
    """Turn an expected error into a failed step; a lease of another run is marked, so that commands exit with 75."""
    metadata = {"belvedere/held": True} if isinstance(error, LeaseTaken) else {}
    return dg.Failure(visible(str(error)), metadata=metadata, allow_retries=False)
