"""Guards say what, how many, and how to let it through once."""

import pytest

from engine.config.delivery import Guards
from engine.deliver.guards import violations


def row(record: str, before: str | None, after: str | None, action: str = "update") -> dict[str, str | None]:
    return {"record_id": record, "customer_id": "C", "before": before, "after": after, "action": action}


CHANGED = [row("1", '"a"', '"b"'), row("2", '"a"', '"b"'), row("3", None, '"b"')]


def test_nothing_trips_without_a_limit():
    assert violations(CHANGED, 3, Guards(), (), "d" * 64) == []


def test_too_many_records_trip():
    assert violations(CHANGED, 3, Guards(max_changes=2), (), "d" * 64) == [
        "3 records would change, max_changes allows 2. "
        "If this is intended, let this one plan pass: belvedere apply dddddddddddd --allow max_changes"
    ]


def test_filling_what_is_empty_replaces_nothing():
    assert violations(CHANGED[2:], 100, Guards(max_change_pct=0), (), "d") == []


def test_too_large_a_share_of_what_is_held_trips():
    assert "2 of 4 values in the target (50 %)" in violations(CHANGED, 4, Guards(max_change_pct=40), (), "d")[0]


def test_emptying_trips_by_default():
    assert (
        "1 value would be emptied, max_blanks allows 0" in violations([row("1", '"a"', None)], 9, Guards(), (), "d")[0]
    )


@pytest.mark.parametrize("guard", ["max_changes", "max_change_pct"])
def test_a_guard_that_was_let_through_is_silent(guard: str):
    tight = Guards(max_changes=2, max_change_pct=40)
    messages = violations(CHANGED, 4, tight, (guard,), "d")
    assert len(messages) == 1
    assert f"--allow {guard}" not in messages[0]
    assert f"{guard} allows" not in messages[0]


def test_conflicts_are_no_changes():
    assert violations([row("1", '"a"', '"b"', "conflict")], 1, Guards(max_changes=0, max_change_pct=0), (), "d") == []
