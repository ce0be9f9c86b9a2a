"""Deliveries that are killed from outside at random moments, again and again, while all else goes wrong as well.

35 of 100 answers to applied writes are lost, 30 of 100 requests fail, a write arrives after its refusal, our values
change, people edit. When the storm is over, and some undisturbed nights were run: nothing is lost, doubled or made up,
and what people edited is theirs; by the sandbox's own log of writes, and beside a run that nobody disturbed.
`BELVEDERE_KILLS=100 pytest tests/nights/test_storms.py` kills so often at each door, by new dice.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random, SystemRandom
from signal import SIGKILL
from time import sleep
from typing import Any

import pytest

from engine.deliver.plan_store import load
from engine.storage.stores.write_operations import DONE
from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.nights.stormy import BATCH, DOORS, LINKED, NEW, SETTLES, Door, World, small_and_fast
from tests.nights.warm import Warm
from transforms.delivery.value_equality import is_same

KILLS = int(os.environ.get("BELVEDERE_KILLS", "0"))
MOST = KILLS or 8  # 56 at seven doors
NIGHTS = 3
LATE = 4  # writes that arrive after their refusal
THEIRS = "theirs"


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    """Keep a process that forks."""
    with Warm("tests.nights.stormy:night") as running:
        yield running


class Storm:
    """Hold one door in a storm."""

    def __init__(self, name: str, home: Path, sandbox: Sandbox, seed: int) -> None:
        self.name, self.door, self.sandbox, self.home = name, DOORS[name], sandbox, home
        self.random = Random(seed)
        if self.door.system == "plain":
            sandbox.plain.set(**self.door.traits)
        self.linked = sorted(self.door.named(sandbox))[:LINKED]
        self.world = World(self.door, home, sandbox.url)
        self.edited: dict[str, dict[str, str]] = {}
        self.trials = 0
        self.writes = sandbox.faults.add(f"/{self.door.system}", "latency", ms=1, writes=True)  # it counts them

    def trial(self, warm: Warm) -> bool:
        """Let our values change, people edit, and a night be killed; tells whether it was still alive."""
        self.world.tables(f"snapshot-{self.trials}", self.linked, self.trials)
        if not self.door.versions:
            self.sandbox.clock.advance(SETTLES)  # what is still under way arrives before people edit, not upon that
        self.people()
        self.sandbox.hooks.active.clear()
        if self.door.versions:  # the others cannot see what is edited between our last look and our write
            after = self.random.randint(1, 20)
            self.sandbox.when(f"/{self.door.system}", after=after, do=self.people)
        pid = warm.start(door=self.name, home=str(self.home), url=self.sandbox.url, run=f"storm-{self.trials}")
        self.trials += 1
        code = warm.ended(pid, self._moment())
        assert code in (0, -SIGKILL), "the night failed of itself"
        return code != 0

    def _moment(self) -> Callable[[], bool]:
        """Choose when to kill: so many requests from now, or so many writes, and a little later."""
        asked = self.sandbox.requests
        counts = self.random.choice([asked.total, lambda: self.writes.seen, lambda: self.writes.seen])
        at = counts() + self.random.randint(1, self.door.steps)
        pause = self.random.choice([0, 0, self.random.uniform(0, 0.05)])
        return lambda: counts() >= at and not sleep(pause)

    def people(self) -> None:
        """Edit some records: what we fill or own together, and what is ours."""
        for number in self.random.sample(self.linked, 2):
            place = self.random.choice(["phone", "city", "name"])
            value = "+49999" if place == "phone" else f"{THEIRS} {self.trials}"
            self.sandbox.edit(self.door.system, self.door.kind, self._id(number), {self.door.fields[place]: value})
            self.edited.setdefault(number, {})[self.door.fields[place]] = value

    def calm(self) -> int:
        """Let the storm pass, and count the nights that still write."""
        self.sandbox.faults.clear()
        sleep(SETTLES + 0.1)  # what is under way arrives, or never will
        self.world.tables("calm", self.linked, self.trials - 1)
        for number in range(NIGHTS + 2):
            before = len(self.sandbox.writes)
            planned = self.world.night(f"calm-{number}")
            if not planned and len(self.sandbox.writes) == before:
                return number
            sleep(SETTLES)
        return NIGHTS + 2

    def held(self) -> dict[str, dict[str, Any]]:
        """Tell what the target holds of each customer, by record or by key."""
        rows = self.door.named(self.sandbox)
        fields = self.door.fields.values()
        mine = {number: rows[number] for number in self.linked}
        mine |= {str(row[self.door.key]): row for number, row in rows.items() if self._is_new(number, row)}
        return {name: {field: row.get(field) for field in fields} for name, row in mine.items()}

    def _is_new(self, number: str, row: dict[str, Any]) -> bool:
        return number not in self.linked and str(row.get(self.door.key)).startswith("new")

    def created(self) -> list[str]:
        """List the keys of all records that were created and are there."""
        rows = self.door.named(self.sandbox)
        return sorted(str(row[self.door.key]) for number, row in rows.items() if self._is_new(number, row))

    def _id(self, number: str) -> Any:
        return int(number) if self.door.system == "odoo" else number

    def planned(self) -> set[tuple[str, str, str]]:
        """List what was ever planned: record or key, field, value."""
        plans = [load(self.world.project, head) for head in self.world.project.ledger.plans.recent("d", most=10_000)]
        return {
            (row["record_id"] or row["key"], row["field"], str(row["after"]).strip('"'))
            for one in plans
            for row in one.rows("update", "create")
        }


def stormy(sandbox: Sandbox, system: str, seed: int) -> None:
    """Let all go wrong at a system."""
    sandbox.faults.add(f"/{system}", "latency", ms=8)
    sandbox.faults.add(f"/{system}", "error", status=503, share=0.3, seed=seed)
    sandbox.faults.add(f"/{system}", "lost_answer", share=0.35, seed=seed + 1, writes=True)
    sandbox.faults.add(f"/{system}", "delayed_write", after=1, every=4, times=LATE, delay=SETTLES / 2, writes=True)


def undisturbed(name: str, storm: Storm, home: Path) -> dict[str, dict[str, Any]]:
    """Run what the storm wanted in the end upon a sandbox where nothing happens."""
    with Sandbox(customers=20, seed=3, today=TODAY) as sandbox:
        calm = Storm(name, home, sandbox, 0)
        calm.trials = storm.trials
        assert calm.calm() <= 2
        return calm.held()


@pytest.mark.timeout(0 if KILLS else 180)
@pytest.mark.parametrize("name", DOORS)
def test_a_storm_of_kills_loses_doubles_and_makes_up_nothing(
    name: str, warm: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seed = SystemRandom().randrange(10**6) if KILLS else 7
    print(f"seed {seed}")
    small_and_fast(monkeypatch)
    with Sandbox(customers=20, seed=3, today=TODAY) as sandbox:
        storm = Storm(name, tmp_path / "storm", sandbox, seed)
        stormy(sandbox, storm.door.system, seed)
        kills = 0
        while kills < MOST and storm.trials < 3 * MOST:
            kills += storm.trial(warm)
        assert kills == MOST
        assert min(fault.hits for fault in sandbox.faults.active) > 0, "a fault that never struck"
        assert storm.calm() <= NIGHTS
        _judge(storm, undisturbed(name, storm, tmp_path / "calm"))


def _judge(storm: Storm, calm: dict[str, dict[str, Any]]) -> None:
    held, door = storm.held(), storm.door
    assert storm.created() == sorted(f"new{number}" for number in range(NEW * storm.trials)), "lost or doubled"
    assert storm.sandbox.log.doubled(door.key) == {}
    assert len(storm.sandbox.log.needless()) <= LATE * BATCH, "written twice"
    for number, edits in storm.edited.items():
        assert {field: held[number][field] for field in edits} == edits, "people's edits are run over"
    ours = {number: _without(row, storm.edited.get(number, {})) for number, row in held.items()}
    assert ours == {number: _without(row, storm.edited.get(number, {})) for number, row in calm.items()}
    _nothing_made_up(storm)
    _told_as_done(storm, door)


def _without(row: dict[str, Any], edits: dict[str, str]) -> dict[str, Any]:
    return {field: value for field, value in row.items() if field not in edits}


def _nothing_made_up(storm: Storm) -> None:
    planned = storm.planned()
    born = {one.record_id: one.key for one in storm.world.project.ledger.operations.query("d") if one.key}
    mine = [write for write in storm.sandbox.writes if write["object"] == storm.door.kind]
    for write in mine:
        for field, value in write["after"].items():
            name = born[write["id"]] if write["action"] == "create" else write["id"]
            assert any(
                one in {name, born.get(name)} and field == place and is_same(value, wanted)
                for one, place, wanted in planned
            ), f"never planned: {write}"


def _told_as_done(storm: Storm, door: Door) -> None:
    """See that our audit log tells of every write, and of none that was not done."""
    told = {
        (one.record_id, field)
        for one in storm.world.project.ledger.operations.query("d")
        for field in one.after
        if one.outcome in DONE
    }
    done = {
        (write["id"], field)
        for write in storm.sandbox.writes
        for field in write["after"]
        if field in door.fields.values()
    }
    assert done - told == set()
