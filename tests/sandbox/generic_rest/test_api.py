"""The plain system does what its traits say, and the log tells who wrote."""

import pytest

CUSTOMERS = "/plain/customers"
LET_IN = {"X-Api-Key": "sandbox-plain-key"}
NEW = {"name": "Acme", "external_ref": "E1"}


@pytest.fixture
def call(ask):
    def send(method: str, path: str, body=None, **headers):
        return ask(
            method, path, json=body, headers=LET_IN | {name.replace("_", "-"): headers[name] for name in headers}
        )

    return send


def first(sandbox) -> str:
    return min(sandbox.plain.rows["customers"])


class TestReading:
    def test_nobody_comes_in_without_the_key(self, ask):
        assert ask("GET", CUSTOMERS, headers={}).status_code == 401

    def test_pages_by_cursor_and_tells_how_many(self, sandbox, call):
        ids, after = [], ""
        while after is not None:
            body = call("GET", f"{CUSTOMERS}?limit=7&after={after}").json()
            ids, after = ids + [row["id"] for row in body["data"]], body["next"]
        assert ids == sorted(sandbox.plain.rows["customers"])
        assert body["total"] == len(ids) == 30

    def test_lists_what_changed_and_what_has_a_value(self, sandbox, call):
        sandbox.clock.advance(3600)
        since = call("GET", "/plain/customers?limit=1").headers["Date"]
        sandbox.edit("plain", "customers", first(sandbox), {"external_ref": "E7"})
        found = [
            call("GET", f"{CUSTOMERS}?{asked}").json()["data"]
            for asked in ("updated_since=2026-10-20", "external_ref=E7&external_ref=E8")
        ]
        assert since
        assert [[row["id"] for row in rows] for rows in found] == [[first(sandbox)]] * 2

    def test_what_is_not_there_is_not_found(self, call):
        assert [call("GET", path).status_code for path in (f"{CUSTOMERS}/C9", "/plain/nothing")] == [404, 404]
        assert call("PUT", f"{CUSTOMERS}/C9", {}).status_code == 405
        assert call("GET", "/plain/me").json() == {"account": "Plain of the sandbox"}

    def test_an_outage_looks_like_success(self, sandbox, call):
        sandbox.faults.add("/plain", "empty")
        assert call("GET", CUSTOMERS).json() == {"data": [], "next": None, "total": 0}


