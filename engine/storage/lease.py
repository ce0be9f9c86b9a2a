"""One holder at a time: a lease is a row with a heartbeat, taken over when its holder is dead."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from connectors.kit.errors import BusyError
from engine.storage import ledger_tables as t
from engine.storage.disk import DiskError
from engine.storage.ledger import Ledger

HEARTBEAT = 5.0  # seconds between two heartbeats
TIME_TO_LIVE = timedelta(seconds=30)  # a holder whose heartbeat is older is dead: six heartbeats were missed
ORPHAN_CHECK = 0.5  # seconds in which a step process notices that its run is dead, so that the next command can start
LOST_LEASE = 70  # exit code of a process that must not go on


class LeaseTaken(Exception):
    """Another run holds the lease."""


@contextmanager
def lease(
    ledger: Ledger,
    name: str,
    run_id: str,
    *,
    die_with_parent: bool | None = None,
    heartbeat: float = HEARTBEAT,
) -> Iterator[None]:
    """Hold a lease while a block runs; raises LeaseTaken at once when a living run holds it.

    The process exits on the spot when another run has taken the lease over, for two must never
    write. With `die_with_parent` it also exits when its parent is gone, since nobody would hear of
    what it still does. By default only a worker of `multiprocessing` does (a step of a Dagster
    run): what a shell started may outlive it. `heartbeat` is in seconds.
    """
    own = Lease(ledger, name)
    own.take(run_id)
    is_over = Event()
    keeper = Thread(target=own.keep, args=(is_over, heartbeat, _orphan_check(die_with_parent)), daemon=True)
    keeper.start()
    try:
        yield
    finally:
        is_over.set()
        keeper.join()
        own.release()


def is_free(ledger: Ledger, name: str) -> bool:
    """Say whether nobody holds a lease; the row of a dead holder is removed."""
    with ledger.transaction() as opened:
        row = _row(opened, name)
        if row and not _is_dead(row, _clock(opened)):
            return False
        if row:
            opened.execute(delete(t.leases).where(*_is_row(row)))
        return True


@dataclass(frozen=True)
class Lease:
    """A lease of this process; `holder` tells it from those of other processes and threads."""

    ledger: Ledger
    name: str
    holder: str = field(default_factory=lambda: uuid4().hex)

    def take(self, run_id: str) -> None:
        """Insert the row, in place of that of a dead holder.

        Raises LeaseTaken when a living run holds the lease.
        """
        pid = os.getpid()
        row = {"name": self.name, "holder": self.holder, "host": socket.gethostname(), "pid": pid, "run_id": run_id}
        try:
            with self.ledger.transaction() as opened:
                now, other = _clock(opened), _row(opened, self.name)
                if other and not _is_dead(other, now):
                    raise LeaseTaken(
                        f"another run holds {self.name}: run {other['run_id']}, process {other['pid']} on "
                        f"{other['host']}, since {other['since']:%Y-%m-%d %H:%M:%S} UTC"
                    )
                if other:  # only that very row: by now a third run may have put its own there
                    opened.execute(delete(t.leases).where(*_is_row(other)))
                opened.execute(insert(t.leases).values(**row, started=_started(pid), since=now, heartbeat=now))
        except IntegrityError:  # PostgreSQL lets two look at once; the primary key lets one insert
            raise LeaseTaken(f"another run took {self.name} at the same moment; try again") from None

    def keep(self, is_over: Event, heartbeat: float, is_orphan: Callable[[], bool]) -> None:
        """Renew the lease until the block is over; exit the process when it is lost."""
        due = monotonic() + heartbeat
        while not is_over.wait(min(ORPHAN_CHECK, heartbeat)):
            if is_orphan():
                os._exit(LOST_LEASE)
            if monotonic() < due:
                continue
            due = monotonic() + heartbeat
            try:
                is_ours = self.renew()
            except (BusyError, DiskError):
                continue  # the ledger is away for a moment; whether we were taken over shows when it is back
            if not is_ours:
                os._exit(LOST_LEASE)

    def renew(self) -> bool:
        """Move the heartbeat of our row; False when it is ours no longer."""
        with self.ledger.transaction() as opened:
            renewed = update(t.leases).where(*self._is_ours).values(heartbeat=_clock(opened))
            return bool(opened.execute(renewed).rowcount)

    def release(self) -> None:
        """Remove our row."""
        with self.ledger.transaction() as opened:
            opened.execute(delete(t.leases).where(*self._is_ours))

    @property
    def _is_ours(self) -> tuple[ColumnElement[bool], ...]:
        return t.leases.c.name == self.name, t.leases.c.holder == self.holder


def _row(opened: Connection, name: str) -> Any:
    return opened.execute(select(t.leases).where(t.leases.c.name == name)).mappings().first()


def _is_row(row: Any) -> tuple[ColumnElement[bool], ...]:
    return t.leases.c.name == row["name"], t.leases.c.holder == row["holder"]


def _orphan_check(die_with_parent: bool | None) -> Callable[[], bool]:
    """Return a function that says whether the parent that this process has now is gone."""
    starter = multiprocessing.parent_process()
    if die_with_parent is False or (die_with_parent is None and starter is None):
        return lambda: False
    parent = os.getppid()
    return lambda: os.getppid() != parent or (starter is not None and not starter.is_alive())


def _clock(opened: Connection) -> datetime:
    """Return the time by the ledger's own clock where it has one: the clocks of hosts differ."""
    if opened.dialect.name == "postgresql":
        now: datetime = opened.execute(select(func.clock_timestamp())).scalar_one()
        return now
    return datetime.now(UTC)


def _is_dead(row: Any, now: datetime) -> bool:
    if now - row["heartbeat"] > TIME_TO_LIVE:
        return True
    return bool(row["host"] == socket.gethostname() and _started(row["pid"]) != row["started"])


def _started(pid: int) -> str:
    """Return when a process of this host started, in clock ticks since boot; empty when it is gone.

    Process numbers are used again, so that the number alone does not tell a process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _started_without_proc(pid)
    fields = stat.rpartition(")")[2].split()  # after the name, which may hold blanks: state, parent, ...
    return "" if fields[0] in "ZX" else fields[19]  # Z is a zombie, X is dead


def _started_without_proc(pid: int) -> str:
    """Ask by signal 0, where there is no /proc (macOS)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return "unknown"  # it is alive, and another user's
    except OSError:
        return ""
    return "unknown"
