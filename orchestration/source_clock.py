"""A source's clock, beside ours: by how much it was ahead is remembered, for it may be set right one day.

What lies on a cursor is the source's own stamps, up to its own clock. Where that clock was an hour ahead, an hour counts
as read that was yet to come, and all that is stamped in it once the clock is right would be passed over.
"""

from datetime import UTC, datetime, timedelta

from connectors.kit.errors import ReplyError
from orchestration.held import Held
from orchestration.project import Project

STEP = timedelta(minutes=1)  # less is drift, or the hosts behind one name: streams have their lag for that
FARTHEST = timedelta(days=3650)


def ours() -> datetime:
    """Tell this machine's clock; nothing is read by it, only compared."""
    return datetime.now(UTC)


def ahead(name: str, clock: datetime) -> timedelta:
    """Tell by how much a source's clock is ahead of ours; raises ReplyError for one that is none."""
    found = clock - ours()
    if abs(found) > FARTHEST:
        raise ReplyError(
            f"{name}: the source's clock says {clock:%Y-%m-%d %H:%M}, which cannot be; nothing is read by it"
        )
    return found


def set_back(project: Project, name: str, clock: datetime, back: timedelta) -> timedelta | None:
    """Take back what was read by a clock that has gone back since; answers by how much it went, at least.

    `back` is how far it went beside ours. Where both were set back, which only shows while what has been read lies
    ahead of it, nobody knows how far: all is read again. The rows stay, yet none is newer than what comes now.
    """
    if back > STEP:
        _set_stamps_back(project, name, clock, back)
        project.ledger.take_back(name, back)
    until = project.ledger.read_until(name)
    if until and until - clock > STEP:
        back = max(back, until - clock)
        _set_stamps_back(project, name, clock, back)
        project.ledger.reset(name)
    return back if back > STEP else None


def _set_stamps_back(project: Project, name: str, clock: datetime, back: timedelta) -> None:
    from orchestration.stamps import set_before

    for stream in project.streams(name):
        set_before(Held(project, f"raw/{name}/{stream.name}", stream), clock, back)
