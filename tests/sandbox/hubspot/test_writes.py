"""HubSpot's writes: unique values, tasks, values as HubSpot holds them, and outcomes record by record."""

import json

import pytest

COMPANIES, TASKS = "/hubspot/crm/v3/objects/companies", "/hubspot/crm/v3/objects/tasks"
CONTACTS = "/hubspot/crm/v3/objects/contacts"
LINKS = "/hubspot/crm/v4/associations/tasks/companies/batch"
TASK = {"hs_timestamp": "2026-10-21T08:00:00Z", "hs_task_subject": "Call", "belvedere_key": "k1"}


def some(sandbox, count: int = 2) -> list[str]:
    return [number for number, row in sandbox.hubspot.objects["companies"].items() if not row["archived"]][:count]


@pytest.fixture
def send(ask):
    def post(path: str, *inputs, **more):
        return ask("POST", path, json={"inputs": [*inputs], **more})

    return post


def trace(number: int, **properties) -> dict:
    return {"objectWriteTraceId": f"op{number}", "properties": properties}


class TestUniqueValues:
    def test_traced_creates_fail_one_by_one(self, sandbox, send):
        made = [trace(1, name="A", erp_id="E1"), trace(2, name="B", erp_id="E1"), trace(3, credit_limit="much")]
        answer = send(f"{COMPANIES}/batch/create", *made, trace(4, name="D"))
        body = answer.json()
        assert (answer.status_code, body["numErrors"], len(body["results"])) == (207, 2, 2)
        assert [wrong["context"]["objectWriteTraceId"] for wrong in body["errors"]] == [["op2"], ["op3"]]
        assert "CONFLICTING_UNIQUE_VALUE" in body["errors"][0]["message"]
        assert [(write["op"], write["key"]) for write in sandbox.writes] == [("op1", "E1"), ("op4", None)]

    def test_untraced_creates_fail_together(self, sandbox, send):
        send(f"{COMPANIES}/batch/create", {"properties": {"erp_id": "E1"}})
        taken = [{"properties": {"name": "New"}}, {"properties": {"erp_id": "E1"}}]
        assert send(f"{COMPANIES}/batch/create", *taken).status_code == 400
        assert len(sandbox.writes) == 1

    def test_an_update_cannot_take_a_value_that_another_has(self, sandbox, send):
        first, second = some(sandbox)
        sandbox.edit("hubspot", "companies", first, {"erp_id": "E1"})
        answer = send(f"{COMPANIES}/batch/update", {"id": second, **trace(1, erp_id="E1")})
        assert answer.status_code == 207
        assert answer.json()["errors"][0]["context"] == {"ids": [second], "objectWriteTraceId": ["op1"]}
        assert send(f"{COMPANIES}/batch/update", {"id": first, **trace(1, erp_id="E1")}).status_code == 200

    def test_a_contact_that_is_there_is_named(self, sandbox, ask):
        one = {"properties": {"email": "Ada@Example.com"}}
        first = ask("POST", CONTACTS, json=one).json()
        assert first["properties"]["email"] == "ada@example.com"
        answer = ask("POST", CONTACTS, json=one)
        assert (answer.status_code, answer.json()["category"]) == (409, "CONFLICT")
        assert answer.json()["message"] == f"Contact already exists. Existing ID: {first['id']}"

    def test_an_archived_record_gives_its_value_free(self, send, ask):
        made = send(f"{COMPANIES}/batch/create", trace(1, erp_id="E1")).json()["results"][0]
        assert send(f"{COMPANIES}/batch/archive", {"id": made["id"]}).status_code == 204
        assert send(f"{COMPANIES}/batch/create", trace(2, erp_id="E1")).status_code == 201

    @pytest.mark.parametrize("action", ["read", "update", "upsert"])
    def test_only_a_unique_property_names_records(self, send, action):
        more = {"idProperty": "name", "properties": ["name"]} if action == "read" else {}
        one = {"id": "Acme", "idProperty": "name", "properties": {"name": "Acme"}}
        answer = send(f"{COMPANIES}/batch/{action}", one, **more)
        assert (answer.status_code, "non-unique" in answer.json()["message"]) == (400, True)

    def test_a_batch_names_a_record_once(self, sandbox, send):
        one = {"id": "E1", "idProperty": "erp_id", "properties": {"name": "A"}}
        answer = send(f"{COMPANIES}/batch/upsert", one, one)
        assert (answer.status_code, "Duplicate IDs" in answer.json()["message"]) == (400, True)
        assert sandbox.writes == []

    def test_an_upsert_writes_its_key_and_says_what_is_new(self, send):
        first = {"id": "E1", "idProperty": "erp_id", **trace(1, name="A")}
        second = {"id": "E2", "idProperty": "erp_id", **trace(2, name="B")}
        send(f"{COMPANIES}/batch/upsert", first)
        rows = send(f"{COMPANIES}/batch/upsert", first, second).json()["results"]
        assert {row["properties"]["name"]: row["new"] for row in rows} == {"A": False, "B": True}
        read = {"idProperty": "erp_id", "properties": ["erp_id"]}
        found = send(f"{COMPANIES}/batch/read", {"id": "E1"}, {"id": "E9"}, **read)
        assert (found.status_code, found.json()["errors"][0]["context"]) == (207, {"ids": ["E9"]})
        assert found.json()["results"][0]["properties"]["erp_id"] == "E1"

    def test_a_single_record_is_known_by_a_unique_property_too(self, send, ask):
        send(f"{COMPANIES}/batch/create", trace(1, erp_id="E 1"))
        assert ask("PATCH", f"{COMPANIES}/E 1?idProperty=erp_id", json={"properties": {"name": "A"}}).status_code == 200
        shown = ask("GET", f"{COMPANIES}/E 1?idProperty=erp_id").json()
        assert shown["properties"]["name"] == "A"
        assert ask("GET", f"{COMPANIES}/E 2?idProperty=erp_id").status_code == 404


