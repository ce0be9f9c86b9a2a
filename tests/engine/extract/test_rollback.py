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
def make_env(tmp_path, monkeypatch) -> Callable[..., ExtractEnv]:
    def make(kind: type[Toy] = Silent, **changes: object) -> ExtractEnv:
        env = ExtractEnv(tmp_path, monkeypatch, kind, replace(ACCOUNTS, **changes))
        env.world.fill(5)
        monkeypatch.setattr("engine.extract.rollback.ours", lambda: env.ours)
        return env

    return make


def at(env: ExtractEnv, ours: datetime, *, ahead: timedelta = timedelta(0)) -> ExtractEnv:
    """Set both clocks: the source's own may be ahead of ours."""
    env.ours, env.world.now = ours, ours + ahead
    return env


@pytest.mark.parametrize("ahead", [HOUR, 3 * HOUR, DAY, 400 * DAY])
@pytest.mark.parametrize("nights", [1, 3])
def test_what_changed_after_a_clock_was_set_right_is_read(make_env, ahead, nights):
    env = make_env()
    for night in range(nights):
        at(env, NOON + night * DAY, ahead=ahead).world.put(9, f"night {night}")
        assert at(env, NOON + night * DAY + HOUR / 2, ahead=ahead).read().status == "done"
    last = env.ours
    at(env, last + HOUR / 4).world.put(1, "set right")
    result = at(env, last + DAY).read()
    assert (result.status, env.names()["1"]) == ("done", "set right")
    assert result.since is None
    assert result.notes[-1] == f"the source's clock has gone back by {ahead}; the stream is read again as a whole"


def test_a_clock_that_goes_as_it_did_has_nothing_read_twice(make_env):
    env = make_env()
    at(env, NOON, ahead=3 * HOUR).read()
    result = at(env, NOON + DAY, ahead=3 * HOUR - timedelta(seconds=50)).read()
    assert result.since == NOON + 3 * HOUR - ACCOUNTS.lag - ACCOUNTS.lookback
    assert result.notes == []


@pytest.mark.parametrize("lag", [timedelta(seconds=90), timedelta(minutes=1)])
def test_a_step_of_minutes_is_one(make_env, lag):
    env = make_env(lag=lag, lookback=timedelta(0))
    at(env, NOON, ahead=timedelta(minutes=4)).read()
    at(env, NOON + timedelta(minutes=1)).world.put(1, "set right")
    at(env, NOON + DAY).read()
    assert env.names()["1"] == "set right"


def test_both_clocks_may_be_set_back_together(make_env):
    env = make_env()
    at(env, NOON + HOUR).read()
    at(env, NOON + HOUR / 6).world.put(1, "set right")
    assert at(env, NOON + HOUR / 2).read().notes
    at(env, NOON + DAY).read()
    assert env.names()["1"] == "set right"


def test_a_clock_that_is_put_forward_leaves_what_was_read(make_env):
    env = make_env()
    at(env, NOON).read()
    result = at(env, NOON + DAY, ahead=HOUR).read()
    assert (result.since, result.notes) == (NOON - ACCOUNTS.lag - ACCOUNTS.lookback, [])


def test_a_stream_that_was_left_out_when_the_clock_went_back_is_read_too(make_env):
    env = make_env()
    at(env, NOON, ahead=HOUR).read()
    at(env, NOON + HOUR / 4).world.put(1, "set right")
    assert list(extract(at(env, NOON + HOUR / 2).project, "crm", "none", streams=[])) == []
    at(env, NOON + DAY).read()
    assert env.names()["1"] == "set right"


def test_a_slice_that_was_open_when_the_clock_went_back_is_begun_anew(make_env):
    env = make_env()
    env.world.fill(40)

    def broken(number: int) -> None:
        if number == 3:
            raise ReplyError("broken off")

    env.world.on_page = broken
    assert at(env, NOON, ahead=DAY).read().status == "failed"
    env.world.on_page = lambda number: None
    at(env, NOON + HOUR).world.put(1, "set right")
    assert at(env, NOON + 2 * HOUR).read().status == "done"
    assert env.names() == env.truth()


def test_a_deletion_after_the_clock_was_set_right_is_known(make_env):
    env = make_env(Telling, deletes="feed")
    at(env, NOON, ahead=HOUR).read()
    env.world.deletions.append({"id": 2, "at": (NOON + HOUR / 4).isoformat()})
    del env.world.records[2]
    at(env, NOON + DAY).read()
    assert "2" not in env.names()


def test_a_year_that_cannot_be_is_no_clock(make_env):
    env = make_env(Counting)
    at(env, NOON).read()
    env.world.now = datetime.fromisoformat("9999-12-01T00:00:00+00:00")
    with pytest.raises(ReplyError, match=r"crm: the source's clock says 9999-12-01 .* nothing is read by it"):
        env.read()
    at(env, NOON + HOUR).world.put(1, "later")
    result = at(env, NOON + DAY).read()
    assert (env.names()["1"], result.notes) == ("later", [])


def test_a_connection_that_could_not_be_reached_forgets_no_clock(make_env, monkeypatch):
    env = make_env()
    at(env, NOON, ahead=HOUR).read()
    with monkeypatch.context() as patch:
        patch.setattr(env.kind, "check", lambda self: (_ for _ in ()).throw(ReplyError("down")))
        with pytest.raises(ReplyError, match="down"):
            at(env, NOON + HOUR / 8).read()
    at(env, NOON + HOUR / 4).world.put(1, "set right")
    at(env, NOON + DAY).read()
    assert env.names()["1"] == "set right"


@pytest.mark.parametrize("odd", [timedelta(0), timedelta(minutes=1, seconds=2, microseconds=345)])
@pytest.mark.parametrize("kind", [Sweeping, Telling])
def test_what_was_taken_in_by_a_clock_that_was_ahead_is_no_newer_than_what_comes_after(make_env, kind, odd):
    env = make_env(kind, deletes="sweep" if kind is Sweeping else "feed")
    at(env, NOON, ahead=2 * DAY + odd).world.put(1, "by the wrong clock")
    at(env, NOON + HOUR, ahead=2 * DAY + odd).read()
    del env.world.records[2]
    at(env, NOON + 2 * HOUR).world.put(1, "by the right clock")
    env.world.deletions.append({"id": 2, "at": env.world.now.isoformat()})
    assert at(env, NOON + 3 * HOUR).read().status == "done"
    assert (env.names()["1"], "2" in env.names()) == ("by the right clock", False)
    before = env.project.ledger.files.for_asset("raw/crm/accounts")
    at(env, NOON + 4 * HOUR).read()
    assert env.project.ledger.files.for_asset("raw/crm/accounts") == before
