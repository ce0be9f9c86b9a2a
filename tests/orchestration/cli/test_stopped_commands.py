"""Commands that are killed, stopped, or out of disk: the next one goes on, and each says in one line what happened."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep

import pytest

from engine.build.run import build
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.extract.run import extract
from sandbox.server import Sandbox
from tests.conftest import TODAY

pytestmark = pytest.mark.timeout(600)  # on a machine that is busy; else a few seconds each
STREAMS = {"hubspot": ["accounts", "deals", "owners"], "odoo": ["accounts", "invoices"], "zendesk": ["accounts"]}
COMMANDS = {  # what is typed, and the lease that tells that it is in mid-step
    "sync": (["sync"], "connection:hubspot"),
    "extract": (["extract", "hubspot"], "connection:hubspot"),
    "build": (["build", "--as-of", TODAY.isoformat()], "build"),
    "plan": (["plan", "scores_to_hubspot"], "delivery:scores_to_hubspot"),
}
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Shell:
    """Type commands in a home of one's own."""

    def __init__(self, home: Path, defs: Path, url: str) -> None:
        self.home = home
        self.environment = {
            **os.environ,
            "BELVEDERE_HOME": str(home),
            "DAGSTER_HOME": str(home / "dagster"),
            "BELVEDERE_DEFS": str(defs),
            "SANDBOX_URL": url,
            "PYTHONPATH": str(ROOT),
        }

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "orchestration.cli.main", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, **pipes, **options)

    def wait_for_lease(self, lease: str, process: subprocess.Popen[str]) -> None:
        """Wait until a command is in mid-step."""

        def is_held() -> bool:
            pids = self._rows(self.home / "ledger.db", f"SELECT pid FROM leases WHERE name = '{lease}'")
            return any(pid in (process.pid, *children(process.pid)) for (pid,) in pids)

        wait_for(is_held, lambda: process.poll() is not None and process.communicate())

    def runs(self) -> list[tuple[str, str]]:
        return self._rows(self.home / "dagster/history/runs.db", "SELECT pipeline_name, status FROM runs ORDER BY id")

    def _rows(self, database: Path, query: str) -> list[tuple[object, ...]]:
        if not database.exists():
            return []
        try:
            with closing(sqlite3.connect(database, timeout=30)) as opened:
                return opened.execute(query).fetchall()
        except sqlite3.OperationalError:  # its tables are not made yet
            return []


def children(pid: int) -> set[int]:
    """Name the processes that descend from one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    pids = {pid}
    while more := {child for child, parent in parents.items() if parent in pids} - pids:
        pids |= more
    return pids - {pid}


def wait_for(happens: Callable[[], bool], is_over: Callable[[], object] = lambda: None, seconds: float = 200) -> None:
    end = monotonic() + seconds
    while not happens():
        if over := is_over():
            raise AssertionError(over)
        assert monotonic() < end, "it did not happen in time"
        sleep(0.05)


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and not is_zombie(pid)}


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="module")
def world(monkeysession: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the demo's project, less the streams that nothing here asks of."""
    copied = shutil.copytree(ROOT / "orchestration" / "defs", tmp_path_factory.mktemp("project") / "defs")
    for name, streams in STREAMS.items():
        file = copied / name / "defs.yaml"
        file.write_text(file.read_text().replace("attributes:\n", f"attributes:\n  streams: {streams}\n", 1))
    return copied