class TestValues:
    @pytest.mark.parametrize(
        ("name", "given", "held"),
        [
            ("phone", "+49 (30) 1-2", "+49 (30) 1-2"),
            ("credit_limit", "1500.50", "1500.50"),
            ("credit_limit", "", None),
            ("last_invoice_on", "2026-10-20", "2026-10-20"),
            ("last_invoice_on", "1792454400000", "2026-10-20"),
            ("payment_state", "overdue", "overdue"),
            ("domain", "Acme.COM", "acme.com"),
        ],
    )
    def test_values_are_told_as_they_are_held(self, sandbox, ask, name, given, held):
        (number,) = some(sandbox, 1)
        answer = ask("PATCH", f"{COMPANIES}/{number}", json={"properties": {name: given}})
        assert answer.json()["properties"][name] == held
        assert sandbox.hubspot.objects["companies"][number]["properties"].get(name) == held

    @pytest.mark.parametrize(
        ("name", "given", "error"),
        [
            ("credit_limit", "nan", "INVALID_NUMBER"),
            ("credit_limit", "1,500", "INVALID_NUMBER"),
            ("last_invoice_on", "20.10.2026", "INVALID_DATE"),
            ("last_invoice_on", "1792454400001", "INVALID_DATE"),
            ("payment_state", "Overdue", "INVALID_OPTION"),
            ("hubspot_owner_id", "1", "INVALID_OWNER_ID"),
            ("nonsense", "1", "PROPERTY_DOESNT_EXIST"),
        ],
    )
    def test_a_wrong_value_is_named(self, sandbox, ask, name, given, error):
        (number,) = some(sandbox, 1)
        answer = ask("PATCH", f"{COMPANIES}/{number}", json={"properties": {name: given}})
        told = json.loads(answer.json()["message"].partition(": ")[2])
        assert (answer.status_code, told[0]["error"], told[0]["name"]) == (400, error, name)

    def test_a_unique_property_can_be_made(self, ask, send):
        given = {"name": "sap_id", "type": "string", "hasUniqueValue": True}
        assert ask("POST", "/hubspot/crm/v3/properties/companies", json=given).json()["hasUniqueValue"] is True
        send(f"{COMPANIES}/batch/create", trace(1, sap_id="S1"))
        assert send(f"{COMPANIES}/batch/create", trace(2, sap_id="S1")).status_code == 207

    def test_a_truth_is_said_in_small_letters(self, sandbox, ask):
        (number,) = some(sandbox, 1)
        ask("POST", "/hubspot/crm/v3/properties/companies", json={"name": "is_vip", "type": "bool"})
        answers = [
            ask("PATCH", f"{COMPANIES}/{number}", json={"properties": {"is_vip": one}}) for one in ("true", "True")
        ]
        assert [answer.status_code for answer in answers] == [200, 400]


