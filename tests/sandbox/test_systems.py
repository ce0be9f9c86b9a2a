"""The three systems behave as theirs do, where it hurts."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.odoo.domain import UnknownField, matches

COMPANIES = "/hubspot/crm/v3/objects/companies"
ORGANIZATIONS = "/zendesk/api/v2/incremental/organizations.json"
TICKETS = "/zendesk/api/v2/incremental/tickets/cursor.json"


def search(filters=(), **more) -> dict:
    body = {"filterGroups": [{"filters": [*filters]}], "sorts": [], "properties": ["name"], "limit": 10, "after": "0"}
    return body | more


def first(sandbox, kind: str = "companies") -> str:
    return next(number for number, row in sandbox.hubspot.objects[kind].items() if not row["archived"])


class TestHubSpot:
    def test_nobody_comes_in_without_the_token(self, ask):
        answer = ask("GET", COMPANIES, headers={"Authorization": "Bearer other"})
        assert (answer.status_code, answer.json()["category"]) == (401, "INVALID_AUTHENTICATION")

    def test_pages_by_id_and_ends_without_a_link(self, sandbox, ask):
        ids, after = [], ""
        while after is not None:
            answer = ask("GET", f"{COMPANIES}?limit=4&after={after}").json()
            ids += [row["id"] for row in answer["results"]]
            after = answer.get("paging", {}).get("next", {}).get("after")
        alive = [number for number, row in sandbox.hubspot.objects["companies"].items() if not row["archived"]]
        assert ids == sorted(alive, key=int)

    def test_pages_are_at_most_a_hundred(self, ask):
        assert ask("GET", f"{COMPANIES}?limit=101").status_code == 400

    def test_only_named_properties_come_back(self, ask):
        row = ask("GET", f"{COMPANIES}?limit=1&properties=phone,nonsense").json()["results"][0]
        assert {"phone", "name"} <= row["properties"].keys()
        assert not {"city", "nonsense"} & row["properties"].keys()

    def test_an_archived_record_is_listed_apart_and_not_found(self, sandbox, ask):
        number = first(sandbox)
        ask("DELETE", f"{COMPANIES}/{number}")
        assert ask("GET", f"{COMPANIES}/{number}").status_code == 404
        archived = ask("GET", f"{COMPANIES}?archived=true&limit=100").json()["results"]
        assert number in {row["id"] for row in archived}
        assert all(row["archivedAt"] for row in archived)

    @pytest.mark.parametrize("kind", ["meetings", "notes"])
    def test_some_kinds_do_not_list_their_archived(self, ask, kind):
        assert ask("GET", f"/hubspot/crm/v3/objects/{kind}?archived=true").status_code == 400

    @pytest.mark.parametrize("missing", ["filterGroups", "sorts", "properties", "limit", "after"])
    def test_a_search_needs_all_its_members(self, ask, missing):
        body = {name: value for name, value in search().items() if name != missing}
        answer = ask("POST", f"{COMPANIES}/search", json=body)
        assert (answer.status_code, missing in answer.json()["message"]) == (400, True)

    def test_a_search_ends_at_its_cap(self, sandbox, ask):
        sandbox.hubspot.search_cap = 20
        assert ask("POST", f"{COMPANIES}/search", json=search(after="10")).status_code == 200
        assert ask("POST", f"{COMPANIES}/search", json=search(after="11")).status_code == 400
        assert ask("POST", f"{COMPANIES}/search", json=search(limit=201)).status_code == 400

    def test_a_search_lags_behind_a_write(self, sandbox, ask):
        number = first(sandbox)
        by_name = [{"propertyName": "name", "operator": "EQ", "value": "Quite new"}]
        sandbox.edit("hubspot", "companies", number, {"name": "Quite new"})
        assert ask("GET", f"{COMPANIES}/{number}").json()["properties"]["name"] == "Quite new"
        assert ask("POST", f"{COMPANIES}/search", json=search(by_name)).json()["total"] == 0
        sandbox.clock.advance(5)
        assert ask("POST", f"{COMPANIES}/search", json=search(by_name)).json()["total"] == 1

    @pytest.mark.parametrize(
        ("operator", "value", "expected"),
        [("GT", "20", 1), ("GTE", "20", 2), ("LT", "20", 1), ("LTE", "20", 2), ("EQ", "20", 1), ("NEQ", "20", 2)],
    )
    def test_numbers_are_compared_as_numbers(self, sandbox, ask, operator, value, expected):
        chosen = [number for number, row in sandbox.hubspot.objects["companies"].items() if not row["archived"]][:3]
        for number, held in zip(chosen, ("100", "20", "3"), strict=True):
            sandbox.edit("hubspot", "companies", number, {"numberofemployees": held})
        sandbox.clock.advance(10)
        ids = {"propertyName": "hs_object_id", "operator": "IN", "values": chosen}
        asked = [ids, {"propertyName": "numberofemployees", "operator": operator, "value": value}]
        assert ask("POST", f"{COMPANIES}/search", json=search(asked)).json()["total"] == expected

    def test_stamps_are_compared_by_the_millisecond(self, sandbox, ask):
        sandbox.clock.advance(86400)
        sandbox.edit("hubspot", "companies", first(sandbox), {"name": "Moved"})
        stamp = sandbox.hubspot.objects["companies"][first(sandbox)]["properties"]["hs_lastmodifieddate"]
        millis = round(datetime.fromisoformat(stamp).timestamp() * 1000)
        sandbox.clock.advance(10)
        found = []
        for value in (millis, millis + 1):
            asked = [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": str(value)}]
            found.append(ask("POST", f"{COMPANIES}/search", json=search(asked)).json()["total"])
        assert found == [1, 0]

    def test_equal_values_move_no_stamp(self, sandbox):
        number = first(sandbox)
        before = dict(sandbox.hubspot.objects["companies"][number]["properties"])
        assert sandbox.hubspot.edit("companies", number, {"name": before["name"]}) is False
        assert sandbox.hubspot.objects["companies"][number]["properties"] == before

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"nonsense": "x"}, "does not exist"),
            ({"numberofemployees": "many"}, "was not a valid number"),
            ({"numberofemployees": 5}, "must be a string"),
            ({"hs_object_id": "1"}, "read only"),
        ],
    )
    def test_one_wrong_value_refuses_the_whole_batch(self, sandbox, ask, values, said):
        inputs = [{"id": first(sandbox), "properties": {"name": "Good"}}, {"id": first(sandbox), "properties": values}]
        answer = ask("POST", f"{COMPANIES}/batch/update", json={"inputs": inputs})
        assert (answer.status_code, said in answer.json()["message"]) == (400, True)

    def test_a_mixed_batch_answers_207(self, sandbox, ask):
        inputs = [
            {"id": first(sandbox), "properties": {"name": "Good"}},
            {"id": "1", "properties": {"name": "Nobody"}, "objectWriteTraceId": "op1"},
        ]
        answer = ask("POST", f"{COMPANIES}/batch/update", json={"inputs": inputs})
        body = answer.json()
        assert (answer.status_code, body["numErrors"]) == (207, 1)
        assert body["errors"][0]["context"] == {"ids": ["1"], "objectWriteTraceId": ["op1"]}
        assert [row["id"] for row in body["results"]] == [first(sandbox)]

    def test_a_batch_is_at_most_a_hundred(self, ask):
        assert ask("POST", f"{COMPANIES}/batch/update", json={"inputs": [{}] * 101}).status_code == 400

    def test_a_unique_value_is_taken_once(self, sandbox, ask):
        taken = {"inputs": [{"properties": {"name": "A", "erp_id": "E1"}}]}
        assert ask("POST", f"{COMPANIES}/batch/create", json=taken).status_code == 201
        answer = ask("POST", f"{COMPANIES}/batch/create", json=taken)
        assert (answer.status_code, answer.json()["category"]) == (400, "VALIDATION_ERROR")
        assert "already has that value" in answer.json()["message"]

    def test_an_upsert_creates_then_updates(self, ask):
        one = {"id": "E9", "idProperty": "erp_id", "properties": {"name": "B", "erp_id": "E9"}}
        answers = [ask("POST", f"{COMPANIES}/batch/upsert", json={"inputs": [one]}).json() for _ in range(2)]
        assert [answer["results"][0]["new"] for answer in answers] == [True, False]
        assert len({answer["results"][0]["id"] for answer in answers}) == 1

    def test_writes_are_logged_with_what_they_changed(self, sandbox, ask):
        number = first(sandbox)
        before = sandbox.hubspot.objects["companies"][number]["properties"].get("phone")
        one = {"id": number, "properties": {"phone": "+49 1", "name": ""}}
        for _ in range(2):
            ask("POST", f"{COMPANIES}/batch/update", json={"inputs": [one]})
        changed, same = sandbox.writes
        assert (changed["seq"], changed["action"], changed["id"], changed["no_change"]) == (1, "update", number, False)
        assert (changed["before"]["phone"], changed["after"]["phone"], changed["after"]["name"]) == (
            before,
            "+49 1",
            None,
        )
        assert (same["no_change"], same["after"]) == (True, {})


class TestOdoo:
    @pytest.mark.parametrize(
        ("domain", "expected"),
        [
            ([], True),
            ([["name", "=", "Acme"]], True),
            ([["name", "!=", "Acme"]], False),
            ([["vat", "=", False]], True),
            ([["vat", "!=", False]], False),
            ([["name", "ilike", "cm"]], True),
            ([["id", "in", [1, 2]]], True),
            ([["id", "not in", [1, 2]]], False),
            ([["id", ">", 0], ["id", "<", 2]], True),
            ([["id", ">=", 1], ["id", "<=", 0]], False),
            (["|", ["id", "=", 5], ["name", "=", "Acme"]], True),
            (["&", ["id", "=", 1], ["name", "=", "Other"]], False),
            (["!", ["id", "=", 1]], False),
            (["|", "!", ["id", "=", 1], "&", ["id", "=", 1], ["is_company", "=", True]], True),
            (["|", ["id", "=", 9], ["id", "=", 1], ["name", "=", "Other"]], False),
            ([["write_date", ">=", "2026-10-01 10:00:00"]], True),
            ([["write_date", ">=", "2026-10-01 10:00:01"]], False),
            ([["write_date", "<", "2026-10-01 10:00:01"]], True),
            ([["write_date", "<", "2026-10-01T12:00:00+02:00"]], False),
            ([["vat", ">", "A"]], False),
            ([["parent_id.name", "=", "Mother"]], True),
            ([["parent_id", "=?", False]], True),
        ],
    )
    def test_domains_are_read_as_the_orm_reads_them(self, sandbox, domain, expected):
        stamp = datetime(2026, 10, 1, 10, 0, 0, 700000, tzinfo=UTC)
        sandbox.odoo.tables["res.partner"][900] = {"id": 900, "name": "Mother"}
        row = {"id": 1, "name": "Acme", "vat": False, "is_company": True, "write_date": stamp, "parent_id": 900}
        assert matches(sandbox.odoo, "res.partner", row, domain) is expected

    def test_an_unknown_field_is_an_error(self, sandbox, odoo):
        with pytest.raises(UnknownField):
            matches(sandbox.odoo, "res.partner", {}, [["nonsense", "=", 1]])
        assert odoo("res.partner", "search_count", [["nonsense", "=", 1]]) == "builtins.ValueError"

    def test_a_wrong_key_is_denied(self, odoo):
        assert odoo("res.partner", "search_count", [], key="other") == "odoo.exceptions.AccessDenied"

    def test_archived_rows_hide_unless_they_are_asked_for(self, sandbox, odoo):
        sandbox.edit("odoo", "res.partner", 1, {"active": False})
        mine = [["id", "=", 1]]
        assert odoo("res.partner", "search_count", mine) == 0
        assert odoo("res.partner", "search_count", mine, context={"active_test": False}) == 1
        assert odoo("res.partner", "search_count", [*mine, ["active", "=", False]]) == 1

    def test_empty_values_are_false_and_relations_are_pairs(self, sandbox, odoo):
        sandbox.edit("odoo", "res.partner", 1, {"vat": False, "country_id": 1, "credit_limit": False})
        row = odoo("res.partner", "read", [1], ["vat", "country_id", "credit_limit", "write_date"])[0]
        assert (row["vat"], row["credit_limit"]) == (False, 0.0)
        assert row["country_id"] == [1, sandbox.odoo.tables["res.country"][1]["name"]]
        assert datetime.strptime(row["write_date"], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007

    def test_a_write_is_all_or_nothing(self, sandbox, odoo):
        before = sandbox.odoo.tables["res.partner"][1]["name"]
        assert odoo("res.partner", "write", [1, 999_999], {"name": "X"}) == "odoo.exceptions.MissingError"
        assert sandbox.odoo.tables["res.partner"][1]["name"] == before
        assert sandbox.writes == []

    def test_a_write_moves_the_stamp_even_when_nothing_changed(self, sandbox, odoo):
        row = sandbox.odoo.tables["res.partner"][1]
        before = row["write_date"]
        sandbox.clock.advance(60)
        assert odoo("res.partner", "write", [1], {"name": row["name"]}) is True
        assert row["write_date"] > before
        assert sandbox.writes[0]["no_change"] is True

    @pytest.mark.parametrize(
        ("values", "name"),
        [
            ({"name": False}, "odoo.exceptions.ValidationError"),
            ({"nonsense": 1}, "builtins.ValueError"),
            ({"x_belvedere_retention_score": "high"}, "builtins.ValueError"),
        ],
    )
    def test_a_wrong_value_is_refused(self, odoo, values, name):
        assert odoo("res.partner", "write", [1], values) == name

    def test_order_limit_and_offset(self, odoo):
        ids = odoo("res.partner", "search", [], limit=5, order="id desc")
        assert ids == sorted(ids, reverse=True)
        assert odoo("res.partner", "search", [], offset=2, limit=2, order="id desc") == ids[2:4]


class TestZendesk:
    def test_nobody_comes_in_without_the_secret(self, ask):
        assert ask("GET", TICKETS, headers={"Authorization": "Basic eDp5"}).status_code == 401

    def test_the_last_minute_is_left_out(self, sandbox, ask):
        number = next(iter(sandbox.zendesk.tables["tickets"]))
        sandbox.clock.advance(86400)
        asked = f"{TICKETS}?start_time={(sandbox.clock.now() - timedelta(seconds=100)).timestamp():.0f}"
        sandbox.edit("zendesk", "tickets", number, {"subject": "Quite new"})
        assert ask("GET", asked).json()["tickets"] == []
        sandbox.clock.advance(61)
        assert [row["subject"] for row in ask("GET", asked).json()["tickets"]] == ["Quite new"]

    @pytest.mark.parametrize("path", [TICKETS, ORGANIZATIONS])
    def test_a_start_within_the_last_minute_is_refused(self, sandbox, ask, path):
        start = (sandbox.clock.now() - timedelta(seconds=30)).timestamp()
        answer = ask("GET", f"{path}?start_time={start:.0f}")
        assert (answer.status_code, answer.json()["error"]) == (400, "StartTimeTooRecent")

    def test_the_cursor_goes_on_to_the_end_of_the_stream(self, sandbox, ask):
        ids, asked, done = [], "start_time=0", False
        while not done:
            answer = ask("GET", f"{TICKETS}?{asked}&per_page=50").json()
            ids += [row["id"] for row in answer["tickets"]]
            asked, done = f"cursor={answer['after_cursor']}", answer["end_of_stream"]
        assert sorted(ids) == sorted(sandbox.zendesk.tables["tickets"])
        assert len(set(ids)) == len(ids)

    def test_metrics_come_only_when_they_are_asked_for(self, ask):
        plain = ask("GET", f"{TICKETS}?start_time=0&per_page=1").json()["tickets"][0]
        full = ask("GET", f"{TICKETS}?start_time=0&per_page=1&include=metric_sets").json()["tickets"][0]
        assert "metric_set" not in plain
        assert full["metric_set"]["ticket_id"] == full["id"]

    def test_organizations_repeat_their_border_and_never_split_a_second(self, sandbox, ask):
        same = sandbox.clock.now() - timedelta(days=1)
        for number in sandbox.zendesk.tables["organizations"]:
            sandbox.zendesk.desk.moved["organizations"][number] = same
        answer = ask("GET", f"{ORGANIZATIONS}?start_time=0&per_page=2").json()
        assert answer["count"] == len(sandbox.zendesk.tables["organizations"])
        assert answer["end_of_stream"] is True
        again = ask("GET", f"{ORGANIZATIONS}?start_time={answer['end_time']}").json()
        assert again["count"] == answer["count"]

    def test_a_job_is_queued_then_working_then_done_in_an_order_of_its_own(self, sandbox, ask):
        first, second, *_ = sandbox.zendesk.tables["organizations"]
        many = [{"id": first, "external_id": "a"}, {"id": 1, "external_id": "b"}, {"id": second, "external_id": "c"}]
        path = "/zendesk/api/v2/organizations/update_many.json"
        job = ask("PUT", path, json={"organizations": many}).json()["job_status"]
        assert (job["status"], job["results"], job["total"]) == ("queued", None, 3)
        seen = [ask("GET", f"/zendesk/api/v2/job_statuses/{job['id']}.json").json()["job_status"] for _ in range(3)]
        assert [one["status"] for one in seen] == ["working", "completed", "completed"]
        assert seen[0]["results"] is None
        assert [(one["index"], one["success"]) for one in seen[1]["results"]] == [(2, True), (1, False), (0, True)]
        assert sandbox.zendesk.tables["organizations"][first]["external_id"] == "a"
        assert len(sandbox.writes) == 2

    def test_a_job_that_is_none_is_not_found(self, ask):
        assert ask("GET", "/zendesk/api/v2/job_statuses/abc.json").status_code == 404

    def test_a_bulk_update_is_at_most_a_hundred(self, ask):
        answer = ask("PUT", "/zendesk/api/v2/tickets/update_many.json", json={"tickets": [{}] * 101})
        assert (answer.status_code, answer.json()["error"]) == (400, "TooManyValues")

    def test_a_deleted_organization_stays_in_the_export_alone(self, sandbox, ask):
        number = next(iter(sandbox.zendesk.tables["organizations"]))
        sandbox.edit("zendesk", "organizations", number, {"deleted_at": "2026-10-20T05:00:00Z"})
        sandbox.clock.advance(120)
        exported = ask("GET", f"{ORGANIZATIONS}?start_time=0").json()["organizations"]
        assert any(row["id"] == number and row["deleted_at"] for row in exported)
        shown = ask("GET", f"/zendesk/api/v2/organizations/show_many.json?ids={number}").json()
        assert shown["organizations"] == []
