"""Outages that look like success: a source that answers 200 and no records, where there are some."""

import pytest

from connectors.kit.errors import ConnectorError
from tests.nights.seen import read
from tests.nights.unhurried import small
from tests.nights.worlds import SYSTEMS, StreamCase

DAY = 86_400


def night(one: StreamCase, run: str) -> str | None:
    """Read once; tells what was wrong."""
    try:
        return one.read(run).error
    except ConnectorError as error:
        return str(error)


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_empty_answer_deletes_nothing(small_sandbox, tmp_path, system):
    one = StreamCase(small_sandbox, system, tmp_path)
    one.read("first")
    before = one.held()
    small_sandbox.clock.advance(DAY)
    small_sandbox.faults.add(f"/{system}", "empty")
    said = night(one, "second")
    assert one.held() == before
    assert "answered no record at all" in said
    small_sandbox.faults.clear()
    assert one.read("third").status == "done"
    assert one.apart() == []


@pytest.mark.parametrize(
    ("system", "stream", "place"),
    [
        ("hubspot", "deals", "/hubspot/crm/v3/objects/deals"),
        ("odoo", "invoices", "/odoo/jsonrpc/account.move"),
        ("odoo", "owners", "/odoo/jsonrpc/res.users/search"),
        ("zendesk", "owners", "/zendesk/api/v2/users.json"),
    ],
)
def test_a_blocked_stream_says_why_and_stops_no_other(small_sandbox, tmp_path, system, stream, place):
    project = small(tmp_path)
    asked = {"streams": [stream, "accounts"]}
    read(project, system, "first", **asked)
    small_sandbox.clock.advance(DAY)
    small_sandbox.faults.add(place, "empty")
    results = read(project, system, "second", **asked)
    assert {name: result.status for name, result in results.items()} == {stream: "blocked", "accounts": "done"}
    assert results[stream].error == (
        f"{system} {stream}: the source answered no record at all, where there were some before; nothing is deleted"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_changes_on_the_day_of_an_outage_comes_the_night_after(small_sandbox, tmp_path, system):
    one = StreamCase(small_sandbox, system, tmp_path)
    one.read("first")
    small_sandbox.clock.advance(DAY - 3600)
    one.edit(one.numbers[3])
    small_sandbox.clock.advance(3600)
    small_sandbox.faults.add(f"/{system}", "empty")
    night(one, "second")
    small_sandbox.faults.clear()
    small_sandbox.clock.advance(DAY)
    one.read("third")
    assert one.apart() == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_outage_on_the_very_first_night_is_made_good_or_told(small_sandbox, tmp_path, system):
    one = StreamCase(small_sandbox, system, tmp_path)
    small_sandbox.faults.add(one.pressed.pages, "empty")
    if system == "odoo":
        small_sandbox.faults.add(f"{one.pressed.place}/search_count", "empty")
    night(one, "first")
    small_sandbox.faults.clear()
    small_sandbox.clock.advance(DAY)
    assert one.read("second").error or one.apart() == []
