"""Desired minus held, field by field."""

from decimal import Decimal

import pytest

from transforms.changes import Rule, Wanted, changes, is_same, plain


def differences(
    before: object, after: object, policy: str = "overwrite", tolerance: float = 0.0
) -> list[tuple[object, ...]]:
    rows = changes([Wanted("1", "C1", {"f": after})], {"1": {"f": before}}, [Rule("f", policy, tolerance)])
    return [(row["action"], row["before"], row["after"]) for row in rows]


@pytest.mark.parametrize(
    ("before", "after"),
    [("71.30", 71.3), (None, ""), ("", None), (5, Decimal("5.00")), ("A", "A"), (None, float("nan")), (True, True)],
)
def test_the_same_in_another_form_is_the_same(before: object, after: object):
    assert is_same(before, after)
    assert differences(before, after) == []


@pytest.mark.parametrize(("before", "after"), [("A", "B"), (None, 0.5), ("1", "2"), ("x", None)])
def test_what_differs_differs(before: object, after: object):
    assert not is_same(before, after)


def test_a_number_within_the_tolerance_is_not_rewritten():
    assert differences("71.2", 71.6, tolerance=0.5) == []
    assert differences("71.2", 71.8, tolerance=0.5) == [("update", '"71.2"', "71.8")]


def test_policies_decide_who_wins():
    assert differences("theirs", "ours") == [("update", '"theirs"', '"ours"')]
    assert differences("theirs", "ours", "fill_empty")[0][0] == "conflict"
    assert differences("theirs", "ours", "owner")[0][0] == "conflict"
    assert differences(None, "ours", "fill_empty") == [("update", None, '"ours"')]


def test_a_record_that_is_gone_is_listed_and_not_written():
    rows = list(changes([Wanted("1", "C1", {"f": 1})], {}, [Rule("f")]))
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("conflict", "the target holds no such record any more")
    ]


def test_emptying_is_explicit():
    assert differences("x", None) == [("update", '"x"', None)]


def test_nan_never_leaves():
    assert plain(float("nan")) is None
    assert plain(float("inf")) is None


def test_the_order_does_not_depend_on_arrival():
    wanted = [Wanted(str(number), f"C{number}", {"f": number}) for number in range(5)]
    held = {str(number): {"f": None} for number in range(5)}
    assert list(changes(wanted, held, [Rule("f")])) == list(changes(wanted[::-1], held, [Rule("f")]))
