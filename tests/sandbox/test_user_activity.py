"""What people do at the sources, seen over the wire as a client sees it."""

from datetime import datetime, timedelta

import pytest

from sandbox.server import Sandbox
from tests.conftest import TODAY

DEALS = "/hubspot/crm/v3/objects/deals"
COMPANIES = "/hubspot/crm/v3/objects/companies"
TICKETS = "/zendesk/api/v2/incremental/tickets/cursor.json"
ORGANIZATIONS = "/zendesk/api/v2/incremental/organizations.json"


def some(sandbox: Sandbox, kind: str, count: int = 2) -> list[str]:
    return [number for number, row in sandbox.hubspot.objects[kind].items() if not row["archived"]][:count]


def searched(ask, kind: str, since: datetime) -> set[str]:
    filters = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(int(since.timestamp() * 1000))}]
    body = {"filterGroups": [{"filters": filters}], "sorts": [], "properties": [], "limit": 100, "after": "0"}
    found = ask("POST", f"/hubspot/crm/v3/objects/{kind}/search", json=body).json()
    return {row["id"] for row in found["results"]}


def of_company(ask, deal: str) -> list[int]:
    answer = ask("GET", f"/hubspot/crm/v4/objects/deals/{deal}/associations/companies").json()
    return [link["toObjectId"] for link in answer["results"]]


