"""Desired minus held, field by field."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from transforms.delivery.field_diff import (
    CurrentRecord,
    Decision,
    Rule,
    SyncedValue,
    SyncHistory,
    Wanted,
    agreements,
    changes,
)
from transforms.delivery.value_equality import is_same, plain

MAY, JUNE = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
PLACE = ("1", "f")


def differences(before: Any, after: Any, past: SyncHistory | None = None, **rule: Any) -> list[tuple[Any, ...]]:
    rows = changes([Wanted("1", "C1", {"f": after})], {"1": CurrentRecord({"f": before})}, [Rule("f", **rule)], past)
    return [(row["action"], row["before"], row["after"]) for row in rows]


def agreed(ours: Any, stored: Any) -> SyncHistory:
    return SyncHistory({PLACE: SyncedValue(ours, stored)})


def decided(verdict: str, wanted: Any, stored: Any = None) -> SyncHistory:
    return SyncHistory(decided={PLACE: [Decision(wanted, verdict, "Ann", stored)]})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("71.30", 71.3),
        (None, ""),
        ("", None),
        (5, Decimal("5.00")),
        ("A", "A"),
        (None, float("nan")),
        (True, True),
        (date(2026, 3, 1), "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T00:00:00.000Z", date(2026, 3, 1)),
    ],
)
def test_the_same_in_another_form_is_the_same(before: object, after: object):
    assert is_same(before, after)
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [("A", "B"), (None, 0.5), ("1", "2"), ("x", None), ("01067", "1067"), (date(2026, 3, 1), "2026-03-01T08:00:00Z")],
)
def test_what_differs_differs(before: object, after: object):
    assert not is_same(before, after)


def test_a_number_within_the_tolerance_is_not_rewritten():
    assert differences("71.2", 71.6, tolerance=0.5) == []
    assert differences("71.2", 71.8, tolerance=0.5) == [("update", '"71.2"', "71.8")]


def test_a_number_goes_along_with_its_band():
    rules = [Rule("score", tolerance=0.5, along="band"), Rule("band")]
    stored = {"1": CurrentRecord({"score": 60.2, "band": "B"})}
    unchanged, moved = (
        [row["field"] for row in changes([Wanted("1", "C1", {"score": 59.9, "band": band})], stored, rules)]
        for band in ("B", "C")
    )
    assert unchanged == []
    assert moved == ["band", "score"]


def test_what_is_ours_is_overwritten():
    assert differences("theirs", "ours") == [("update", '"theirs"', '"ours"')]


def test_what_is_empty_is_filled_and_what_is_not_stays():
    assert differences(None, "ours", policy="fill_empty") == [("update", None, '"ours"')]
    assert differences("theirs", "ours", policy="fill_empty") == [("conflict", '"theirs"', '"ours"')]


def test_a_change_of_the_owner_flows_where_nobody_else_changed_it():
    owner = {"policy": "owner", "on_conflict": "ask"}
    assert differences("old", "new", agreed("old", "old"), **owner) == [("update", '"old"', '"new"')]
    assert differences("edited", "new", agreed("old", "old"), **owner) == [("ask", '"edited"', '"new"')]
    assert differences("edited", "old", agreed("old", "old"), **owner) == [("ask", '"edited"', '"old"')]
    assert differences(None, "new", agreed("old", "old"), **owner) == [("ask", None, '"new"')]  # somebody emptied it
    assert differences(None, "new", **owner) == [("update", None, '"new"')]
    assert differences("there before us", "new", **owner) == [("ask", '"there before us"', '"new"')]


@pytest.mark.parametrize(
    ("how", "action"), [("keep_target", "conflict"), ("keep_ours", "update"), ("ask", "ask"), ("newest", "ask")]
)
def test_a_conflict_ends_as_it_was_configured(how: str, action: str):
    assert differences("theirs", "ours", policy="owner", on_conflict=how)[0][0] == action


@pytest.mark.parametrize(("ours", "theirs", "action"), [(JUNE, MAY, "update"), (MAY, JUNE, "conflict")])
def test_the_newest_change_wins_where_both_are_known(ours: datetime, theirs: datetime, action: str):
    want = Wanted("1", "C1", {"f": "ours"}, changed={"f": ours})
    rule = Rule("f", policy="owner", on_conflict="newest")
    assert [row["action"] for row in changes([want], {"1": CurrentRecord({"f": "theirs"}, theirs)}, [rule])] == [action]


def test_a_form_of_the_targets_own_is_no_difference():
    phone = agreed("030 123", "+4930123")
    assert differences("+4930123", "030 123", phone) == []
    assert differences("+4930123", "030 124", phone) == [("update", '"+4930123"', '"030 124"')]
    assert differences("0815", "030 123", phone) == [("update", '"0815"', '"030 123"')]


def test_a_decision_holds_for_the_values_it_was_made_about():
    owner = {"policy": "owner", "on_conflict": "ask"}
    assert differences("a", "b", decided("keep_ours", "b", "a"), **owner) == [("update", '"a"', '"b"')]
    assert differences("a", "b", decided("keep_target", "b", "a"), **owner) == []
    assert differences("a", "c", decided("keep_target", "b", "a"), **owner) == [("ask", '"a"', '"c"')]
    assert differences("z", "b", decided("keep_target", "b", "a"), **owner) == [("ask", '"z"', '"b"')]


def test_what_was_taken_back_is_not_written_again_until_something_else_is_wanted():
    undone = decided("keep_target", "b")
    assert differences("a", "b", undone) == []
    assert differences("z", "b", undone) == []
    assert differences("a", "c", undone) == [("update", '"a"', '"c"')]


def test_the_newest_decision_counts():
    past = SyncHistory(decided={PLACE: [Decision("b", "keep_ours", "Ben"), Decision("b", "keep_target", "Ann")]})
    assert differences("a", "b", past, policy="owner") == [("update", '"a"', '"b"')]


def test_what_is_given_to_new_records_is_never_touched_after():
    assert differences("theirs", "ours", only_new=True) == []


def test_absent_says_nothing_and_emptying_is_explicit():
    assert differences("x", None) == []
    assert differences("x", None, clears=True) == [("update", '"x"', None)]


def test_a_record_that_is_gone_is_listed_and_not_written():
    rows = list(changes([Wanted("1", "C1", {"f": 1})], {}, [Rule("f")]))
    assert [(row["action"], row["reason"]) for row in rows] == [
        ("conflict", "the record no longer exists in the target")
    ]


def test_a_new_record_gets_all_that_is_known_of_it():
    want = Wanted(None, "C1", {"f": 1, "g": None, "key": "C1"}, key="C1")
    rows = changes([want], {}, [Rule("key"), Rule("f"), Rule("g", clears=True)])
    assert [(row["action"], row["record_id"], row["key"], row["field"], row["after"]) for row in rows] == [
        ("create", None, "C1", "key", '"C1"'),
        ("create", None, "C1", "f", "1"),
    ]


def test_what_both_sides_have_is_agreed_once():
    wanted, rules = [Wanted("1", "C1", {"f": "a", "g": "b"})], [Rule("f", policy="owner"), Rule("g")]
    result = list(agreements(wanted, {"1": CurrentRecord({"f": "a", "g": "b"})}, rules, SyncHistory()))
    assert result == [("1", "f", SyncedValue("a", "a"))]
    assert not [*agreements(wanted, {"1": CurrentRecord({"f": "a"})}, rules, agreed("a", "a"))]
    assert not [*agreements(wanted, {"1": CurrentRecord({"f": "other"})}, rules, SyncHistory())]


def test_nan_never_leaves():
    assert plain(float("nan")) is None
    assert plain(float("inf")) is None


def test_the_order_does_not_depend_on_arrival():
    wanted = [Wanted(str(number), f"C{number}", {"f": number}) for number in range(5)]
    stored = {str(number): CurrentRecord({"f": None}) for number in range(5)}
    assert list(changes(wanted, stored, [Rule("f")])) == list(changes(wanted[::-1], stored, [Rule("f")]))