class TestWriting:
    def test_a_record_is_made_changed_and_deleted(self, sandbox, call):
        made = call("POST", CUSTOMERS, NEW | {"phone": "+49 (30) 1"})
        number = made.json()["id"]
        assert (made.status_code, made.json()["phone"], made.headers["ETag"]) == (201, "+49301", '"1"')
        assert call("PATCH", f"{CUSTOMERS}/{number}", {"city": "Ulm"}).json()["version"] == 2
        assert call("PATCH", f"{CUSTOMERS}/{number}", {"city": "Ulm"}).json()["version"] == 2
        assert call("DELETE", f"{CUSTOMERS}/{number}").status_code == 204
        assert call("PATCH", f"{CUSTOMERS}/{number}", {"city": "Bonn"}).status_code == 404
        assert [write["action"] for write in sandbox.writes] == ["create", "update", "update", "delete"]
        assert [write["id"] for write in sandbox.log.needless()] == [number]

    @pytest.mark.parametrize(
        ("values", "field"), [({"city": "Ulm"}, "name"), ({"name": "A", "credit_limit": "5"}, "credit_limit")]
    )
    def test_a_wrong_value_is_refused(self, call, values, field):
        answer = call("POST", CUSTOMERS, values)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)

    def test_what_nobody_may_write_is_left_out(self, sandbox, call):
        answer = call("PATCH", f"{CUSTOMERS}/{first(sandbox)}", {"id": "X", "version": 9})
        assert (answer.json()["id"], answer.json()["version"]) == (first(sandbox), 1)
        assert sandbox.writes == []

    def test_a_unique_value_is_taken_once(self, sandbox, call):
        assert [call("POST", CUSTOMERS, NEW).status_code for _ in range(2)] == [201, 409]
        sandbox.plain.set(unique=None)
        assert call("POST", CUSTOMERS, NEW).status_code == 201
        assert list(sandbox.log.doubled("external_ref")) == [("plain", "customers", "E1")]
        assert list(sandbox.log.doubled("name")) == [("plain", "customers", "Acme")]
        assert sandbox.log.doubled() == {}

    def test_a_key_is_never_done_twice(self, sandbox, call):
        sandbox.plain.set(unique=None)
        answers = [call("POST", CUSTOMERS, NEW, Idempotency_Key="op1") for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
        assert call("POST", CUSTOMERS, NEW | {"city": "Ulm"}, Idempotency_Key="op1").status_code == 422
        assert [write["op"] for write in sandbox.writes] == ["op1"]
        sandbox.plain.set(idempotent=False)
        call("POST", CUSTOMERS, NEW, Idempotency_Key="op1")
        assert len(sandbox.writes) == 2

    def test_a_version_that_has_moved_on_is_refused(self, sandbox, call):
        path = f"{CUSTOMERS}/{first(sandbox)}"
        tag = call("GET", path).headers["ETag"]
        sandbox.edit("plain", "customers", first(sandbox), {"city": "Theirs"})
        assert call("PATCH", path, {"city": "Ours"}, If_Match=tag).status_code == 412
        assert call("DELETE", path, If_Match=tag).status_code == 412
        assert call("PATCH", path, {"zip": "1"}, If_Match='"2"').status_code == 200
        sandbox.plain.set(versions=False)
        answer = call("PATCH", path, {"city": "Ours"}, If_Match=tag)
        assert (answer.status_code, "ETag" in answer.headers, "version" in answer.json()) == (200, False, False)

    def test_reading_lags_behind(self, sandbox, call):
        sandbox.clock.stop()
        sandbox.plain.set(lag=5)
        path = f"{CUSTOMERS}/{first(sandbox)}"
        before = call("GET", path).json()["city"]
        call("PATCH", path, {"city": "Ulm"})
        made = call("POST", CUSTOMERS, NEW).json()["id"]
        call("DELETE", f"{CUSTOMERS}/{max(sandbox.plain.rows['customers'])}")

        def seen() -> tuple:
            found = call("GET", f"{CUSTOMERS}?external_ref=E1").json()["data"]
            return call("GET", path).json()["city"], call("GET", f"{CUSTOMERS}/{made}").status_code, len(found)

        assert seen() == (before, 404, 0)
        sandbox.clock.advance(4)
        assert seen() == (before, 404, 0)
        call("PATCH", path, {"city": "Bonn"})
        sandbox.clock.advance(1)
        assert seen()[0] == "Ulm"
        sandbox.clock.advance(4)
        assert seen()[0] == "Bonn"

    def test_a_deleted_record_is_seen_until_the_lag_is_over(self, sandbox, call):
        sandbox.clock.stop()
        sandbox.plain.set(lag=5)
        path = f"{CUSTOMERS}/{first(sandbox)}"
        call("DELETE", path)
        assert call("GET", path).status_code == 200
        sandbox.clock.advance(5)
        assert call("GET", path).status_code == 404

    def test_a_field_may_be_taken_and_never_written(self, sandbox, call):
        sandbox.plain.set(ignored=["city"])
        path = f"{CUSTOMERS}/{first(sandbox)}"
        before = call("GET", path).json()
        answer = call("PATCH", path, {"city": "Nowhere"})
        assert (answer.status_code, answer.json()) == (200, before)
        assert sandbox.writes == []


class TestBatch:
    def test_each_item_has_its_outcome_in_an_order_of_its_own(self, sandbox, call):
        one, two, *_ = sorted(sandbox.plain.rows["customers"])
        items = [
            {"op": "update", "op_id": "a", "id": one, "version": 1, "values": {"city": "Ulm"}},
            {"op": "update", "op_id": "b", "id": two, "version": 7, "values": {"city": "Ulm"}},
            {"op": "create", "op_id": "c", "values": {"name": "New", "external_ref": "E1"}},
            {"op": "create", "op_id": "d", "values": {"name": "Newer", "external_ref": "E1"}},
            {"op": "delete", "op_id": "e", "id": "C9"},
        ]
        answer = call("POST", f"{CUSTOMERS}/batch", {"items": items})
        told = {item["op_id"]: item["status"] for item in answer.json()["items"]}
        assert (answer.status_code, told) == (207, {"a": 200, "b": 412, "c": 201, "d": 409, "e": 404})
        assert list(told) != ["a", "b", "c", "d", "e"]
        assert [(write["op"], write["key"]) for write in sandbox.writes] == [("a", None), ("c", "E1")]

    def test_an_item_is_never_done_twice(self, sandbox, call):
        sandbox.plain.set(unique=None)
        item = {"op": "create", "op_id": "a", "values": NEW}
        answers = [call("POST", f"{CUSTOMERS}/batch", {"items": [item]}).json() for _ in range(2)]
        assert answers[0] == answers[1]
        assert len(sandbox.writes) == 1

    def test_a_batch_has_its_size_or_is_not_there(self, sandbox, call):
        item = {"op": "delete", "id": "C9"}
        assert call("POST", f"{CUSTOMERS}/batch", {"items": [item] * 101}).status_code == 413
        sandbox.plain.set(batch=0)
        assert call("POST", f"{CUSTOMERS}/batch", {"items": [item]}).status_code == 405

    def test_one_item_may_be_refused(self, sandbox, call):
        sandbox.faults.add(f"{CUSTOMERS}/batch", "partial", record=1)
        items = [{"op": "create", "op_id": str(one), "values": {"name": "A"}} for one in range(3)]
        told = call("POST", f"{CUSTOMERS}/batch", {"items": items}).json()["items"]
        assert {item["op_id"]: item["status"] for item in told} == {"0": 201, "1": 422, "2": 201}


class TestMishaps:
    @pytest.mark.parametrize("echo", [False, True])
    def test_a_success_may_have_written_nothing(self, sandbox, call, echo):
        path = f"{CUSTOMERS}/{first(sandbox)}"
        sandbox.faults.add("/plain", "silent", writes=True, echo=echo)
        answer = call("PATCH", path, {"city": "Nowhere"})
        assert (answer.json()["city"] == "Nowhere") is echo
        number = call("POST", CUSTOMERS, NEW, Idempotency_Key="op1").json()["id"]
        assert call("DELETE", path).status_code == 204
        assert call("GET", f"{CUSTOMERS}/{number}").status_code == 404
        assert call("GET", path).json()["city"] != "Nowhere"
        assert sandbox.writes == []

    def test_a_single_record_may_be_refused(self, sandbox, call):
        sandbox.faults.add("/plain", "partial")
        assert call("POST", CUSTOMERS, NEW).status_code == 422
        assert sandbox.writes == []

    def test_a_lost_answer_and_the_same_key_make_one_record(self, sandbox, call):
        sandbox.plain.set(unique=None)
        sandbox.faults.add(CUSTOMERS, "error", status=503, times=1)
        assert call("POST", CUSTOMERS, NEW, Idempotency_Key="op1").status_code == 503
        assert sandbox.writes == []
        assert [call("POST", CUSTOMERS, NEW, Idempotency_Key="op1").status_code for _ in range(2)] == [201, 201]
        assert len(sandbox.log.created("plain", "customers")) == 1


class TestControl:
    def test_traits_are_set_from_outside(self, sandbox, ask):
        assert ask("GET", "/_sandbox/plain").json()["unique"] == "external_ref"
        told = ask("POST", "/_sandbox/plain", json={"unique": None, "ignored": ["city"], "lag": 2}).json()
        assert (told["unique"], told["ignored"], told["lag"]) == (None, ["city"], 2)
        answer = ask("POST", "/_sandbox/plain", json={"fast": True})
        assert (answer.status_code, "choices: idempotent, unique" in answer.json()["error"]) == (400, True)


class TestLog:
    def test_people_are_logged_apart_and_in_one_order(self, sandbox, call, ask):
        path = f"{CUSTOMERS}/{first(sandbox)}"
        call("PATCH", path, {"city": "Ours"})
        sandbox.edit("plain", "customers", first(sandbox), {"city": "Theirs"})
        made = sandbox.create("plain", "tasks", {"name": "Call"})
        call("PATCH", path, {"city": "Ours"})
        assert [write["seq"] for write in sandbox.writes] == [1, 4]
        assert [(one["seq"], one["id"], one["before"], one["after"]) for one in sandbox.edits] == [
            (2, first(sandbox), {"city": "Ours"}, {"city": "Theirs"}),
            (3, made, {"name": None}, {"name": "Call"}),
        ]
        assert {one["by"] for one in ask("GET", "/_sandbox/edits").json()} == {"people"}
        assert {one["by"] for one in ask("GET", "/_sandbox/writes").json()} == {"us"}

    @pytest.mark.parametrize(
        ("system", "kind", "values"),
        [
            ("hubspot", "companies", {"city": "Ulm"}),
            ("odoo", "res.partner", {"city": "Ulm"}),
            ("zendesk", "organizations", {"notes": "x"}),
            ("plain", "customers", {"city": "Ulm"}),
        ],
    )
    def test_every_systems_people_are_logged(self, sandbox, system, kind, values):
        held = {"hubspot": "objects", "plain": "rows"}.get(system, "tables")
        one, two, *_ = getattr(getattr(sandbox, system), held)[kind]
        sandbox.edit(system, kind, one, values)
        sandbox.bulk(system, kind, [one, two], values)
        told = [(edit["id"], edit["no_change"]) for edit in sandbox.edits]
        assert told == [(str(one), False), (str(one), True), (str(two), False)]
        assert sandbox.edits[0]["after"] == values

    def test_what_was_there_already_is_told_field_by_field(self, sandbox, call):
        path = f"{CUSTOMERS}/{first(sandbox)}"
        city = call("GET", path).json()["city"]
        call("PATCH", path, {"city": city, "zip": "new"})
        (write,) = sandbox.log.needless()
        assert (write["same"], write["after"], write["no_change"]) == (["city"], {"zip": "new"}, False)

    def test_two_records_under_one_key_are_told(self, sandbox, call):
        sandbox.plain.set(unique="external_ref")
        call("POST", CUSTOMERS, NEW)
        sandbox.delete("plain", "customers", sandbox.log.created("plain", "customers")[0])
        call("POST", CUSTOMERS, NEW)
        assert sandbox.log.doubled() == {("plain", "customers", "E1"): sandbox.log.created("plain", "customers")}
