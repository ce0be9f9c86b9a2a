"""The world: the same for the same seed, and changed as a working day changes it."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml

from sandbox.server import Sandbox
from sandbox.world.build import build

TODAY = date(2026, 10, 20)
DEFS = Path(__file__).parents[3] / "orchestration" / "defs"


def spelt(count: int, seed: int, today: date = TODAY) -> str:
    world = build(count, seed, today)
    links = {"/".join(pair): held for pair, held in world.portal.links.items()}
    held = [world.portal.objects, world.portal.owners, links, world.tables.rows, world.desk.rows, world.desk.moved]
    return json.dumps([held, world.truth, world.dirty], default=str)


def test_the_same_seed_gives_the_same_bytes():
    assert spelt(60, 3) == spelt(60, 3)


def test_another_seed_or_day_gives_another_world():
    assert len({spelt(30, 3), spelt(30, 4), spelt(30, 3, date(2026, 10, 21))}) == 3


def test_a_sandbox_answers_the_same_bytes_again(session):
    with Sandbox(30, 3, TODAY) as one, Sandbox(30, 3, TODAY) as other:
        path = "/hubspot/crm/v3/objects/companies?limit=100&properties=name,erp_id"
        headers = {"Authorization": "Bearer sandbox-hubspot-token"}
        answers = [session.get(each.url + path, headers=headers, timeout=5).content for each in (one, other)]
    assert answers[0] == answers[1]
    assert len(answers[0]) > 5000


def test_nothing_lies_in_the_future():
    sandbox = Sandbox(60, 5, TODAY)
    now = sandbox.clock.now()
    try:
        assert all(moved <= now for moments in sandbox.zendesk.desk.moved.values() for moved in moments.values())
        assert all(row["write_date"] <= now for rows in sandbox.odoo.tables.values() for row in rows.values())
        limit = now.isoformat()[:19]
        assert all(row["updatedAt"] <= limit for rows in sandbox.hubspot.objects.values() for row in rows.values())
    finally:
        sandbox.server.server_close()


def test_the_truth_names_records_that_are_there(sandbox: Sandbox):
    known = {
        "hubspot": {*sandbox.hubspot.objects["companies"]},
        "odoo": {str(number) for number in sandbox.odoo.tables["res.partner"]},
        "zendesk": {str(number) for number in sandbox.zendesk.tables["organizations"]},
    }
    named = [(system, number) for row in sandbox.truth.values() for system in known for number in row.get(system, ())]
    assert len(named) > 60
    assert all(number in known[system] for system, number in named)


@pytest.mark.parametrize("day", [date(2026, 11, 25), *(TODAY + timedelta(97 * step) for step in range(6))])
def test_whoever_has_won_a_deal_and_is_no_partner_yet_fits_into_the_demos_guard(day: date):
    world, guards = build(300, 7, day), yaml.safe_load((DEFS / "partners_to_odoo" / "defs.yaml").read_text())
    of_deal = world.portal.links["deals", "companies"]
    won = [
        place for place, deal in world.portal.objects["deals"].items() if deal["properties"]["dealstage"] == "closedwon"
    ]
    companies = {company for place in won for company, *_ in of_deal.get(place, ())}
    creates = [one for one in world.truth.values() if companies & {*one.get("hubspot", ())} and not one.get("odoo")]
    assert 5 < len(creates) < 0.75 * guards["attributes"]["guards"]["max_creates"]


def test_what_was_spoilt_is_told(sandbox: Sandbox):
    assert {"system", "object", "id", "kind"} <= sandbox.dirty[0].keys()


@pytest.mark.parametrize("customers", [12, 30, 80])
def test_a_day_of_changes_is_told_and_done(customers: int):
    sandbox = Sandbox(customers, 3, TODAY)
    sandbox.clock.advance(86400)
    now = sandbox.clock.now()
    told = sandbox.changes()
    sandbox.server.server_close()
    assert {"renamed", "won, 48,000 EUR"} <= {row["what"] for row in told}
    assert len({row["id"] for row in told if row["object"] == "companies"}) == 3
    companies = sandbox.hubspot.objects["companies"]
    renamed = next(row["id"] for row in told if row["what"] == "renamed")
    assert companies[renamed]["properties"]["name"].endswith(" Holding")
    assert companies[renamed]["updatedAt"] >= now.isoformat()[:19]
    merged = next(row for row in told if row["what"].startswith("merged into"))
    winner = merged["what"].rpartition(" ")[2]
    assert merged["id"] not in companies
    assert merged["id"] in companies[winner]["properties"]["hs_merged_object_ids"].split(";")
    targets = [
        held
        for (_, right), links in sandbox.hubspot.portal.links.items()
        if right == "companies"
        for held in links.values()
    ]
    assert all(target != merged["id"] for links in targets for target, _, _ in links)


def test_a_world_that_is_too_small_for_changes_says_so():
    sandbox = Sandbox(5, 3, TODAY)
    sandbox.server.server_close()
    with pytest.raises(ValueError, match="too few to change; run the sandbox with more customers"):
        sandbox.changes()


def test_changes_can_be_made_again(sandbox: Sandbox):
    assert len(sandbox.changes()) == 9
    assert len(sandbox.changes()) >= 8


def test_changes_are_not_writes_of_ours(sandbox: Sandbox):
    sandbox.changes()
    assert sandbox.writes == []
