"""Histories told by name: what becomes of records that are deleted, merged, moved or hidden at their source."""

from collections.abc import Iterator

import pytest

from engine.build.compare_full_read import reconcile
from sandbox.server import Sandbox
from tests.conftest import TODAY
from tests.nights.seen import differences, read, seen, without_absorbed
from tests.nights.unhurried import small, unhurried
from tests.nights.worlds import StreamCase, alive, fresh

DAY = 86_400


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a small sandbox of its own for each test."""
    unhurried(monkeypatch)
    with Sandbox(customers=12, seed=5, today=TODAY) as running:
        running.clock.stop()
        running.clock.advance(7200)
        monkeypatch.setenv("SANDBOX_URL", running.url)
        yield running


@pytest.mark.parametrize("system", ["hubspot", "odoo", "zendesk"])
def test_what_is_deleted_is_gone_the_night_after(own, tmp_path, system):
    one = StreamCase(own, system, tmp_path)
    one.read("first")
    number = one.numbers[1]
    own.clock.advance(DAY)
    one.delete(number)
    own.clock.advance(600)
    result = one.read("second")
    assert (result.status, result.deleted) == ("done", 1)
    assert str(number) not in one.held()
    assert one.apart() == []


@pytest.mark.parametrize("system", ["hubspot", "odoo", "zendesk"])
def test_what_was_never_read_before_it_was_deleted_does_no_harm(own, tmp_path, system):
    one = StreamCase(own, system, tmp_path)
    one.read("first")
    own.clock.advance(DAY)
    one.delete(one.create())
    own.clock.advance(600)
    assert one.read("second").status == "done"
    assert one.apart() == []


def test_a_merged_company_redirects_and_is_no_deletion(own, tmp_path):
    project, asked = small(tmp_path / "home"), ["accounts"]
    read(project, "hubspot", "first", streams=asked)
    winner, loser = alive(own, "hubspot", "companies")[:2]
    own.clock.advance(DAY)
    own.merge("hubspot", "companies", winner, loser)
    own.clock.advance(600)
    result = read(project, "hubspot", "second", streams=asked)["accounts"]
    assert (result.status, result.deleted) == ("done", 0)
    held = seen(project, "hubspot", asked)
    assert held["accounts"][winner]["properties.hs_merged_object_ids"].split(";")[-1] == loser
    assert differences(without_absorbed(project, "hubspot", held), fresh(tmp_path / "fresh", "hubspot", asked)) == []


@pytest.mark.parametrize("nights", [0, 1, 2])
def test_a_winner_that_is_deleted_takes_along_what_was_merged_into_it(own, tmp_path, nights):
    one = StreamCase(own, "hubspot", tmp_path)
    one.read("first")
    winner, loser, further = one.numbers[:3]
    own.clock.advance(DAY)
    own.merge("hubspot", "deals", winner, loser)
    own.merge("hubspot", "deals", further, winner) if nights == 2 else None
    for night in range(nights):
        own.clock.advance(DAY)
        one.read(f"merged{night}")
    own.delete("hubspot", "deals", further if nights == 2 else winner)
    own.clock.advance(600)
    one.read("last")
    assert one.apart() == []
    (proof,) = reconcile(one.project, "hubspot", "proof", streams=["deals"])
    assert proof.is_equal


def test_a_merged_deal_counts_once(own, tmp_path):
    one = StreamCase(own, "hubspot", tmp_path)
    one.read("first")
    winner, loser = one.numbers[:2]
    own.clock.advance(DAY)
    own.merge("hubspot", "deals", winner, loser)
    own.clock.advance(600)
    one.read("second")
    assert one.apart() == []


def test_a_merged_ticket_is_closed(own, tmp_path):
    one = StreamCase(own, "zendesk", tmp_path)
    one.read("first")
    winner, loser = one.numbers[:2]
    own.clock.advance(DAY)
    own.merge("zendesk", "tickets", winner, loser)
    own.clock.advance(600)
    one.read("second")
    assert seen(one.project, "zendesk", ["tickets"])["tickets"][str(loser)]["status"] == "closed"
    assert one.apart() == []


def test_a_new_association_comes_with_a_full_reading(own, tmp_path):
    one = StreamCase(own, "hubspot", tmp_path)
    one.read("first")
    deal, company = one.numbers[0], alive(own, "hubspot", "companies")[-1]
    own.clock.advance(DAY)
    own.associate("hubspot", "deals", deal, "companies", company)
    own.clock.advance(600)
    one.read("full", full=True)
    assert seen(one.project, "hubspot", ["deals"])["deals"][deal]["_company_id"] == company
    assert one.apart() == []


def test_a_new_association_comes_by_itself_when_derived_fields_are_due(own, tmp_path):
    one = StreamCase(own, "hubspot", tmp_path)
    one.read("first")
    own.clock.advance(DAY)
    own.associate("hubspot", "deals", one.numbers[0], "companies", alive(own, "hubspot", "companies")[-1])
    own.clock.advance(DAY * one.project.connections["hubspot"].refresh_days)
    one.read("later")
    assert one.apart() == []


def test_two_readings_within_a_second_do_not_hide_what_is_newer(own, tmp_path):
    one = StreamCase(own, "hubspot", tmp_path)
    one.read("first")
    for deal in one.numbers[-8:]:
        own.associate("hubspot", "deals", deal, "companies", alive(own, "hubspot", "companies")[0])
    one.read("at once", full=True)
    own.clock.advance(DAY)
    one.read("later", full=True)
    assert one.apart() == []


@pytest.mark.parametrize("back", [False, True], ids=["gone", "back"])
@pytest.mark.parametrize("edit", [{"move_type": "entry"}, {"move_type": "in_invoice"}])
def test_a_record_that_leaves_what_is_read_is_gone_until_it_is_back(own, tmp_path, edit, back):
    one = StreamCase(own, "odoo", tmp_path)
    one.read("first")
    number = one.numbers[2]
    for night, values in enumerate([edit, {"move_type": "out_invoice"}][: 1 + back]):
        own.clock.advance(DAY)
        own.edit("odoo", "account.move", number, values)
        own.clock.advance(600)
        one.read(f"night {night}")
        assert (str(number) in one.held()) == (night == 1)
    assert one.apart() == []


def test_a_partners_country_reaches_its_invoices_by_itself(own, tmp_path):
    one = StreamCase(own, "odoo", tmp_path)
    one.read("first")
    partner = own.odoo.tables["account.move"][one.numbers[0]]["partner_shipping_id"]
    country = own.odoo.tables["res.partner"][partner]["country_id"]
    own.clock.advance(DAY)
    own.edit("odoo", "res.partner", partner, {"country_id": 1 if country != 1 else 2})
    own.clock.advance(DAY * one.project.connections["odoo"].refresh_days)
    one.read("later")
    assert one.apart() == []


def test_more_deletions_than_are_believable_delete_nothing_and_say_why(own, tmp_path):
    one = StreamCase(own, "odoo", tmp_path)
    one.read("first")
    before = one.held()
    own.clock.advance(DAY)
    for number in one.numbers[: len(before) // 2]:
        one.delete(number)
    result = one.read("second")
    assert result.status == "blocked"
    assert "records are gone at the source, more than max_delete_pct 10; none is deleted" in result.error
    assert one.held() == before
    one.project.connections["odoo"].max_delete_pct = 100
    assert one.read("third").status == "done"
    assert one.apart() == []
