"""A source's clock that goes wrong and is set right: what changed in between is read."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from connectors.kit.errors import ReplyError
from engine.extract.run import extract
from tests.engine.extract.toy import ACCOUNTS, NOON, Counting, ExtractEnv, Sweeping, Telling, Toy

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Silent(Toy):
    """Tell no count, so that nothing else gives a gap away."""


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Callable[..., ExtractEnv]:
    def make(kind: type[Toy] = Silent, **changes: object) -> ExtractEnv:
        house = ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))
        house.world.fill(5)
        monkeypatch.setattr("engine.extract.source_rollback.ours", lambda: house.ours)
        return house

    return make


def at(house: ExtractEnv, ours: datetime, *, ahead: timedelta = timedelta(0)) -> ExtractEnv:
    """Set both clocks: the source's own may be ahead of ours."""
    house.ours, house.world.now = ours, ours + ahead
    return house


@pytest.mark.parametrize("ahead", [HOUR, 3 * HOUR, DAY, 400 * DAY])
@pytest.mark.parametrize("nights", [1, 3])
def test_what_changed_after_a_clock_was_set_right_is_read(opened, ahead, nights):
    house = opened()
    for night in range(nights):
        at(house, NOON + night * DAY, ahead=ahead).world.put(9, f"night {night}")
        assert at(house, NOON + night * DAY + HOUR / 2, ahead=ahead).read().status == "done"
    last = house.ours
    at(house, last + HOUR / 4).world.put(1, "set right")
    result = at(house, last + DAY).read()
    assert (result.status, house.held()["1"]) == ("done", "set right")
    assert result.since <= last
    assert result.notes == [f"the source's clock has gone back by {ahead}; so much was read again"]


def test_a_clock_that_goes_as_it_did_has_nothing_read_twice(opened):
    house = opened()
    at(house, NOON, ahead=3 * HOUR).read()
    result = at(house, NOON + DAY, ahead=3 * HOUR - timedelta(seconds=50)).read()
    assert result.since == NOON + 3 * HOUR - ACCOUNTS.lag - ACCOUNTS.lookback
    assert result.notes == []


@pytest.mark.parametrize("lag", [timedelta(seconds=90), timedelta(minutes=1)])
def test_a_step_of_minutes_is_one(opened, lag):
    house = opened(lag=lag, lookback=timedelta(0))
    at(house, NOON, ahead=timedelta(minutes=4)).read()
    at(house, NOON + timedelta(minutes=1)).world.put(1, "set right")
    at(house, NOON + DAY).read()
    assert house.held()["1"] == "set right"


def test_both_clocks_may_be_set_back_together(opened):
    house = opened()
    at(house, NOON + HOUR).read()
    at(house, NOON + HOUR / 6).world.put(1, "set right")
    assert at(house, NOON + HOUR / 2).read().notes
    at(house, NOON + DAY).read()
    assert house.held()["1"] == "set right"


def test_a_clock_that_is_put_forward_leaves_what_was_read(opened):
    house = opened()
    at(house, NOON).read()
    result = at(house, NOON + DAY, ahead=HOUR).read()
    assert (result.since, result.notes) == (NOON - ACCOUNTS.lag - ACCOUNTS.lookback, [])


def test_a_stream_that_was_left_out_when_the_clock_went_back_is_read_too(opened):
    house = opened()
    at(house, NOON, ahead=HOUR).read()
    at(house, NOON + HOUR / 4).world.put(1, "set right")
    assert list(extract(at(house, NOON + HOUR / 2).project, "crm", "none", streams=[])) == []
    at(house, NOON + DAY).read()
    assert house.held()["1"] == "set right"


def test_a_slice_that_was_open_when_the_clock_went_back_is_begun_anew(opened):
    house = opened()
    house.world.fill(40)

    def broken(number: int) -> None:
        if number == 3:
            raise ReplyError("broken off")

    house.world.on_page = broken
    assert at(house, NOON, ahead=DAY).read().status == "failed"
    house.world.on_page = lambda number: None
    at(house, NOON + HOUR).world.put(1, "set right")
    assert at(house, NOON + 2 * HOUR).read().status == "done"
    assert house.held() == house.truth()


def test_a_deletion_after_the_clock_was_set_right_is_known(opened):
    house = opened(Telling, deletes="feed")
    at(house, NOON, ahead=HOUR).read()
    house.world.gone.append({"id": 2, "at": (NOON + HOUR / 4).isoformat()})
    del house.world.records[2]
    at(house, NOON + DAY).read()
    assert "2" not in house.held()


def test_a_year_that_cannot_be_is_no_clock(opened):
    house = opened(Counting)
    at(house, NOON).read()
    house.world.now = datetime.fromisoformat("9999-12-01T00:00:00+00:00")
    with pytest.raises(ReplyError, match=r"crm: the source's clock says 9999-12-01 .* nothing is read by it"):
        house.read()
    at(house, NOON + HOUR).world.put(1, "later")
    result = at(house, NOON + DAY).read()
    assert (house.held()["1"], result.notes) == ("later", [])


def test_a_connection_that_could_not_be_reached_forgets_no_clock(opened, monkeypatch):
    house = opened()
    at(house, NOON, ahead=HOUR).read()
    with monkeypatch.context() as patch:
        patch.setattr(house.kind, "check", lambda self: (_ for _ in ()).throw(ReplyError("down")))
        with pytest.raises(ReplyError, match="down"):
            at(house, NOON + HOUR / 8).read()
    at(house, NOON + HOUR / 4).world.put(1, "set right")
    at(house, NOON + DAY).read()
    assert house.held()["1"] == "set right"


@pytest.mark.parametrize("odd", [timedelta(0), timedelta(minutes=1, seconds=2, microseconds=345)])
@pytest.mark.parametrize("kind", [Sweeping, Telling])
def test_what_was_taken_in_by_a_clock_that_was_ahead_is_no_newer_than_what_comes_after(opened, kind, odd):
    house = opened(kind, deletes="sweep" if kind is Sweeping else "feed")
    at(house, NOON, ahead=2 * DAY + odd).world.put(1, "by the wrong clock")
    at(house, NOON + HOUR, ahead=2 * DAY + odd).read()
    del house.world.records[2]
    at(house, NOON + 2 * HOUR).world.put(1, "by the right clock")
    house.world.gone.append({"id": 2, "at": house.world.now.isoformat()})
    assert at(house, NOON + 3 * HOUR).read().status == "done"
    assert (house.held()["1"], "2" in house.held()) == ("by the right clock", False)
    before = house.project.ledger.files.for_asset("raw/crm/accounts")
    at(house, NOON + 4 * HOUR).read()
    assert house.project.ledger.files.for_asset("raw/crm/accounts") == before