class TestHubSpot:
    def test_a_late_record_is_seen_at_once_under_an_older_stamp(self, sandbox, ask):
        sandbox.clock.advance(3600)
        now = sandbox.clock.now()
        number = sandbox.late("hubspot", "deals", {"dealname": "Late"}, 40)
        assert number not in searched(ask, "deals", now - timedelta(seconds=30))
        assert number in searched(ask, "deals", now - timedelta(seconds=50))

    def test_a_late_change_bears_the_stamp_of_when_it_was_made(self, sandbox, ask):
        sandbox.clock.advance(3600)
        number, now = some(sandbox, "deals")[0], sandbox.clock.now()
        sandbox.late("hubspot", "deals", {"dealname": "Late"}, 40, number)
        assert number in searched(ask, "deals", now - timedelta(seconds=50))
        assert number not in searched(ask, "deals", now - timedelta(seconds=30))
        sandbox.late("hubspot", "deals", {"dealname": "Later"}, 500, number)
        stamp = sandbox.hubspot.objects["deals"][number]["properties"]["hs_lastmodifieddate"]
        assert datetime.fromisoformat(stamp) >= now - timedelta(seconds=41)  # a stamp only rises

    def test_an_archived_record_is_listed_apart(self, sandbox, ask):
        number = some(sandbox, "deals")[0]
        sandbox.delete("hubspot", "deals", number)
        archived = ask("GET", f"{DEALS}?archived=true&limit=100").json()["results"]
        assert number in {row["id"] for row in archived}

    def test_nothing_tells_of_a_record_deleted_for_ever(self, sandbox, ask):
        company = some(sandbox, "companies")[0]
        deal = next(iter(sandbox.hubspot.portal.links["companies", "deals"][company]))[0]
        sandbox.delete("hubspot", "companies", company, forever=True)
        assert ask("GET", f"{COMPANIES}/{company}").status_code == 404
        assert company not in ask("GET", f"{COMPANIES}?archived=true&limit=100").text
        assert of_company(ask, deal) == []

    @pytest.mark.parametrize("kind", ["companies", "contacts", "deals"])
    def test_of_a_merge_only_the_winner_tells(self, sandbox, ask, kind):
        sandbox.clock.advance(3600)
        winner, loser = some(sandbox, kind)
        before = sandbox.clock.now()
        sandbox.merge("hubspot", kind, winner, loser)
        sandbox.clock.advance(10)
        path = f"/hubspot/crm/v3/objects/{kind}"
        assert ask("GET", f"{path}/{loser}").status_code == 404
        assert loser not in ask("GET", f"{path}?archived=true&limit=100").text
        row = ask("GET", f"{path}/{winner}?properties=hs_merged_object_ids").json()
        assert row["properties"]["hs_merged_object_ids"].split(";")[-1] == loser
        assert datetime.fromisoformat(row["updatedAt"]) >= before - timedelta(seconds=1)

    def test_a_merge_moves_associations_and_no_other_stamp(self, sandbox, ask):
        winner, loser = some(sandbox, "companies")
        links = sandbox.hubspot.portal.links["companies", "deals"]
        deals = {number for number, _, _ in links[loser]}
        stamps = {number: sandbox.hubspot.objects["deals"][number]["updatedAt"] for number in deals}
        sandbox.merge("hubspot", "companies", winner, loser)
        assert deals
        assert all(of_company(ask, number) == [int(winner)] for number in deals)
        assert {number: sandbox.hubspot.objects["deals"][number]["updatedAt"] for number in deals} == stamps

    def test_a_second_merge_inherits_the_first(self, sandbox):
        first, second, third = some(sandbox, "companies", 3)
        sandbox.merge("hubspot", "companies", second, third)
        sandbox.merge("hubspot", "companies", first, second)
        told = sandbox.hubspot.objects["companies"][first]["properties"]["hs_merged_object_ids"].split(";")
        assert told[-2:] == [third, second]

    @pytest.mark.parametrize(("kind", "other"), [("calls", None), ("deals", "1"), ("deals", None)])
    def test_what_cannot_be_merged_is_refused(self, sandbox, kind, other):
        number = some(sandbox, kind)[0]
        with pytest.raises(ValueError, match="cannot be merged"):
            sandbox.merge("hubspot", kind, number, other or number)

    def test_a_new_association_moves_no_stamp(self, sandbox, ask):
        company = some(sandbox, "companies", 3)[2]
        deal = some(sandbox, "deals")[0]
        before = sandbox.hubspot.objects["deals"][deal]["updatedAt"]
        sandbox.associate("hubspot", "deals", deal, "companies", company)
        assert of_company(ask, deal) == [int(company)]
        assert sandbox.hubspot.objects["deals"][deal]["updatedAt"] == before

    def test_a_bulk_edit_stamps_all_alike(self, sandbox):
        numbers = some(sandbox, "deals", 9)
        sandbox.bulk("hubspot", "deals", numbers, {"dealname": "All of them"})
        assert len({sandbox.hubspot.objects["deals"][number]["updatedAt"] for number in numbers}) == 1

    def test_properties_come_go_and_change(self, sandbox, ask):
        number = some(sandbox, "companies")[0]

        def shown(name: str) -> dict:
            return ask("GET", f"{COMPANIES}/{number}?properties={name}").json()["properties"]

        def types() -> dict:
            rows = ask("GET", "/hubspot/crm/v3/properties/companies").json()["results"]
            return {row["name"]: row["type"] for row in rows}

        sandbox.schema("hubspot", "add", "companies", "fleet_size", "number", {number: 12})
        assert (types()["fleet_size"], shown("fleet_size")["fleet_size"]) == ("number", "12")
        sandbox.schema("hubspot", "rename", "companies", "fleet_size", "vehicles")
        assert shown("vehicles,fleet_size").get("vehicles") == "12"
        assert "fleet_size" not in shown("vehicles,fleet_size")
        sandbox.schema("hubspot", "retype", "companies", "vehicles", "enumeration", {"12": "10 to 50"})
        assert (types()["vehicles"], shown("vehicles")["vehicles"]) == ("enumeration", "10 to 50")
        sandbox.schema("hubspot", "remove", "companies", "vehicles")
        assert "vehicles" not in types()
        assert "vehicles" not in shown("vehicles")


