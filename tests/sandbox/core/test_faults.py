"""Faults by route, and the control plane."""

from datetime import date
from threading import Event
from time import monotonic

import pytest
import requests

from sandbox.core.faults import KINDS, Fault, Faults
from sandbox.server import Sandbox

OWNERS = "/hubspot/crm/v3/owners"
CREATE = "/hubspot/crm/v3/objects/companies/batch/create"
NEW = {"inputs": [{"properties": {"name": "New"}}]}


def struck(asked: int = 10, **options) -> list[int]:
    fault = Fault("/a", "error", **options)
    return [number for number in range(1, asked + 1) if fault.strikes("GET", "/a/b")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [*range(1, 11)]),
        ({"times": 2}, [1, 2]),
        ({"after": 7}, [8, 9, 10]),
        ({"every": 4}, [4, 8]),
        ({"after": 4, "every": 4, "times": 1}, [8]),
        ({"share": 0.0}, []),
        ({"share": 1.0}, [*range(1, 11)]),
        ({"method": "POST"}, []),
    ],
)
def test_a_fault_strikes_the_requests_that_were_chosen(options, expected):
    assert struck(**options) == expected


def test_a_share_is_the_same_each_time():
    assert struck(100, share=0.3) == struck(100, share=0.3)
    assert 15 < len(struck(100, share=0.3)) < 45


def test_an_unknown_fault_names_the_choices():
    with pytest.raises(ValueError, match="unknown fault 'fire'; choices: latency, rate_limit"):
        Fault("/a", "fire")