class TestTasks:
    def test_a_task_is_made_changed_and_found_by_its_key(self, send, ask):
        made = send(f"{TASKS}/batch/create", trace(1, **TASK)).json()["results"][0]
        assert made["properties"]["hs_timestamp"] == "2026-10-21T08:00:00.000Z"
        done = {"id": "k1", "idProperty": "belvedere_key", "properties": {"hs_task_status": "COMPLETED"}}
        changed = send(f"{TASKS}/batch/upsert", done).json()["results"][0]
        assert (changed["id"], changed["new"]) == (made["id"], False)
        assert changed["properties"]["hs_task_status"] == "COMPLETED"

    def test_a_task_needs_its_time(self, ask, send):
        answer = ask("POST", TASKS, json={"properties": {"hs_task_subject": "Call"}})
        assert answer.status_code == 400
        assert answer.json()["message"] == "Error creating TASK. Some required properties were not set."
        assert send(f"{TASKS}/batch/create", trace(1, hs_task_subject="Call")).status_code == 207

    @pytest.mark.parametrize(("name", "value"), [("hs_task_status", "DONE"), ("hs_task_priority", "high")])
    def test_a_task_has_options(self, ask, name, value):
        assert ask("POST", TASKS, json={"properties": TASK | {name: value}}).status_code == 400

    def test_a_key_is_there_once(self, sandbox, send):
        for number in range(2):
            send(f"{TASKS}/batch/create", trace(number, **TASK))
        assert len(sandbox.log.created("hubspot", "tasks")) == 1

    def test_a_task_belongs_to_a_company_however_often_it_is_said(self, sandbox, send):
        (company,) = some(sandbox, 1)
        task = send(f"{TASKS}/batch/create", trace(1, **TASK)).json()["results"][0]["id"]
        pair = {"from": {"id": task}, "to": {"id": company}}
        answers = [send(f"{LINKS}/associate/default", pair) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["results"][0]["associationSpec"]["associationTypeId"] == 192
        (read,) = send(f"{LINKS}/read", {"id": task}).json()["results"]
        assert [link["toObjectId"] for link in read["to"]] == [int(company)]
        assert [write["no_change"] for write in sandbox.writes if write["action"] == "associate"] == [False, True]

    def test_a_task_is_made_with_its_company(self, sandbox, send):
        (company,) = some(sandbox, 1)
        types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 192}]
        one = trace(1, **TASK) | {"associations": [{"to": {"id": company}, "types": types}]}
        task = send(f"{TASKS}/batch/create", one).json()["results"][0]["id"]
        assert [link[0] for link in sandbox.hubspot.portal.links["tasks", "companies"][task]] == [company]

    def test_a_named_type_must_lead_from_one_kind_to_the_other(self, sandbox, send):
        (company,) = some(sandbox, 1)
        task = send(f"{TASKS}/batch/create", trace(1, **TASK)).json()["results"][0]["id"]
        pair = {"from": {"id": task}, "to": {"id": company}}
        types = [[{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id}] for type_id in (192, 5)]
        answers = [send(f"{LINKS}/create", pair | {"types": one}) for one in types]
        assert [answer.status_code for answer in answers] == [201, 207]

    def test_who_is_not_there_belongs_to_nobody(self, sandbox, send):
        (company,) = some(sandbox, 1)
        answer = send(f"{LINKS}/associate/default", {"from": {"id": "1"}, "to": {"id": company}})
        assert (answer.status_code, answer.json()["errors"][0]["context"]["fromObjectId"]) == (207, ["1"])


class TestMishaps:
    def test_one_record_of_a_batch_is_refused(self, sandbox, send):
        numbers = some(sandbox, 3)
        sandbox.faults.add(f"{COMPANIES}/batch/update", "partial", record=1)
        answer = send(f"{COMPANIES}/batch/update", *({"id": one, **trace(1, city="Ulm")} for one in numbers))
        assert (answer.status_code, answer.json()["errors"][0]["context"]["ids"]) == (207, [numbers[1]])
        assert [write["id"] for write in sandbox.writes] == [numbers[0], numbers[2]]

    @pytest.mark.parametrize("echo", [False, True])
    def test_a_success_may_have_written_nothing(self, sandbox, ask, echo):
        (number,) = some(sandbox, 1)
        before = sandbox.hubspot.objects["companies"][number]["properties"]["city"]
        sandbox.faults.add(f"{COMPANIES}/{number}", "silent", method="PATCH", echo=echo)
        answer = ask("PATCH", f"{COMPANIES}/{number}", json={"properties": {"city": "Nowhere"}})
        assert answer.json()["properties"]["city"] == ("Nowhere" if echo else before)
        assert sandbox.hubspot.objects["companies"][number]["properties"]["city"] == before
        assert sandbox.writes == []

    def test_a_new_record_may_never_have_been_there(self, sandbox, ask, send):
        sandbox.faults.add(f"{TASKS}/batch/create", "silent", times=1)
        number = send(f"{TASKS}/batch/create", trace(1, **TASK)).json()["results"][0]["id"]
        assert ask("GET", f"{TASKS}/{number}").status_code == 404
        assert send(f"{TASKS}/batch/create", trace(1, **TASK)).json()["results"][0]["id"] != number

    def test_results_come_in_an_order_of_their_own(self, sandbox, send):
        numbers = some(sandbox, 3)
        answer = send(f"{COMPANIES}/batch/update", *({"id": one, **trace(1, city="Ulm")} for one in numbers))
        assert [row["id"] for row in answer.json()["results"]] == numbers[::-1]
