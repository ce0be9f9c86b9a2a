"""A budget that all processes of a machine share."""

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from connectors.kit.errors import BusyError, SettingsError
from connectors.kit.rate_limit.limiter import Budget, Limit, RateHeader
from connectors.kit.rate_limit.usage_store import PIECE, FileUsageStore, ticks

LIMITS = (Limit(2, 10),)
WALL = 1_800_000_000.0


@dataclass
class Machine:
    """A machine whose processes share a folder: its running clock, its wall clock, and when it was started."""

    folder: Path
    time: object
    wall: float = WALL
    boot: str = "first"

    def budget(self, *limits: Limit, **options) -> Budget:
        """Open the budget as one more process."""
        at = lambda: datetime.fromtimestamp(self.wall, UTC)  # noqa: E731
        made = Budget(limits or LIMITS, self.time.now, self.time.wait, now=at, name="crm", **options)
        made.share(self.folder, "account")
        made._account._boot = self.boot
        return made

    def restart(self, down: float = 0.0) -> None:
        self.time.at, self.boot, self.wall = 5.0, f"{self.boot} again", self.wall + down

    @property
    def file(self) -> Path:
        return self.folder / "account.json"


@pytest.fixture
def machine(tmp_path, time) -> Machine:
    return Machine(tmp_path / "home" / "budgets", time)


def test_one_process_waits_for_what_another_has_sent(machine, time):
    first, second = machine.budget(), machine.budget()
    first.spend()
    time.at += 4
    second.spend()
    first.spend()
    assert time.waits == [6.0]


def test_a_later_run_goes_on_with_the_budget_of_the_one_before(machine, time):
    for _ in range(2):
        machine.budget().spend()
    machine.budget().spend()
    assert time.waits == [10.0]


def test_a_hold_holds_every_process(machine, time):
    machine.budget().hold(7, "the source asks to wait 7 s")
    machine.budget().spend()
    assert time.waits == [7.0]
    machine.budget().hold(3600, "the source asks to wait 3600 s")
    with pytest.raises(BusyError, match="crm: the source asks to wait 3600 s; goes on at"):
        machine.budget().spend()


def test_what_the_vendor_said_to_one_process_counts_for_all(machine, time):
    rates = (RateHeader("X-Left", 60),)
    first, second = (machine.budget(Limit(100, 60), rates=rates) for _ in range(2))
    first.spend()
    first.update_from_headers({"X-Left": "0"})
    second.spend()
    assert time.waits == [60.0]


def test_only_its_owner_may_read_it(machine):
    machine.budget(places=1).spend()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [machine.folder, *machine.folder.iterdir()]}
    assert modes == {"budgets": 0o700, "account.json": 0o600, "account.place0": 0o600}


@pytest.mark.parametrize("shift", [-86_400, -30, 86_400])
def test_a_wall_clock_that_was_set_changes_nothing(machine, time, shift):
    for _ in range(2):
        machine.budget().spend()
    machine.wall += shift
    machine.budget().spend()
    assert time.waits == [10.0]


def test_a_machine_started_anew_counts_the_time_that_it_was_off(machine, time):
    for _ in range(2):
        machine.budget().spend()
    machine.restart(down=4)
    machine.budget().spend()
    assert time.waits == [6.0]


def test_a_clock_set_back_while_the_machine_was_off_waits_once_and_not_for_ever(machine, time):
    for _ in range(2):
        machine.budget().spend()
    machine.restart(down=-86_400)
    for _ in range(3):
        machine.budget().spend()
    assert time.waits == [10.0, 10.0]


def test_a_running_clock_that_went_back_is_taken_for_a_new_start(machine, time):
    for _ in range(2):
        machine.budget().spend()
    time.at -= 500
    machine.budget().spend()
    assert time.waits == [10.0]