class TestOdoo:
    def test_a_long_transaction_commits_rows_under_its_beginning(self, sandbox, odoo):
        sandbox.clock.advance(3600)
        since = f"{sandbox.clock.now() - timedelta(seconds=130):%Y-%m-%d %H:%M:%S}"
        fresh = [["write_date", ">=", since]]
        assert odoo("res.partner", "search", fresh) == []
        number = sandbox.late("odoo", "res.partner", {"name": "Late", "is_company": True}, 120)
        sandbox.late("odoo", "res.partner", {"city": "Graz"}, 120, 1)
        assert set(odoo("res.partner", "search", fresh)) == {1, number}
        until = f"{sandbox.clock.now() - timedelta(seconds=110):%Y-%m-%d %H:%M:%S}"
        assert set(odoo("res.partner", "search", [["write_date", "<", until], *fresh])) == {1, number}

    def test_what_is_created_has_an_id_of_its_own(self, sandbox, odoo):
        made = [
            sandbox.create("odoo", "res.partner", {"name": "New"}),
            odoo("res.partner", "create", {"name": "Newer"}),
        ]
        assert made == [len(sandbox.odoo.tables["res.partner"]) - 1, len(sandbox.odoo.tables["res.partner"])]
        assert [row["id"] for row in odoo("res.partner", "read", made, ["name"])] == made

    def test_a_transaction_that_met_another_begins_anew(self, sandbox):
        sandbox.clock.advance(3600)
        sandbox.edit("odoo", "res.partner", 1, {"city": "Linz"})
        written = sandbox.odoo.tables["res.partner"][1]["write_date"]
        sandbox.late("odoo", "res.partner", {"city": "Graz"}, 60, 1)
        assert sandbox.odoo.tables["res.partner"][1]["write_date"] >= written

    def test_an_unlinked_id_vanishes(self, sandbox, odoo):
        number = max(sandbox.odoo.tables["account.move"])
        sandbox.delete("odoo", "account.move", number)
        assert odoo("account.move", "search", [["id", "=", number]]) == []

    def test_rows_of_one_transaction_share_its_stamp(self, sandbox):
        sandbox.bulk("odoo", "res.partner", [1, 2, 3], {"city": "Wien"})
        assert len({sandbox.odoo.tables["res.partner"][number]["write_date"] for number in (1, 2, 3)}) == 1

    def test_fields_come_go_and_change(self, sandbox, odoo):
        sandbox.schema("odoo", "add", "res.partner", "x_fleet", "integer", {1: 12})
        assert odoo("res.partner", "read", [1], ["x_fleet"])[0]["x_fleet"] == 12
        sandbox.schema("odoo", "rename", "res.partner", "x_fleet", "x_vehicles")
        assert odoo("res.partner", "read", [1], ["x_fleet"]) == "builtins.ValueError"
        assert odoo("res.partner", "read", [1], ["x_vehicles"])[0]["x_vehicles"] == 12
        sandbox.schema("odoo", "retype", "res.partner", "x_vehicles", "char", {12: "a dozen"})
        assert odoo("res.partner", "fields_get")["x_vehicles"]["type"] == "char"
        assert odoo("res.partner", "read", [1], ["x_vehicles"])[0]["x_vehicles"] == "a dozen"
        sandbox.schema("odoo", "remove", "res.partner", "x_vehicles")
        assert "x_vehicles" not in odoo("res.partner", "fields_get")

    def test_another_database_keeps_its_fields(self, sandbox):
        sandbox.schema("odoo", "remove", "res.partner", "vat")
        other = Sandbox(5, 3, TODAY)
        other.server.server_close()
        assert "vat" in other.odoo.fields["res.partner"]


