"""Rewrite a stream's files in the lake when most of their rows are superseded; a build has the memory for it."""

from contextlib import suppress

from connectors.kit.stream import Stream
from orchestration.compaction import compact_all
from orchestration.held import Held
from orchestration.project import Project
from orchestration.storage.lease import LeaseHeld, lease
from orchestration.storage.state import anew_of, refresh_of

ROWS = 100_000  # a smaller stream costs nothing
TIMES = 2  # so many times as many rows as records


def rewrite(project: Project, connection: str, stream: Stream, records: int, run_id: str) -> bool:
    """Rewrite what is worth it, unless somebody reads the connection or a slice is still open; tells whether it did."""
    asset = f"raw/{connection}/{stream.name}"
    if not _is_worth_it(project, asset, records):
        return False
    with suppress(LeaseHeld), lease(project.ledger, f"connection:{connection}", run_id):
        states = (stream.name, refresh_of(stream.name), anew_of(stream.name))
        if not any(project.ledger.open_slices(connection, state) for state in states):
            compact_all(Held(project, asset, stream, is_at_leisure=True))
            return True
    return False


def _is_worth_it(project: Project, asset: str, records: int) -> bool:
    files = project.ledger.files(asset)
    rows = sum(file.rows for file in files)
    return len(files) > 1 and rows >= ROWS and rows > TIMES * records
