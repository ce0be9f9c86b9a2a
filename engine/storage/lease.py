"""One holder at a time: a lease is a row with a heartbeat, taken over when its holder is dead."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from connectors.kit.errors import BusyError
from engine.storage import ledger_tables as t
from engine.storage.disk import DiskError
from engine.storage.ledger import Ledger

BEAT = 5.0
LOOK = 0.5  # seconds in which a step process sees that its run is dead, so that the next command need not wait
TIME_TO_LIVE = timedelta(seconds=30)
SOFTWARE = 70  # what a process ends with that must not go on


class LeaseTaken(Exception):
    """Another run holds the lease."""


@contextmanager
def lease(ledger: Ledger, name: str, run_id: str, *, die_with_parent: bool | None = None) -> Iterator[None]:
    """Hold a lease while a block runs; raises LeaseHeld at once when a living run holds it.

    With `die_with_parent` the process ends hard when its parent is gone, since nobody would hear of what it still does.
    By default only a worker of `multiprocessing` does (a step of a Dagster run): what a shell started may outlive it.
    """
    holder = uuid4().hex
    _take(ledger, name, run_id, holder)
    over = Event()
    keeper = Thread(target=_keep, args=(ledger, name, holder, over, _orphaned(die_with_parent)), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        with ledger.transaction() as opened:
            opened.execute(delete(t.leases).where(t.leases.c.name == name, t.leases.c.holder == holder))


def is_free(ledger: Ledger, name: str) -> bool:
    """Tell whether nobody holds a lease, and forget a holder that is dead."""
    with ledger.transaction() as opened:
        row = opened.execute(select(t.leases).where(t.leases.c.name == name)).mappings().first()
        if row and not _is_dead(row, _clock(opened)):
            return False
        if row:
            opened.execute(delete(t.leases).where(t.leases.c.name == name, t.leases.c.holder == row["holder"]))
        return True


def _take(ledger: Ledger, name: str, run_id: str, holder: str) -> None:
    row = {"name": name, "holder": holder, "host": socket.gethostname(), "pid": os.getpid(), "run_id": run_id}
    try:
        with ledger.transaction() as opened:
            now = _clock(opened)
            held = opened.execute(select(t.leases).where(t.leases.c.name == name)).mappings().first()
            if held and not _is_dead(held, now):
                raise LeaseTaken(
                    f"another run holds {name}: run {held['run_id']}, process {held['pid']} on {held['host']}, "
                    f"since {held['since']:%Y-%m-%d %H:%M:%S} UTC"
                )
            if held:  # only the row that was seen dead: by now another run may have put its own there
                dead = (t.leases.c.name == name, t.leases.c.holder == held["holder"])
                opened.execute(delete(t.leases).where(*dead))
            opened.execute(insert(t.leases).values(**row, started=_started(os.getpid()), since=now, heartbeat=now))
    except IntegrityError:  # PostgreSQL lets two ask at once; the row itself lets one in
        raise LeaseTaken(f"another run took {name} at this very moment") from None


def _keep(ledger: Ledger, name: str, holder: str, over: Event, orphaned: Callable[[], bool]) -> None:
    due = monotonic() + BEAT
    while not over.wait(LOOK):
        if orphaned():
            os._exit(SOFTWARE)
        if monotonic() < due:
            continue
        due = monotonic() + BEAT
        try:
            is_mine = _beat(ledger, name, holder)
        except (BusyError, DiskError):
            continue  # a ledger that is away for a moment; whether somebody took over shows when it is back
        if not is_mine:
            os._exit(SOFTWARE)  # taken over by a run that thought us dead: two must never write


def _beat(ledger: Ledger, name: str, holder: str) -> bool:
    mine = (t.leases.c.name == name, t.leases.c.holder == holder)
    with ledger.transaction() as opened:
        return bool(opened.execute(update(t.leases).where(*mine).values(heartbeat=_clock(opened))).rowcount)


def _orphaned(die_with_parent: bool | None) -> Callable[[], bool]:
    maker = multiprocessing.parent_process()
    if die_with_parent is False or (die_with_parent is None and maker is None):
        return lambda: False
    parent = os.getppid()
    return lambda: os.getppid() != parent or (maker is not None and not maker.is_alive())


def _clock(opened: Connection) -> datetime:
    """Tell the time by the ledger's own clock where it has one, for hosts disagree."""
    if opened.dialect.name == "postgresql":
        told: datetime = opened.execute(select(func.clock_timestamp())).scalar_one()
        return told
    return datetime.now(UTC)


def _is_dead(held: Any, now: datetime) -> bool:
    if now - held["heartbeat"] > TIME_TO_LIVE:
        return True
    return bool(held["host"] == socket.gethostname() and _started(held["pid"]) != held["started"])


def _started(pid: int) -> str:
    """Tell a process by its start time too, since numbers are used again; empty when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _signalled(pid)
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _signalled(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "unknown"  # it lives, and belongs to somebody else
    except OSError:
        return ""
    return "unknown"
