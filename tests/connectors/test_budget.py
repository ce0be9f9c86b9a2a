"""How often an account may be asked."""

from concurrent.futures import ThreadPoolExecutor

from connectors.kit.budget import Budget, Limit


def budget(time, *limits: Limit) -> Budget:
    return Budget(limits, time.now, time.wait)


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