@pytest.mark.parametrize("spoil", [lambda text: text[: len(text) // 2], lambda _: b"\xff\x00", lambda _: b'{"at":"x"}'])
def test_a_torn_file_is_taken_as_full(machine, time, spoil):
    machine.budget(*LIMITS, Limit(1000, 86_400)).spend()
    machine.file.write_bytes(spoil(machine.file.read_bytes()))
    for _ in range(3):
        machine.budget(*LIMITS, Limit(1000, 86_400)).spend()
    assert time.waits == [10.0, 10.0]


def test_a_shorter_text_leaves_nothing_of_a_longer_one(machine, time):
    machine.budget(Limit(10**6, 10), Limit(10**6, 20)).spend()
    long = machine.file.stat().st_size
    time.at += 30
    machine.budget(Limit(10**6, 10)).hold(0.001, "x")
    machine.budget(Limit(10**6, 10)).spend()
    assert machine.file.stat().st_size != long
    assert time.waits == [0.001]


def test_a_hold_of_another_process_counts_in_the_midst_of_ours(machine, time):
    ours = machine.budget(Limit(100, 10))
    for seconds in (7, 3):
        ours.spend()
        ours.spend()
        machine.budget().hold(seconds, "the source asks to wait")
    ours.spend()
    assert time.waits == [7.0, 3.0]


def test_a_long_file_is_read_whole(machine, time):
    machine.budget().hold(7, "the source asks to wait, and says why at length " * 1_000)
    assert machine.file.stat().st_size > 2 * PIECE
    machine.budget().spend()
    assert time.waits == [7.0]


def test_what_was_changed_before_an_error_was_never_so(machine, time):
    ours = machine.budget(Limit(100, 10))
    ours.spend()
    with pytest.raises(ZeroDivisionError), ours._account.opened() as use:
        use.held_until = use.at + 60
        raise ZeroDivisionError
    ours.spend()
    assert time.waits == []


def test_a_place_is_taken_once_and_given_back(tmp_path, time):
    first, second = (FileUsageStore(tmp_path / "account.json", time.now, 1) for _ in range(2))
    with first.request_slot() as is_mine:
        assert is_mine
        with second.request_slot() as is_theirs:
            assert not is_theirs
    with second.request_slot() as is_theirs:
        assert is_theirs


def test_waits_while_all_places_are_taken(machine, time):
    held = FileUsageStore(machine.file, time.now, 1).request_slot()  # another process
    held.__enter__()

    def wait(seconds: float) -> None:
        time.waits.append(seconds)
        held.__exit__(None, None, None)

    waiting = Budget((), time.now, wait, places=1)
    waiting.share(machine.folder, "account")
    waiting.spend()
    assert time.waits == [0.02]


def test_a_folder_that_cannot_be_written_is_named(machine):
    budget = machine.budget()
    machine.folder.parent.mkdir()
    machine.folder.write_text("")
    with pytest.raises(SettingsError, match="a budget cannot be kept in"):
        budget.spend()


def _worker(folder: str, count: int, sent) -> None:
    """Spend, and tell the times at which each request was charged: the last look at the clock under the lock."""
    looks = [0.0]

    def clock() -> float:
        looks[0] = ticks()
        return looks[0]

    budget = Budget((Limit(20, 0.5),), clock)
    budget.share(Path(folder), "account")
    times = []
    for _ in range(count):
        budget.spend()
        times.append(looks[0])
    sent.put(times)


def test_processes_never_send_more_in_any_window_than_the_account_allows(tmp_path):
    context = get_context("spawn")
    sent = context.SimpleQueue()
    workers = [context.Process(target=_worker, args=(str(tmp_path), 20, sent)) for _ in range(3)]
    for worker in workers:
        worker.start()
    times = sorted(at for _ in workers for at in sent.get())
    for worker in workers:
        worker.join()
    assert len(times) == 60
    assert all(later - earlier >= 0.5 - 1e-6 for earlier, later in zip(times, times[20:], strict=False))
    assert times[-1] - times[0] >= 1.0
