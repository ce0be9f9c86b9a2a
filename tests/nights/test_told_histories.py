"""Histories told by name: what becomes of records that are deleted, merged, moved or hidden at their source."""

import pytest

from engine.build.compare_full_read import reconcile
from tests.nights.seen import differences, read, seen, without_absorbed
from tests.nights.unhurried import small
from tests.nights.worlds import StreamCase, alive, fresh

DAY = 86_400


@pytest.mark.parametrize("system", ["hubspot", "odoo", "zendesk"])
def test_what_is_deleted_is_gone_the_night_after(settled_sandbox, tmp_path, system):
    one = StreamCase(settled_sandbox, system, tmp_path)
    one.read("first")
    number = one.numbers[1]
    settled_sandbox.clock.advance(DAY)
    one.delete(number)
    settled_sandbox.clock.advance(600)
    result = one.read("second")
    assert (result.status, result.deleted) == ("done", 1)
    assert str(number) not in one.held()
    assert one.apart() == []


@pytest.mark.parametrize("system", ["hubspot", "odoo", "zendesk"])
def test_what_was_never_read_before_it_was_deleted_does_no_harm(settled_sandbox, tmp_path, system):
    one = StreamCase(settled_sandbox, system, tmp_path)
    one.read("first")
    settled_sandbox.clock.advance(DAY)
    one.delete(one.create())
    settled_sandbox.clock.advance(600)
    assert one.read("second").status == "done"
    assert one.apart() == []


def test_a_merged_company_redirects_and_is_no_deletion(settled_sandbox, tmp_path):
    project, asked = small(tmp_path / "home"), ["accounts"]
    read(project, "hubspot", "first", streams=asked)
    winner, loser = alive(settled_sandbox, "hubspot", "companies")[:2]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.merge("hubspot", "companies", winner, loser)
    settled_sandbox.clock.advance(600)
    result = read(project, "hubspot", "second", streams=asked)["accounts"]
    assert (result.status, result.deleted) == ("done", 0)
    held = seen(project, "hubspot", asked)
    assert held["accounts"][winner]["properties.hs_merged_object_ids"].split(";")[-1] == loser
    assert differences(without_absorbed(project, "hubspot", held), fresh(tmp_path / "fresh", "hubspot", asked)) == []


@pytest.mark.parametrize("nights", [0, 1, 2])
def test_a_winner_that_is_deleted_takes_along_what_was_merged_into_it(settled_sandbox, tmp_path, nights):
    one = StreamCase(settled_sandbox, "hubspot", tmp_path)
    one.read("first")
    winner, loser, further = one.numbers[:3]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.merge("hubspot", "deals", winner, loser)
    settled_sandbox.merge("hubspot", "deals", further, winner) if nights == 2 else None
    for night in range(nights):
        settled_sandbox.clock.advance(DAY)
        one.read(f"merged{night}")
    settled_sandbox.delete("hubspot", "deals", further if nights == 2 else winner)
    settled_sandbox.clock.advance(600)
    one.read("last")
    assert one.apart() == []
    (proof,) = reconcile(one.project, "hubspot", "proof", streams=["deals"])
    assert proof.is_equal


def test_a_merged_deal_counts_once(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "hubspot", tmp_path)
    one.read("first")
    winner, loser = one.numbers[:2]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.merge("hubspot", "deals", winner, loser)
    settled_sandbox.clock.advance(600)
    one.read("second")
    assert one.apart() == []


def test_a_merged_ticket_is_closed(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "zendesk", tmp_path)
    one.read("first")
    winner, loser = one.numbers[:2]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.merge("zendesk", "tickets", winner, loser)
    settled_sandbox.clock.advance(600)
    one.read("second")
    assert seen(one.project, "zendesk", ["tickets"])["tickets"][str(loser)]["status"] == "closed"
    assert one.apart() == []


def test_a_new_association_comes_with_a_full_reading(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "hubspot", tmp_path)
    one.read("first")
    deal, company = one.numbers[0], alive(settled_sandbox, "hubspot", "companies")[-1]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.associate("hubspot", "deals", deal, "companies", company)
    settled_sandbox.clock.advance(600)
    one.read("full", full=True)
    assert seen(one.project, "hubspot", ["deals"])["deals"][deal]["_company_id"] == company
    assert one.apart() == []


def test_a_new_association_comes_by_itself_when_derived_fields_are_due(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "hubspot", tmp_path)
    one.read("first")
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.associate(
        "hubspot", "deals", one.numbers[0], "companies", alive(settled_sandbox, "hubspot", "companies")[-1]
    )
    settled_sandbox.clock.advance(DAY * one.project.connections["hubspot"].refresh_days)
    one.read("later")
    assert one.apart() == []


def test_two_readings_within_a_second_do_not_hide_what_is_newer(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "hubspot", tmp_path)
    one.read("first")
    for deal in one.numbers[-8:]:
        settled_sandbox.associate(
            "hubspot", "deals", deal, "companies", alive(settled_sandbox, "hubspot", "companies")[0]
        )
    one.read("at once", full=True)
    settled_sandbox.clock.advance(DAY)
    one.read("later", full=True)
    assert one.apart() == []


@pytest.mark.parametrize("back", [False, True], ids=["gone", "back"])
@pytest.mark.parametrize("edit", [{"move_type": "entry"}, {"move_type": "in_invoice"}])
def test_a_record_that_leaves_what_is_read_is_gone_until_it_is_back(settled_sandbox, tmp_path, edit, back):
    one = StreamCase(settled_sandbox, "odoo", tmp_path)
    one.read("first")
    number = one.numbers[2]
    for night, values in enumerate([edit, {"move_type": "out_invoice"}][: 1 + back]):
        settled_sandbox.clock.advance(DAY)
        settled_sandbox.edit("odoo", "account.move", number, values)
        settled_sandbox.clock.advance(600)
        one.read(f"night {night}")
        assert (str(number) in one.held()) == (night == 1)
    assert one.apart() == []


def test_a_partners_country_reaches_its_invoices_by_itself(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "odoo", tmp_path)
    one.read("first")
    partner = settled_sandbox.odoo.tables["account.move"][one.numbers[0]]["partner_shipping_id"]
    country = settled_sandbox.odoo.tables["res.partner"][partner]["country_id"]
    settled_sandbox.clock.advance(DAY)
    settled_sandbox.edit("odoo", "res.partner", partner, {"country_id": 1 if country != 1 else 2})
    settled_sandbox.clock.advance(DAY * one.project.connections["odoo"].refresh_days)
    one.read("later")
    assert one.apart() == []


def test_more_deletions_than_are_believable_delete_nothing_and_say_why(settled_sandbox, tmp_path):
    one = StreamCase(settled_sandbox, "odoo", tmp_path)
    one.read("first")
    before = one.held()
    settled_sandbox.clock.advance(DAY)
    for number in one.numbers[: len(before) // 2]:
        one.delete(number)
    result = one.read("second")
    assert result.status == "blocked"
    assert "records are gone at the source, more than max_delete_pct 10; none is deleted" in result.error
    assert one.held() == before
    one.project.connections["odoo"].max_delete_pct = 100
    assert one.read("third").status == "done"
    assert one.apart() == []