def test_the_rate_limit_says_when_to_come_back(sandbox, ask):
    sandbox.faults.add(OWNERS, "rate_limit", retry_after=7, times=1)
    answer = ask("GET", OWNERS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert ask("GET", OWNERS).status_code == 200


def test_the_rate_limit_may_say_nothing(sandbox, ask):
    sandbox.faults.add(OWNERS, "rate_limit")
    answer = ask("GET", OWNERS)
    assert "Retry-After" not in answer.headers
    assert answer.json()["errorType"] == "RATE_LIMIT"


def test_an_error_has_the_status_that_was_asked_for(sandbox, ask):
    sandbox.faults.add(OWNERS, "error", status=502)
    assert ask("GET", OWNERS).status_code == 502


def test_a_reset_breaks_the_connection(sandbox, ask):
    sandbox.faults.add(OWNERS, "reset")
    with pytest.raises(requests.ConnectionError):
        ask("GET", OWNERS)


def test_a_truncated_answer_is_shorter_than_it_says(sandbox, ask):
    sandbox.faults.add(OWNERS, "truncated")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        ask("GET", OWNERS)


def test_a_login_page_comes_with_200(sandbox, ask):
    sandbox.faults.add(OWNERS, "html")
    answer = ask("GET", OWNERS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_a_token_can_expire(sandbox, ask):
    sandbox.faults.add(OWNERS, "expired_token", times=1)
    assert [ask("GET", OWNERS).status_code for _ in range(2)] == [401, 200]


def test_latency_delays_but_answers(sandbox, ask):
    sandbox.faults.add(OWNERS, "latency", ms=40)
    began = monotonic()
    assert ask("GET", OWNERS).status_code == 200
    assert monotonic() - began >= 0.04


def test_faults_add_up(sandbox, ask):
    sandbox.faults.add(OWNERS, "latency", ms=1)
    sandbox.faults.add(OWNERS, "error", status=503)
    assert ask("GET", OWNERS).status_code == 503


def test_a_lost_answer_belongs_to_a_write_that_was_applied(sandbox, ask):
    sandbox.faults.add(CREATE, "lost_answer")
    with pytest.raises(requests.ConnectionError):
        ask("POST", CREATE, json=NEW)
    assert [entry["after"] for entry in sandbox.writes] == [{"name": "New"}]


def test_a_delayed_write_is_applied_after_its_refusal(sandbox, ask):
    sandbox.clock.stop()
    sandbox.faults.add(CREATE, "delayed_write", delay=30, times=2)
    assert [ask("POST", CREATE, json=NEW).status_code for _ in range(2)] == [504, 504]
    sandbox.clock.advance(29)
    assert sandbox.writes == []
    sandbox.clock.advance(1)
    assert len(sandbox.writes) == 2
    sandbox.clock.advance(60)
    assert len(sandbox.writes) == 2


def test_a_delayed_write_needs_nobody_to_push_a_clock_that_runs(sandbox, ask):
    applied = Event()
    sandbox.faults.add(CREATE, "delayed_write", delay=0.01)
    assert ask("POST", CREATE, json=NEW).status_code == 504
    sandbox.clock.later(0.02, applied.set)
    assert applied.wait(5)
    assert len(sandbox.writes) == 1


def test_a_lock_is_told_as_each_system_tells_it(sandbox, ask, odoo):
    sandbox.faults.add("/", "locked", writes=True)
    assert ask("POST", CREATE, json=NEW).status_code == 423
    assert odoo("res.partner", "write", [1], {"city": "Ulm"}) == "psycopg2.errors.SerializationFailure"
    assert odoo("res.partner", "read", [1], ["city"])[0]["id"] == 1
    organization = next(iter(sandbox.zendesk.tables["organizations"]))
    path = f"/zendesk/api/v2/organizations/{organization}.json"
    assert ask("PUT", path, json={"organization": {"notes": "x"}}).status_code == 409
    assert sandbox.writes == []


@pytest.mark.parametrize(("lock", "name"), [("deadlock", "DeadlockDetected"), ("nowait", "LockNotAvailable")])
def test_a_database_has_more_than_one_kind_of_lock(sandbox, odoo, lock, name):
    sandbox.faults.add(f"{PARTNERS}/write", "locked", lock=lock)
    assert odoo("res.partner", "write", [1], {"city": "Ulm"}) == f"psycopg2.errors.{name}"


def test_a_fault_may_spare_what_comes_alone():
    faults = Faults()
    faults.add("/a", "locked", beyond=1)
    with faults.striking("POST", "/a") as first, faults.striking("POST", "/a") as second:
        assert (len(first), len(second)) == (0, 1)
    with faults.striking("POST", "/a") as alone:
        assert alone == []


@pytest.mark.parametrize(
    ("method", "place", "expected"),
    [
        ("GET", "/hubspot/crm/v3/objects/tasks", False),
        ("POST", "/hubspot/crm/v3/objects/tasks/search", False),
        ("POST", "/hubspot/crm/v3/objects/tasks/batch/read", False),
        ("POST", "/hubspot/crm/v3/objects/tasks/batch/upsert", True),
        ("POST", "/odoo/jsonrpc", False),
        ("POST", "/odoo/jsonrpc/res.partner/search_read", False),
        ("POST", "/odoo/jsonrpc/res.partner/load", True),
        ("POST", "/odoo/jsonrpc/mail.activity/action_feedback", True),
        ("PATCH", "/plain/customers/1", True),
    ],
)
def test_a_fault_of_writes_leaves_reading_alone(method, place, expected):
    assert Fault("/", "error", writes=True).strikes(method, place) is expected


def test_another_seed_strikes_others():
    assert struck(100, share=0.3, seed=2) != struck(100, share=0.3)
    assert struck(100, share=0.3, seed=2) == struck(100, share=0.3, seed=2)


def test_every_kind_of_fault_is_tested():
    assert set(KINDS) == {
        "latency",
        "rate_limit",
        "error",
        "reset",
        "truncated",
        "html",
        "expired_token",
        "lost_answer",
        "delayed_write",
        "empty",
        "drip",
        "foreign_link",
        "foreign_redirect",
        "duplicate_page",
        "bad_json",
        "locked",
        "partial",
        "silent",
    }


DEALS = "/hubspot/crm/v3/objects/deals"
PARTNERS = "/odoo/jsonrpc/res.partner"
TICKETS = "/zendesk/api/v2/incremental/tickets/cursor.json?start_time=0&per_page=10"
ORGANIZATIONS = "/zendesk/api/v2/incremental/organizations.json?start_time=0&per_page=5"
SEARCH = {"filterGroups": [], "sorts": [], "properties": [], "limit": 5, "after": "0"}


def test_an_outage_looks_like_success_in_each_systems_own_shape(sandbox, ask, odoo):
    sandbox.faults.add("/", "empty")
    assert ask("GET", f"{DEALS}?limit=5").json() == {"results": []}
    assert ask("POST", f"{DEALS}/search", json=SEARCH).json() == {"total": 0, "results": []}
    tickets = ask("GET", TICKETS).json()
    assert (tickets["tickets"], tickets["end_of_stream"]) == ([], True)
    listed = ask("GET", "/zendesk/api/v2/satisfaction_ratings.json?page[size]=2").json()
    assert listed["meta"] == {"has_more": False, "after_cursor": None}
    assert listed["links"]["next"] is None
    assert odoo("res.partner", "search_read", []) == []
    assert odoo("res.partner", "search_count", []) == 0
    assert "name" in odoo("res.partner", "fields_get")


def test_a_call_of_odoo_is_told_by_model_and_method(sandbox, odoo):
    sandbox.faults.add(f"{PARTNERS}/search_read", "empty")
    assert odoo("res.partner", "search_read", []) == []
    assert odoo("res.partner", "search_count", []) > 0
    assert odoo("account.move", "search_read", [], limit=1) != []


def test_a_drip_is_slow_and_whole(sandbox, ask):
    sandbox.faults.add(OWNERS, "drip", ms=3)
    began = monotonic()
    assert len(ask("GET", OWNERS).json()["results"]) > 5
    assert monotonic() - began >= 0.05


@pytest.mark.parametrize("path", [f"{DEALS}?limit=5", TICKETS, ORGANIZATIONS])
def test_links_can_lead_elsewhere(sandbox, ask, path):
    assert "127.0.0.1:9/" not in ask("GET", path).text
    sandbox.faults.add("/", "foreign_link")
    answer = ask("GET", path)
    assert "http://127.0.0.1:9/" in answer.text
    assert sandbox.url not in answer.text


def test_a_redirect_can_lead_elsewhere(sandbox, ask):
    sandbox.faults.add(OWNERS, "foreign_redirect", to="http://127.0.0.1:1")
    answer = ask("GET", f"{OWNERS}?limit=5", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"http://127.0.0.1:1{OWNERS}?limit=5")


def test_a_page_can_come_twice(sandbox, ask, odoo):
    sandbox.faults.add("/", "duplicate_page", every=2)
    first = ask("GET", f"{DEALS}?limit=5").json()
    after = first["paging"]["next"]["after"]
    assert ask("GET", f"{DEALS}?limit=5&after={after}").json() == first
    assert ask("GET", f"{DEALS}?limit=5&after={after}").json() != first
    assert ask("GET", f"{DEALS}?limit=5&archived=true").json() != first  # another question has no previous answer


def test_a_page_of_odoo_can_come_twice(sandbox, odoo):
    sandbox.faults.add(PARTNERS, "duplicate_page", every=2)
    first = odoo("res.partner", "search", [["id", ">", 0]], limit=3, order="id")
    assert odoo("res.partner", "search", [["id", ">", first[-1]]], limit=3, order="id") == first


def test_broken_json_comes_as_a_whole_answer(sandbox, ask):
    sandbox.faults.add(OWNERS, "bad_json")
    answer = ask("GET", OWNERS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json;charset=utf-8")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


def test_something_happens_between_two_pages(sandbox, ask):
    number = max(sandbox.hubspot.objects["deals"], key=int)
    hook = sandbox.when(DEALS, after=2, do=lambda: sandbox.edit("hubspot", "deals", number, {"dealname": "Moved"}))
    names = []
    for _ in range(3):
        answer = ask("GET", f"{DEALS}?limit=1&after={number}").json()["results"][0]
        names.append(answer["properties"]["dealname"] == "Moved")
    assert names == [False, False, True]
    assert hook.done


def test_what_goes_wrong_between_two_pages_is_not_hidden():
    with pytest.raises(KeyError, match="no such deal"), Sandbox(5, 3, date(2026, 10, 20)) as sandbox:
        sandbox.when("/hubspot", after=1, do=lambda: sandbox.edit("hubspot", "deals", "no such deal", {}))
        requests.get(f"{sandbox.url}/hubspot/crm/v3/owners", timeout=5)


def test_faults_can_be_set_and_cleared_from_outside(ask):
    given = {"match": OWNERS, "kind": "error", "times": 1}
    assert ask("POST", "/_sandbox/faults", json=given).json()[0]["kind"] == "error"
    assert ask("GET", OWNERS).status_code == 500
    assert ask("GET", "/_sandbox/faults").json()[0]["hits"] == 1
    assert ask("DELETE", "/_sandbox/faults").json() == {}
    assert ask("GET", "/_sandbox/faults").json() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "faults", {"match": "/a", "kind": "fire"}, 400),
        ("POST", "faults", {"kindd": "error"}, 400),
        ("POST", "faults", [1], 400),
        ("POST", "clock", {}, 400),
        ("POST", "clock", {"advance_seconds": "soon"}, 400),
        ("GET", "nothing", None, 404),
        ("PUT", "clock", {}, 404),
        ("GET", "edit", None, 404),
        ("POST", "edit", {"system": "sap", "kind": "deals", "number": "1", "values": {}}, 400),
        ("POST", "merge", {"system": "odoo", "kind": "res.partner", "winner": 1, "loser": 2}, 400),
        ("POST", "schema", {"system": "odoo", "change": "burn", "kind": "res.partner", "name": "vat"}, 400),
    ],
)
def test_a_wrong_control_is_refused_with_a_reason(ask, method, path, body, status):
    answer = ask(method, f"/_sandbox/{path}", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_the_control_plane_has_no_faults(sandbox, ask):
    sandbox.faults.add("/", "error")
    assert ask("GET", "/_sandbox/clock").status_code == 200


def test_the_clock_runs_from_five_in_the_morning_and_is_pushed_on(ask):
    assert ask("GET", "/_sandbox/clock").json()["now"].startswith("2026-10-20T05:00:0")
    answer = ask("POST", "/_sandbox/clock", json={"advance_seconds": 3600})
    assert answer.json()["now"].startswith("2026-10-20T06:00:0")
    assert answer.headers["Date"].startswith("Tue, 20 Oct 2026 06:00:0")


def test_requests_are_counted(ask):
    for _ in range(3):
        ask("GET", OWNERS)
    assert {"method": "GET", "path": OWNERS, "count": 3} in ask("GET", "/_sandbox/requests").json()
    ask("DELETE", "/_sandbox/requests")
    assert OWNERS not in {row["path"] for row in ask("GET", "/_sandbox/requests").json()}


def test_truth_writes_and_changes_are_told(sandbox, ask):
    assert len(ask("GET", "/_sandbox/truth").json()["customers"]) == 30
    assert ask("GET", "/_sandbox/writes").json() == []
    assert {row["system"] for row in ask("POST", "/_sandbox/changes").json()} == {"hubspot", "odoo", "zendesk"}


def test_deeds_can_be_done_from_outside(sandbox, ask):
    made = ask("POST", "/_sandbox/create", json={"system": "hubspot", "kind": "companies", "values": {"name": "New"}})
    number = made.json()["id"]
    given = {"system": "hubspot", "kind": "companies", "number": number}
    ask("POST", "/_sandbox/edit", json=given | {"values": {"name": "Newer"}})
    assert sandbox.hubspot.objects["companies"][number]["properties"]["name"] == "Newer"
    ask("POST", "/_sandbox/delete", json=given | {"forever": True})
    assert number not in sandbox.hubspot.objects["companies"]
    used = next(row["partner_id"] for row in sandbox.odoo.tables["account.move"].values() if row["partner_id"])
    answer = ask("POST", "/_sandbox/delete", json={"system": "odoo", "kind": "res.partner", "number": used})
    assert (answer.status_code, "used in accounting" in answer.json()["error"]) == (400, True)
    assert sandbox.writes == []


def test_an_unknown_system_names_the_choices(ask):
    assert ask("GET", "/salesforce/x").json() == {"error": "choices: hubspot, odoo, zendesk, plain, _sandbox"}


def test_a_body_that_is_no_json_is_refused(ask):
    assert ask("POST", CREATE, data=b"{").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "POST",
            "/hubspot/crm/v3/objects/companies/search",
            {"filterGroups": [{}]} | dict.fromkeys(["sorts", "properties", "limit", "after"]),
        ),
        ("GET", f"{OWNERS}?limit=many", None),
        ("POST", "/odoo/jsonrpc", {"params": {}}),
        ("GET", "/zendesk/api/v2/incremental/tickets/cursor.json?cursor=!", None),
    ],
)
def test_a_request_beyond_understanding_is_answered_all_the_same(ask, method, path, body):
    answer = ask(method, path, json=body)
    assert answer.status_code == 500
    assert "the sandbox cannot read this request" in answer.json()["message"]


def test_listens_on_this_machine_only(sandbox):
    assert sandbox.server.server_address[0] == "127.0.0.1"
