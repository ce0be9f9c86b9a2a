"""One holder at a time: a lease is a row with a heartbeat, taken over when its holder is dead."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, insert, select, update

from orchestration.storage import tables as t
from orchestration.storage.base import Transactions

BEAT = 5.0
TIME_TO_LIVE = timedelta(seconds=30)


class LeaseHeld(Exception):
    """Another run holds the lease."""


@contextmanager
def lease(ledger: Transactions, name: str, run_id: str) -> Iterator[None]:
    """Hold a lease while a block runs; raises LeaseHeld at once when a living run holds it."""
    holder = uuid4().hex
    _take(ledger, name, run_id, holder)
    over = Event()
    keeper = Thread(target=_keep, args=(ledger, name, holder, over, os.getppid()), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()
        with ledger.transaction() as opened:
            opened.execute(delete(t.leases).where(t.leases.c.name == name, t.leases.c.holder == holder))


def _take(ledger: Transactions, name: str, run_id: str, holder: str) -> None:
    now = datetime.now(UTC)
    with ledger.transaction() as opened:
        held = opened.execute(select(t.leases).where(t.leases.c.name == name)).mappings().first()
        if held and not _is_dead(held, now):
            raise LeaseHeld(
                f"another run holds {name}: run {held['run_id']}, process {held['pid']} on {held['host']}, "
                f"since {held['since']:%H:%M:%S} UTC"
            )
        opened.execute(delete(t.leases).where(t.leases.c.name == name))
        row = {
            "name": name,
            "holder": holder,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "run_id": run_id,
        }
        opened.execute(insert(t.leases).values(**row, started=_started(os.getpid()), since=now, heartbeat=now))


def _keep(ledger: Transactions, name: str, holder: str, over: Event, parent: int) -> None:
    while not over.wait(BEAT):
        if os.getppid() != parent:
            os._exit(70)  # our run was killed and left us: nobody would hear of what we still do
        with ledger.transaction() as opened:
            mine = (t.leases.c.name == name, t.leases.c.holder == holder)
            if opened.execute(update(t.leases).where(*mine).values(heartbeat=datetime.now(UTC))).rowcount == 0:
                os._exit(70)  # taken over by a run that thought us dead: two must never write


def _is_dead(held: Mapping[Any, Any], now: datetime) -> bool:
    heartbeat, pid = held["heartbeat"], held["pid"]
    if isinstance(heartbeat, datetime) and now - heartbeat > TIME_TO_LIVE:
        return True
    return held["host"] == socket.gethostname() and _started(int(str(pid))) != held["started"]


def _started(pid: int) -> str:
    """Tell a process by its start time too, since numbers are used again; empty when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return ""
        return "unknown"
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