class TestZendesk:
    def test_a_late_ticket_comes_when_its_minute_is_over(self, sandbox, ask):
        sandbox.clock.advance(3600)
        number = sandbox.late("zendesk", "tickets", {"subject": "Late"}, 50)
        asked = f"{TICKETS}?start_time={(sandbox.clock.now() - timedelta(seconds=100)).timestamp():.0f}"
        assert ask("GET", asked).json()["tickets"] == []
        sandbox.clock.advance(15)
        assert [row["id"] for row in ask("GET", asked).json()["tickets"]] == [number]

    def test_each_table_has_its_own_mark_of_deletion(self, sandbox, ask):
        marked = {table: next(iter(sandbox.zendesk.tables[table])) for table in ("tickets", "organizations", "users")}
        for table, number in marked.items():
            sandbox.delete("zendesk", table, number)
        sandbox.clock.advance(120)
        tickets = ask("GET", f"{TICKETS}?start_time=0").json()["tickets"]
        organizations = ask("GET", f"{ORGANIZATIONS}?start_time=0").json()["organizations"]
        users = ask("GET", "/zendesk/api/v2/users.json?page[size]=100").json()["users"]
        assert [row["status"] for row in tickets if row["id"] == marked["tickets"]] == ["deleted"]
        assert [bool(row["deleted_at"]) for row in organizations if row["id"] == marked["organizations"]] == [True]
        assert marked["users"] not in {row["id"] for row in users}

    def test_nothing_tells_of_a_ticket_deleted_for_ever(self, sandbox, ask):
        number = next(iter(sandbox.zendesk.tables["tickets"]))
        sandbox.delete("zendesk", "tickets", number, forever=True)
        assert number not in {row["id"] for row in ask("GET", f"{TICKETS}?start_time=0").json()["tickets"]}

    def test_a_merged_ticket_is_closed_and_tagged(self, sandbox, ask):
        sandbox.clock.advance(3600)
        winner, loser = list(sandbox.zendesk.tables["tickets"])[:2]
        since = sandbox.clock.now().timestamp()
        sandbox.merge("zendesk", "tickets", winner, loser)
        sandbox.clock.advance(90)
        rows = {row["id"]: row for row in ask("GET", f"{TICKETS}?start_time={since:.0f}").json()["tickets"]}
        assert set(rows) == {winner, loser}
        assert (rows[loser]["status"], rows[loser]["tags"]) == ("closed", ["closed_by_merge"])

    def test_a_bulk_edit_stamps_all_alike(self, sandbox):
        numbers = list(sandbox.zendesk.tables["tickets"])[:5]
        sandbox.bulk("zendesk", "tickets", numbers, {"priority": "low"})
        assert len({sandbox.zendesk.desk.moved["tickets"][number] for number in numbers}) == 1

    @pytest.mark.parametrize("deed", ["merge", "delete"])
    def test_what_cannot_be_done_names_the_choices(self, sandbox, deed):
        args = (1, 2) if deed == "merge" else (1,)
        with pytest.raises(ValueError, match="choices: tickets"):
            getattr(sandbox, deed)("zendesk", "satisfaction_ratings", *args)


def test_a_stopped_clock_stands_until_it_is_pushed(sandbox):
    sandbox.clock.stop()
    at = sandbox.clock.now()
    assert sandbox.clock.now() == at
    assert sandbox.clock.advance(5) == at + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda sandbox: sandbox.edit("sap", "deals", "1", {}), "choices: hubspot, odoo, zendesk"),
        (lambda sandbox: sandbox.associate("zendesk", "tickets", 1, "users", 2), "zendesk knows no associate"),
        (lambda sandbox: sandbox.schema("odoo", "burn", "res.partner", "vat"), "choices: add, remove, rename, retype"),
    ],
)
def test_an_unknown_deed_names_the_choices(sandbox, call, said):
    with pytest.raises(ValueError, match=said):
        call(sandbox)


class TestBackups:
    def test_a_restored_system_is_as_it_was_stamps_and_all(self, sandbox, ask):
        number, other = some(sandbox, "deals")
        held = ask("GET", f"{DEALS}/{number}").json()
        backup = sandbox.backup("hubspot")
        sandbox.clock.advance(3600)
        sandbox.edit("hubspot", "deals", number, {"dealname": "Lost"})
        sandbox.delete("hubspot", "deals", other)
        made = sandbox.create("hubspot", "deals", {"dealname": "Lost, too"})
        for _ in range(2):
            sandbox.restore("hubspot", backup)
            assert ask("GET", f"{DEALS}/{number}").json() == held
            assert not ask("GET", f"{DEALS}/{other}").json()["archived"]
            assert ask("GET", f"{DEALS}/{made}").status_code == 404
            sandbox.edit("hubspot", "deals", number, {"dealname": "Lost again"})

    def test_a_system_without_backups_is_named(self, sandbox):
        with pytest.raises(ValueError, match="plain makes no backups; choices: hubspot, odoo, zendesk"):
            sandbox.backup("plain")
