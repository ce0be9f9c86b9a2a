"""Leases: one holder at a time, and a dead one does not stand in the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select as select_
from threading import Barrier, Event, Thread

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from connectors.kit.errors import BusyError
from engine.config.loader import ROOT
from engine.storage import lease as module
from engine.storage import ledger_tables as t
from engine.storage.lease import Lease, LeaseTaken, lease
from engine.storage.ledger import Ledger


def holders(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.transaction() as opened:
        return [(row.name, row.run_id) for row in opened.execute(select(t.leases).order_by(t.leases.c.name))]


def stored_lease(ledger: Ledger, **other: object) -> None:
    """Store the lease of another run."""
    now = datetime.now(UTC)
    row = {"name": "build", "holder": "h", "host": module.socket.gethostname(), "pid": os.getpid(), "run_id": "old"}
    row |= {"started": module._started(os.getpid()), "since": now, "heartbeat": now}
    with ledger.transaction() as opened:
        opened.execute(insert(t.leases).values(row | other))


def test_a_second_run_is_refused_in_one_line(ledger: Ledger):
    with lease(ledger, "connection:crm", "run-1"):
        with pytest.raises(LeaseTaken) as raised, lease(ledger, "connection:crm", "run-2"):
            pass
        assert holders(ledger) == [("connection:crm", "run-1")]
    message = str(raised.value)
    assert message.startswith(f"another run holds connection:crm: run run-1, process {os.getpid()} on ")
    assert f"since {datetime.now(UTC):%Y-}" in message
    assert "\n" not in message


def test_a_lease_is_free_after_an_error_too(ledger: Ledger):
    with pytest.raises(ZeroDivisionError), lease(ledger, "build", "run-1"):
        raise ZeroDivisionError
    assert holders(ledger) == []
    with lease(ledger, "build", "run-2"):
        assert holders(ledger) == [("build", "run-2")]


def test_leases_of_different_names_are_independent(ledger: Ledger):
    with lease(ledger, "connection:crm", "a"), lease(ledger, "connection:erp", "b"):
        assert holders(ledger) == [("connection:crm", "a"), ("connection:erp", "b")]


def test_a_living_holder_whose_heartbeat_is_late_is_left_alone(ledger: Ledger):
    stored_lease(ledger, heartbeat=datetime.now(UTC) - timedelta(seconds=25))
    with pytest.raises(LeaseTaken), lease(ledger, "build", "new"):
        pass


def test_a_holder_without_a_heartbeat_is_taken_over(ledger: Ledger):
    stored_lease(ledger, host="elsewhere", heartbeat=datetime.now(UTC) - timedelta(seconds=31))
    with lease(ledger, "build", "new"):
        assert holders(ledger) == [("build", "new")]


def test_a_holder_on_another_host_is_judged_by_its_heartbeat_alone(ledger: Ledger):
    stored_lease(ledger, host="elsewhere", pid=1, started="never")
    with pytest.raises(LeaseTaken, match="on elsewhere"), lease(ledger, "build", "new"):
        pass


def test_a_holder_whose_process_is_gone_is_taken_over_at_once(sqlite: Ledger):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    stored_lease(sqlite, pid=ended.pid, started="12345")
    with lease(sqlite, "build", "new"):
        assert holders(sqlite) == [("build", "new")]


def test_a_process_number_that_is_used_again_is_not_mistaken_for_the_holder(sqlite: Ledger):
    stored_lease(sqlite, started="another start")
    with lease(sqlite, "build", "new"):
        assert holders(sqlite) == [("build", "new")]


def test_the_heartbeat_is_renewed_while_a_block_runs(sqlite: Ledger, monkeypatch: pytest.MonkeyPatch):
    renewed = Event()
    monkeypatch.setattr(Lease, "renew", lambda _: renewed.set() or True)
    with lease(sqlite, "build", "run", heartbeat=0.01):
        assert renewed.wait(10)


def test_only_the_own_row_is_renewed(ledger: Ledger):
    stored_lease(ledger, holder="mine", heartbeat=datetime.now(UTC) - timedelta(seconds=20))
    assert Lease(ledger, "build", "mine").renew()
    with ledger.transaction() as opened:
        heartbeat = opened.scalar(select(t.leases.c.heartbeat))
    assert heartbeat is not None
    assert datetime.now(UTC) - heartbeat < timedelta(seconds=10)
    assert not Lease(ledger, "build", "somebody else").renew()


def test_a_run_that_was_taken_over_ends_hard(sqlite: Ledger, monkeypatch: pytest.MonkeyPatch):
    ended = Event()
    monkeypatch.setattr(module.os, "_exit", lambda code: code == 70 and ended.set())
    with lease(sqlite, "build", "run", heartbeat=0.01):
        with sqlite.transaction() as opened:
            opened.execute(update(t.leases).values(holder="somebody else"))
        assert ended.wait(10)
    with sqlite.transaction() as opened:  # the row of another holder is not removed
        assert opened.execute(delete(t.leases)).rowcount == 1


def test_a_ledger_that_is_away_for_a_moment_ends_nothing(sqlite: Ledger, monkeypatch: pytest.MonkeyPatch):
    answers: Iterator[Exception | None] = iter([BusyError("away"), BusyError("away"), None])
    back = Event()

    def renew(_: Lease) -> bool:
        answer = next(answers, None)
        if answer:
            raise answer
        back.set()
        return True

    monkeypatch.setattr(Lease, "renew", renew)
    with lease(sqlite, "build", "run", heartbeat=0.01):
        assert back.wait(10)


def test_what_a_shell_started_may_outlive_it(monkeypatch: pytest.MonkeyPatch):
    by_default, on_request = module._orphan_check(None), module._orphan_check(True)
    monkeypatch.setattr(module.os, "getppid", lambda: 1)
    assert not by_default()
    assert on_request()


WORKER = """
import multiprocessing, os, sys, time
from engine.storage.lease import lease
from engine.storage.ledger import Ledger
def work():
    with lease(Ledger(sys.argv[1]), "build", "orphan", heartbeat=0.05):
        print(os.getpid(), flush=True)
        time.sleep(60)
child = multiprocessing.get_context("fork").Process(target=work)
child.start(); child.join()
"""


def test_a_worker_whose_parent_was_killed_does_not_go_on(sqlite: Ledger, tmp_path: Path):
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER, f"sqlite:///{tmp_path}/other.db"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout
    worker = int(parent.stdout.readline())
    parent.stdout.close()
    handle = os.pidfd_open(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    ended, _, _ = select_([handle], [], [], 20)
    os.close(handle)
    assert ended


def test_of_two_runs_at_once_one_gets_it(url: str, open_ledger: Callable[[str], Ledger]):
    ledgers = [open_ledger(url), open_ledger(url)]
    both, outcome = Barrier(2), []

    def take(ledger: Ledger) -> None:
        both.wait()
        try:
            Lease(ledger, "build").take("run")
            outcome.append("taken")
        except LeaseTaken:
            outcome.append("refused")

    threads = [Thread(target=take, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["refused", "taken"]


def test_a_run_whose_row_comes_second_is_refused(sqlite: Ledger):
    class Racing(Ledger):
        """Let another run insert its row after the look, as PostgreSQL may."""

        def __init__(self) -> None:
            self.database = sqlite.database

        @contextmanager
        def transaction(self) -> Iterator[Connection]:
            with super().transaction() as opened:
                yield opened
                opened.execute(insert(t.leases).from_select(t.leases.c.keys(), select(t.leases)))

    with pytest.raises(LeaseTaken, match="at the same moment"):
        Lease(Racing(), "build").take("run")
