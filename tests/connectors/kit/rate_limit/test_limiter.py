"""How often an account may be asked."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import msgspec
import pytest

from connectors.kit.errors import BusyError
from connectors.kit.rate_limit.limiter import Budget, Limit, RateHeader

DAY = 86_400
NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)
LEFT = RateHeader("X-Left", 10, "X-Most")


def budget(time, *limits: Limit, **options) -> Budget:
    return Budget(limits, time.now, time.wait, now=lambda: NOON, name="crm", **options)


def test_spends_freely_inside_a_window(time):
    tight = budget(time, Limit(3, 10))
    for _ in range(3):
        tight.spend()
    assert time.waits == []


def test_waits_until_the_oldest_request_leaves_the_window(time):
    tight = budget(time, Limit(2, 10))
    tight.spend()
    time.at += 4
    tight.spend()
    tight.spend()
    assert time.waits == [6.0]
    tight.spend()
    assert time.waits == [6.0, 4.0]


def test_the_tightest_of_several_windows_holds(time):
    tight = budget(time, Limit(1, 1), Limit(3, 60))
    for _ in range(4):
        tight.spend()
    assert time.waits == [1.0, 1.0, 58.0]


def test_never_more_in_any_window_whatever_the_order(time):
    tight, sent = budget(time, Limit(5, 2)), []
    for step in range(60):
        time.at += (step * 7 % 11) / 20
        tight.spend()
        sent.append(time.at)
    assert all(later - earlier >= 2 - 1e-9 for earlier, later in zip(sent, sent[5:], strict=False))


def test_holds_everybody_for_as_long_as_the_source_asked(time):
    free = budget(time)
    free.hold(7)
    free.hold(3)
    free.spend()
    assert time.waits == [7.0]


def test_threads_share_one_budget():
    now = [0.0]
    shared = Budget((Limit(10, 100),), lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shared.spend(), range(20)))
    assert now[0] >= 100


def test_a_scope_counts_only_what_is_sent_with_it(time):
    tight = budget(time, Limit(100, 10), Limit(1, 10, "search"))
    for _ in range(3):
        tight.spend()
    tight.spend("search")
    assert time.waits == []
    tight.spend("search")
    assert time.waits == [10.0]


def test_a_scoped_request_counts_as_a_request_too(time):
    tight = budget(time, Limit(2, 10), Limit(5, 10, "search"))
    for _ in range(3):
        tight.spend("search")
    assert time.waits == [10.0]


def test_reads_leave_the_reserve_to_writes(time):
    tight = budget(time, Limit(10, 10, reserve=0.2))
    for _ in range(8):
        tight.spend()
    for _ in range(2):
        tight.spend(writes=True)
    assert time.waits == []
    tight.spend(writes=True)
    assert time.waits == [10.0]


def test_a_wait_beyond_reason_is_told_at_once_with_its_end_and_its_cause(time):
    tight = budget(time, Limit(250_000, DAY, reserve=0.1), rates=(RateHeader("X-Left", DAY),))
    tight.update_from_headers({"X-Left": "25000"})
    time.at += DAY - 54_600
    said = "crm: the day's quota for reads is used up: 225,000 of 250,000, the rest is kept for write-back"
    with pytest.raises(BusyError) as raised:
        tight.spend()
    assert str(raised.value) == f"{said}; goes on at 03:10 UTC on 2026-10-21"
    assert time.waits == []
    tight.spend(writes=True)


@pytest.mark.parametrize(
    ("limit", "scope", "said"),
    [
        (Limit(1, DAY), None, "the day's quota for requests is used up: 1 of 1; goes on at 12:00 UTC on 2026-10-21"),
        (
            Limit(1, 3600, "search"),
            "search",
            "the hour's quota for search requests is used up: 1 of 1; goes on at 13:0",
        ),
        (Limit(1, 300), None, "the quota of 300 s for requests is used up: 1 of 1; goes on at 12:05 UTC"),
    ],
)
def test_the_quota_that_is_used_up_is_named(time, limit, scope, said):
    tight = budget(time, limit)
    tight.spend(scope)
    with pytest.raises(BusyError, match=said):
        tight.spend(scope)


def test_a_long_hold_lets_nothing_through_before_its_end(time):
    free = budget(time)
    free.hold(3600, "too many requests")
    for _ in range(3):
        with pytest.raises(BusyError, match="crm: too many requests; goes on at 1[23]:"):
            free.spend()
        time.at += 1000
    time.at += 500
    free.spend()
    assert time.waits == [100.0]


def test_no_source_can_hold_us_for_ever(time):
    free = budget(time)
    free.hold(float("inf"))
    time.at += DAY
    free.spend()
    assert time.waits == []


def test_a_day_of_a_million_requests_stays_small(time):
    tight = budget(time, Limit(10**6, DAY))
    for _ in range(20_000):
        time.at += 4.3
        tight.spend()
    with tight._account.opened() as use:
        assert len(use.window(f"/{DAY}").buckets) <= 101
        assert use.window(f"/{DAY}").used(time.at, DAY) == 20_000
        assert len(msgspec.json.encode(use)) < 10_000


def test_what_others_used_is_charged_when_the_vendor_tells(time):
    tight = budget(time, Limit(100, 10), rates=(LEFT,))
    tight.spend()
    tight.update_from_headers({"X-Left": "3", "X-Most": "100"})
    for _ in range(3):
        tight.spend()
    assert time.waits == []
    tight.spend()
    assert time.waits == [10.0]


def test_a_vendor_that_says_that_more_remain_changes_nothing(time):
    tight = budget(time, Limit(2, 10), rates=(LEFT,))
    tight.spend()
    tight.update_from_headers({"X-Left": "99", "X-Most": "100"})
    tight.spend()
    tight.spend()
    assert time.waits == [10.0]


def test_the_lower_of_our_limit_and_the_vendors_counts(time):
    tight = budget(time, Limit(190, 10), rates=(LEFT,))
    tight.spend()
    tight.update_from_headers({"X-Left": "1", "X-Most": "2"})
    tight.spend()
    tight.spend()
    assert time.waits == [10.0]


def test_a_header_alone_makes_a_limit(time):
    tight = budget(time, rates=(RateHeader("X-Left", 60),))
    for _ in range(1000):
        tight.spend()
    tight.update_from_headers({"X-Left": "0"})
    tight.spend()
    assert time.waits == [60.0]


@pytest.mark.parametrize("headers", [{}, {"X-Left": "many"}, {"X-Left": "-5"}, {"X-Left": ""}, {"X-Most": "5"}])
def test_an_unreadable_header_is_none(time, headers):
    tight = budget(time, Limit(100, 10), rates=(LEFT,))
    tight.update_from_headers(headers)
    for _ in range(100):
        tight.spend()
    assert time.waits == []


@pytest.mark.parametrize("wrong", [(0, 1, None, 0), (1, 0, None, 0), (1, 1, None, 1.0), (1, 1, None, -0.1)])
def test_a_limit_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="no limit"):
        Limit(*wrong)


def test_no_more_are_under_way_than_there_are_places():
    tight, under_way, most = Budget(places=2), [], []

    def ask(_: int) -> None:
        with tight.spent():
            under_way.append(1)
            most.append(len(under_way))
            under_way.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(200)))
    assert max(most) <= 2
