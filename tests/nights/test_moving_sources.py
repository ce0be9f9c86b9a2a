"""Sources that move while they are read, tell late, or stamp more records alike than a page or a cap holds."""

import pytest

from connectors.hubspot.connector import HubSpot
from tests.nights.seen import read, seen
from tests.nights.unhurried import small
from tests.nights.worlds import SYSTEMS, StreamCase

DAY = 86_400


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("system", SYSTEMS)
def test_edits_while_a_client_pages_are_not_lost(settled_sandbox, tmp_path, system, after, is_first):
    """Edit in front of the place that is being read, behind it and at it; create one, delete two."""
    one = StreamCase(settled_sandbox, system, tmp_path)
    if not is_first:
        one.read("first")
        settled_sandbox.clock.advance(DAY)
        settled_sandbox.bulk(system, one.pressed.kind, one.numbers, dict(one.pressed.edit))
        settled_sandbox.clock.advance(3600)

    def meanwhile() -> None:
        known = one.numbers
        for place in (0, len(known) // 2, -1):
            settled_sandbox.edit(system, one.pressed.kind, known[place], dict.fromkeys(one.pressed.edit, f"{place}"))
        one.create()
        one.delete(known[1])
        one.delete(known[-2])

    hook = settled_sandbox.when(one.pressed.pages, after=after, do=meanwhile)
    assert one.read("during").status == "done"
    assert hook.done
    settled_sandbox.clock.advance(3600)
    one.read("after")
    assert one.apart() == []


@pytest.mark.parametrize(
    ("system", "seconds"),
    [("hubspot", 5), ("hubspot", 59), ("hubspot", 655), ("odoo", 5), ("odoo", 59), ("odoo", 655), ("zendesk", 59)],
)
def test_late_rows_within_what_is_declared_come_the_next_night(settled_sandbox, tmp_path, system, seconds):
    """Declared are a lag of a minute (Zendesk: 90 s), and a lookback of ten more (Zendesk: none)."""
    one = StreamCase(settled_sandbox, system, tmp_path)
    one.read("first")
    settled_sandbox.clock.advance(1)
    changed = one.numbers[2]
    settled_sandbox.late(system, one.pressed.kind, dict(one.pressed.edit), seconds, changed)
    number = settled_sandbox.late(system, one.pressed.kind, dict(one.pressed.born), seconds)
    settled_sandbox.clock.advance(DAY)
    one.read("second")
    assert {str(number), str(changed)} <= one.held()
    assert one.apart() == []


def test_a_row_that_comes_later_than_declared_is_found_by_a_full_reading(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "odoo", tmp_path)
    one.read("first")
    number = settled_sandbox.late("odoo", "account.move", dict(one.pressed.born), 7200)
    settled_sandbox.clock.advance(DAY)
    one.read("second")
    assert str(number) not in one.held()
    one.read("full", full=True)
    assert one.apart() == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_more_equal_stamps_than_a_page_and_a_cap_are_all_read(settled_sandbox, tmp_path, system):
    settled_sandbox.hubspot.search_cap = 60
    one = StreamCase(settled_sandbox, system, tmp_path)
    for _ in range(70):
        one.create()
    settled_sandbox.clock.advance(3600)
    one.read("first")
    settled_sandbox.clock.advance(3600)
    everyone = one.numbers
    settled_sandbox.bulk(system, one.pressed.kind, everyone, dict(one.pressed.edit))
    settled_sandbox.clock.advance(3600)
    result = one.read("second")
    assert (result.status, result.changed) == ("done", len(everyone))
    assert len(everyone) > 61
    assert one.apart() == []


def test_ten_thousand_and_one_equal_stamps_pass_hubspots_cap(settled_sandbox, tmp_path, monkeypatch):
    for page, size in (("list_page_size", 100), ("search_page_size", 200)):
        monkeypatch.setattr(HubSpot, page, size)
    project = small(tmp_path)
    read(project, "hubspot", "first", streams=["contacts"])
    settled_sandbox.clock.advance(3600)
    made = {settled_sandbox.create("hubspot", "contacts", {"lastname": "Imported"}) for _ in range(10_001)}
    settled_sandbox.clock.advance(3600)
    result = read(project, "hubspot", "second", streams=["contacts"])["contacts"]
    assert (result.status, result.new) == ("done", 10_001)
    assert made <= seen(project, "hubspot", ["contacts"])["contacts"].keys()