@pytest.fixture(scope="module")
def built(world: Sandbox, defs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.load(defs=defs, home=tmp_path_factory.mktemp("built") / "home")
    project.home.mkdir()
    for connection in project.connections:
        for _ in extract(project, connection, "first"):
            pass
    for _ in build(project, TODAY, "first"):
        pass
    return project.home


@pytest.fixture
def shell(world: Sandbox, defs: Path, tmp_path: Path) -> Iterator[Shell]:
    yield Shell(tmp_path / "home", defs, world.url)
    world.faults.clear()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", CODES, ids=lambda number: signal.Signals(number).name)
def test_after_a_killed_command_the_next_goes_on_and_a_signal_ends_it_in_one_line(
    shell: Shell, built: Path, world: Sandbox, command: str, number: int
):
    words, lease = COMMANDS[command]
    shutil.copytree(built, shell.home)
    world.faults.add("/hubspot", "latency", ms=400)
    first = shell.start(*words)
    shell.wait_for_lease(lease, first)
    first_children = children(first.pid)
    first.kill()
    first.communicate()
    wait_for(lambda: not alive(first_children), seconds=10)

    second = shell.start(*words)
    shell.wait_for_lease(lease, second)  # within the time of this test, and not waiting for a slot
    second_children = children(second.pid)
    stopped_at = monotonic()
    second.send_signal(number)
    _, err = second.communicate(timeout=200)

    assert monotonic() - stopped_at < 20
    assert second.returncode == CODES[number]
    assert err.splitlines() == [
        f"belvedere: {command} was stopped by {'Ctrl-C (SIGINT)' if number == signal.SIGINT else 'SIGTERM'}; "
        "what it had finished is stored; run it again to go on"
    ]
    assert not alive(second_children)
    assert [status for _, status in shell.runs()] == ["FAILURE", "CANCELED"]  # no run stays as started, none follows


def test_a_live_run_of_another_process_is_named_and_answers_75(shell: Shell, built: Path, world: Sandbox):
    shutil.copytree(built, shell.home)
    world.faults.add("/hubspot", "latency", ms=6000)
    first = shell.start("extract", "hubspot")
    shell.wait_for_lease("connection:hubspot", first)
    try:
        second = shell.start("extract", "hubspot")
        _, err = second.communicate(timeout=200)
        assert second.returncode == 75
        assert err.startswith("belvedere: another run holds connection:hubspot: run ")
        assert len(err.splitlines()) == 1
        assert [status for _, status in shell.runs()] == ["STARTED", "FAILURE"]
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=200)


def test_two_first_commands_at_once_make_one_home(shell: Shell):
    both = [shell.start("extract", name) for name in ("zendesk", "odoo")]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, "")
    assert sorted(shell.runs()) == [("extract", "SUCCESS")] * 2


def test_a_first_command_that_is_killed_while_it_makes_its_databases_leaves_none_half_made(shell: Shell):
    first = shell.start("extract", "zendesk")
    wait_for((shell.home / "dagster" / ".new").exists, first.poll)
    first.kill()
    first.communicate()
    second = shell.start("extract", "zendesk")
    _, err = second.communicate(timeout=200)
    assert (second.returncode, err) == (0, "")


@pytest.fixture
def small(shell: Shell) -> Iterator[Path]:
    """Mount a small file system as the home; where that is not allowed, there is nothing to fill."""
    shell.home.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", shell.home], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("a file system can be mounted by root only: nothing here can be filled up")
    yield shell.home
    subprocess.run(["umount", "-l", shell.home], check=True)


@pytest.mark.parametrize(
    ("command", "free_bytes"), [("sync", 0), ("extract", 100_000), ("build", 0), ("build", 100_000), ("plan", 0)]
)
def test_a_disk_that_is_full_is_said_in_one_line_and_the_next_command_goes_on(
    shell: Shell, small: Path, built: Path, world: Sandbox, command: str, free_bytes: int
):
    words, lease = COMMANDS[command]
    shutil.copytree(built, small, dirs_exist_ok=True)
    first = shell.start(*words)
    shell.wait_for_lease(lease, first)
    fill(small, free_bytes)
    _, err = first.communicate(timeout=200)
    assert first.returncode == 1
    line, *more = err.splitlines()
    assert line.startswith(f"belvedere: no space is left at {small}")
    assert not more

    (small / "ballast").unlink()
    second = shell.start(*words)
    shell.wait_for_lease(lease, second)
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=200)
    assert second.returncode == 130
    assert "STARTED" not in dict(shell.runs()).values()


def fill(folder: Path, free_bytes: int) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(1 << 16))
        except OSError:
            pass
        ballast.truncate(max(0, ballast.tell() - free_bytes))


@pytest.mark.parametrize("command", ["extract", "build"])
def test_an_input_output_error_is_said_in_one_line(shell: Shell, built: Path, tmp_path: Path, command: str):
    words, _ = COMMANDS[command]
    shutil.copytree(built, shell.home)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
    shell.environment["PYTHONPATH"] += f":{tmp_path / 'broken'}"
    if command == "extract":
        words = [*words, "--full"]
    process = shell.start(*words)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert err.splitlines() == [
        f"belvedere: the disk reports an input/output error at {shell.home / 'lake'}: check the disk for errors, then "
        "run the command again: it goes on where it stopped"
    ]


BROKEN = """
import errno, os
synced = os.fsync
def fsync(file):
    if os.readlink(f"/proc/self/fd/{file}").endswith(".parquet"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    synced(file)
os.fsync = fsync
"""
