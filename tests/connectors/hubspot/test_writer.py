"""HubSpot's write side: keys, values by their types, deletions, tasks with their companies, and what is held now."""
# ruff: noqa: F811 - fixtures of its elder twin are asked for by name

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from requests import PreparedRequest

from connectors.hubspot.connector import HubSpot
from connectors.hubspot.tasks import COMPANY, FIELD, TASKS
from connectors.hubspot.values import as_text, as_value
from connectors.kit.base import Change, Outcome, SourceField
from connectors.kit.errors import AccessError, ReplyError
from connectors.kit.stream import Slice, Stream
from sandbox.server import Sandbox
from tests.connectors.hubspot.test_connector import (  # noqa: F401
    NOW,
    alive,
    answered,
    body_of,
    change,
    connected,
    hubspot,
    sent,
    stream,
    with_pages_of,
)
from transforms.delivery.field_diff import is_same

ACCOUNTS = stream("accounts")


def field(name: str, kind: str = "string", *, is_unique: bool = False) -> SourceField:
    return SourceField(f"properties.{name}", kind, is_unique=is_unique)


FIELDS = {
    "belvedere_key": field("belvedere_key", is_unique=True),
    "name": field("name"),
    "score": field("score", "number"),
    "due": field("due", "datetime"),
    "day": field("day", "date"),
    "is_key": field("is_key", "bool"),
    "hs_task_subject": field("hs_task_subject"),
    "hs_task_status": field("hs_task_status", "enumeration"),
    "hs_timestamp": field("hs_timestamp", "datetime"),
}


def create(op_id: str, key: str | None = "belvedere_key", **after: Any) -> Change:
    return Change(op_id, None, after, action="create", key=key)


def statuses(outcomes: list[Outcome]) -> dict[str, str]:
    return {one.op_id: one.status for one in outcomes}


class TestValues:
    @pytest.mark.parametrize(
        ("value", "kind", "text"),
        [
            (date(2026, 10, 20), "date", "2026-10-20"),
            (date(2026, 10, 20), "datetime", "2026-10-20T00:00:00.000Z"),
            ("2026-10-20", "datetime", "2026-10-20T00:00:00.000Z"),
            ("2026-10-20T02:00:00+02:00", "datetime", "2026-10-20T00:00:00.000Z"),
            ("2026-10-20T23:30:00-02:00", "date", "2026-10-21"),
            (1792454400000, "date", "2026-10-20"),
            ("soon", "date", "soon"),
            (True, "bool", "true"),
            ("2026-10-20", "string", "2026-10-20"),
        ],
    )
    def test_is_written_as_its_property_takes_it(self, value: Any, kind: str, text: str):
        assert as_text(value, kind) == text

    @pytest.mark.parametrize(
        ("text", "kind", "value"),
        [
            ("71.3", "number", 71.3),
            ("100", "number", 100),
            ("1.5E+2", "number", 150),
            ("N/A", "number", "N/A"),
            ("1E+999999999", "number", "1E+999999999"),
            ("NaN", "number", "NaN"),
            ("true", "bool", True),
            ("false", "bool", False),
            ("yes", "bool", "yes"),
            ("2026-10-20", "date", "2026-10-20"),
            ("1792454400000", "date", "2026-10-20"),
            ("2026-10-20T05:00:00.000Z", "datetime", "2026-10-20T05:00:00+00:00"),
            ("2026-10-20T05:00:00Z", "datetime", "2026-10-20T05:00:00+00:00"),
            ("1792454400000", "datetime", "2026-10-20T00:00:00+00:00"),
            ("99999999999999999999", "datetime", "99999999999999999999"),
            ("01067", "string", "01067"),
            ("true", "enumeration", "true"),
            ("", "number", None),
            (None, "string", None),
            ({"a": 1}, "bool", {"a": 1}),
        ],
    )
    def test_is_read_by_the_type_of_its_property(self, text: Any, kind: str, value: Any):
        assert as_value(text, kind) == value
        assert type(as_value(text, kind)) is type(value)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (71.3, "number"),
            (0.1 + 0.2, "number"),
            (Decimal("12.50"), "number"),
            (True, "bool"),
            (date(2026, 10, 20), "date"),
            (datetime(2026, 10, 20, 5, tzinfo=UTC), "datetime"),
            ("2026-10-20T05:00:00+00:00", "datetime"),
            ("Ünï", "string"),
            (None, "number"),
        ],
    )
    def test_what_was_written_is_the_same_when_it_comes_back(self, value: Any, kind: str):
        assert is_same(as_value(as_text(value, kind), kind), value, 1e-9)


class TestKeys:
    def test_a_unique_key_makes_an_upsert_matched_by_its_value_in_any_order(self, answered: Callable[..., HubSpot]):
        rows = [
            {"id": "12", "properties": {"belvedere_key": "K2", "name": "Two"}, "updatedAt": "v2", "new": True},
            {"id": "11", "properties": {"belvedere_key": "K1", "name": "One"}, "updatedAt": "v1", "new": False},
        ]
        hubspot = answered([{"status": "COMPLETE", "results": rows}], FIELDS)
        changes = [create("a", belvedere_key="K1", name="One"), create("b", belvedere_key="K2", name="Two")]
        outcomes = hubspot.write(ACCOUNTS, changes)
        assert [(one.op_id, one.status, one.record_id, one.version) for one in outcomes] == [
            ("a", "applied", "11", "v1"),
            ("b", "applied", "12", "v2"),
        ]
        assert outcomes[0].values == {"belvedere_key": "K1", "name": "One"}
        assert sent(hubspot)["inputs"][0] == {
            "id": "K1",
            "idProperty": "belvedere_key",
            "objectWriteTraceId": "a",
            "properties": {"belvedere_key": "K1", "name": "One"},
        }

    def test_an_upsert_is_matched_by_trace_where_its_key_comes_back_in_another_form(
        self, answered: Callable[..., HubSpot]
    ):
        row = {"id": "11", "properties": {"belvedere_key": "k1"}, "objectWriteTraceId": "a"}
        hubspot = answered([{"results": [row]}], FIELDS)
        (outcome, other) = hubspot.write(ACCOUNTS, [create("a", belvedere_key="K1"), create("b", belvedere_key="K2")])
        assert (outcome.status, outcome.record_id, other.status) == ("applied", "11", "unknown")

    def test_the_same_create_twice_comes_to_one_record(self, sandbox: Sandbox, hubspot: HubSpot):
        one = Change("a", None, {"erp_id": "4711", "name": "Acme"}, action="create", key="erp_id")
        first, again = hubspot.write(ACCOUNTS, [one]) + hubspot.write(ACCOUNTS, [one])
        assert first.record_id == again.record_id
        twins = [row for row in sandbox.hubspot.objects["companies"].values() if row["properties"]["name"] == "Acme"]
        assert len(twins) == 1

    def test_a_key_that_is_not_unique_there_makes_no_upsert(self, answered: Callable[..., HubSpot]):
        hubspot = answered([{"results": [{"id": "5", "properties": {"name": "A"}}]}] * 2, FIELDS)
        outcomes = hubspot.write(ACCOUNTS, [create("a", "name", name="A"), create("b", "name", name="A")])
        assert [call.request.url.rpartition("/")[2] for call in hubspot.calls] == ["create", "create"]  # type: ignore[attr-defined]
        assert statuses(outcomes) == {"a": "applied", "b": "applied"}

    def test_two_changes_of_one_record_in_one_call_are_not_mixed_up(self, answered: Callable[..., HubSpot]):
        hubspot = answered([{"results": [{"id": "1", "properties": {}}]}], FIELDS)
        outcomes = hubspot.write(ACCOUNTS, [change(1), replace(change(1), op_id="again")])
        assert statuses(outcomes) == {"op1": "applied", "again": "rejected"}
        assert len(sent(hubspot)["inputs"]) == 1


class TestAnswers:
    def test_values_are_told_as_the_target_says_and_by_type(self, answered: Callable[..., HubSpot]):
        told = {"score": "70", "due": "2026-10-20T00:00:00Z", "is_key": "true", "other": "x"}
        hubspot = answered([{"results": [{"id": "1", "properties": told}]}], FIELDS)
        (outcome,) = hubspot.write(
            ACCOUNTS, [Change("a", "1", {"score": 71.3, "due": date(2026, 10, 20), "is_key": True})]
        )
        assert outcome.status == "applied"
        assert outcome.values == {"score": 70, "due": "2026-10-20T00:00:00+00:00", "is_key": True}

    def test_locks_in_a_mixed_answer_are_told_apart_from_refusals(self, answered: Callable[..., HubSpot]):
        lock = {"category": "CONFLICT", "message": "The object is locked by another update", "context": {"ids": ["1"]}}
        clash = {"category": "CONFLICT", "message": "erp_id 17 is already used", "context": {"ids": ["2"]}}
        block = {"category": "VALIDATION_ERROR", "message": "unblock this field", "context": {"ids": ["3"]}}
        hubspot = answered([(207, {"results": [], "errors": [lock, clash, block]})])
        outcomes = hubspot.write(ACCOUNTS, [change(1), change(2), change(3)])
        assert [(one.status, one.is_locked) for one in outcomes] == [
            ("retry", True),
            ("rejected", False),
            ("rejected", False),
        ]

    @pytest.mark.parametrize(
        ("status", "message", "expected"),
        [
            (423, "", ("retry", True)),
            (477, "", ("retry", True)),
            (409, "concurrent modification", ("retry", True)),
            (409, "already used", ("rejected", False)),
        ],
    )
    def test_a_locked_record_says_so(
        self, answered: Callable[..., HubSpot], status: int, message: str, expected: tuple[str, bool]
    ):
        (outcome,) = answered(lambda _: (status, {"message": message})).write(ACCOUNTS, [change(1)])
        assert (outcome.status, outcome.is_locked) == expected

    def test_a_portal_that_takes_nothing_keeps_what_was_done_before(self, answered: Callable[..., HubSpot]):
        hubspot = answered([{"results": [{"id": "9"}]}, (429, {}), (429, {})])
        outcomes = hubspot.write(ACCOUNTS, [create("a", None, name="A"), create("b", None, name="B")])
        assert statuses(outcomes) == {"a": "applied", "b": "retry"}

    def test_a_right_that_is_lost_on_the_way_is_told_and_at_the_start_is_raised(self, answered: Callable[..., HubSpot]):
        changes = [create("a", None, name="A"), create("b", None, name="B")]
        outcomes = answered([{"results": [{"id": "9"}]}, (403, {})]).write(ACCOUNTS, changes)
        assert statuses(outcomes) == {"a": "applied", "b": "retry"}
        with pytest.raises(AccessError):
            answered(lambda _: (403, {})).write(ACCOUNTS, changes)

    def test_an_error_that_names_nobody_is_about_the_only_one(self, answered: Callable[..., HubSpot]):
        hubspot = answered([(207, {"results": [], "errors": [{"category": "X", "message": "no"}]})])
        assert hubspot.write(ACCOUNTS, [change(1)])[0].message == "X: no"


class TestDeleting:
    def test_archives_in_one_call_whoever_is_there(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second = alive(sandbox, "companies")[:2]
        changes = [Change(f"d{number}", number, {}, action="delete") for number in (first, second, "999999")]
        outcomes = hubspot.write(ACCOUNTS, changes)
        assert {one.status for one in outcomes} == {"applied"}
        assert not {first, second} & {*alive(sandbox, "companies")}
        assert sandbox.requests["POST", "/hubspot/crm/v3/objects/companies/batch/archive"] == 1

    def test_another_answer_than_nothing_proves_nothing(self, answered: Callable[..., HubSpot]):
        changes = [Change("d1", "1", {}, action="delete"), Change("d2", "2", {}, action="delete")]
        wrong = {"category": "VALIDATION_ERROR", "message": "no", "context": {"ids": ["2"]}}
        outcomes = answered([(207, {"errors": [wrong]})]).write(ACCOUNTS, changes)
        assert statuses(outcomes) == {"d1": "unknown", "d2": "rejected"}


class TestHeld:
    def test_payload_and_fetch_tell_the_same(self, sandbox: Sandbox, hubspot: HubSpot):
        names = ["name", "numberofemployees", "createdate", "erp_id", "hubspot_owner_id"]
        for page in hubspot.read(ACCOUNTS, Slice()):
            live = hubspot.fetch(ACCOUNTS, [json.loads(bytes(row))["id"] for row in page.rows], names)
            for row in page.rows:
                held = hubspot.current_record(ACCOUNTS, bytes(row), names)
                assert held == live[json.loads(bytes(row))["id"]]
                assert held is not None
                assert held.changed_at is not None
                assert held.changed_at.utcoffset() is not None

    @pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"id":"1"}', b'{"id":"1","properties":{"city":"x"}}'])
    def test_a_payload_that_lacks_a_field_tells_nothing(self, answered: Callable[..., HubSpot], payload: bytes):
        assert answered([], FIELDS).current_record(ACCOUNTS, payload, ["city", "name"]) is None

    def test_an_empty_property_is_told_as_empty(self, answered: Callable[..., HubSpot]):
        held = answered([], FIELDS).current_record(
            ACCOUNTS, b'{"id":"1","properties":{"score":null,"name":""}}', ["score", "name"]
        )
        assert held is not None
        assert held.values == {"score": None, "name": None}
        assert (held.version, held.changed_at) == (None, None)


class TestFinding:
    def test_finds_by_a_unique_property_at_once(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second, gone = alive(sandbox, "companies")[:3]
        for number, key in ((first, "17"), (second, "18"), (gone, "19")):
            sandbox.hubspot.edit("companies", number, {"erp_id": key})
        sandbox.world.portal.archive("companies", gone, NOW)
        sandbox.requests.clear()
        found = hubspot.find(ACCOUNTS, "erp_id", ["18", "17", "19", "none"], ["name"])
        assert {key: [one.record_id for one in held] for key, held in found.items()} == {"17": [first], "18": [second]}
        assert list(found["17"][0].values) == ["name"]
        assert not sandbox.requests["POST", "/hubspot/crm/v3/objects/companies/search"]

    def test_finds_every_twin_by_search_where_the_property_is_not_unique(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second, other = alive(sandbox, "companies")[:3]
        for number, name in ((first, "Twin & Co"), (second, "Twin & Co"), (other, "twin & co")):
            sandbox.hubspot.edit("companies", number, {"name": name})
        sandbox.clock.advance(60)
        found = hubspot.find(ACCOUNTS, "name", ["Twin & Co"], ["name", "city"])
        assert sorted(one.record_id for one in found["Twin & Co"]) == sorted([first, second])
        assert list(found) == ["Twin & Co"]

    def test_search_asks_in_small_letters_too_and_goes_on_behind_the_last_id(self, answered: Callable[..., HubSpot]):
        rows = [{"id": str(number), "properties": {"name": "Acme"}} for number in (1, 2, 3)]
        hubspot = answered([{"results": rows[:2]}, {"results": rows[2:]}], FIELDS, kind=with_pages_of(2))
        found = hubspot.find(ACCOUNTS, "name", ["Acme"], ["score"])
        assert [one.record_id for one in found["Acme"]] == ["1", "2", "3"]
        behind, asked = sent(hubspot, 1)["filterGroups"][0]["filters"]
        assert behind["value"] == "2"
        assert asked == {"propertyName": "name", "operator": "IN", "values": ["Acme", "acme"]}
        assert set(sent(hubspot)) == {"filterGroups", "sorts", "properties", "limit", "after"}

    def test_a_search_that_does_not_move_on_is_an_error(self, answered: Callable[..., HubSpot]):
        row = {"id": "1", "properties": {"name": "Acme"}}
        hubspot = answered(lambda _: {"results": [row]}, FIELDS, kind=with_pages_of(1))
        with pytest.raises(ReplyError, match="no progress"):
            hubspot.find(ACCOUNTS, "name", ["Acme"], [])

    def test_asks_in_hundreds(self, answered: Callable[..., HubSpot]):
        hubspot = answered(lambda _: {"results": []}, FIELDS)
        hubspot.find(ACCOUNTS, "belvedere_key", [str(number) for number in range(250)], ["name"])
        assert [len(sent(hubspot, number)["inputs"]) for number in range(3)] == [100, 100, 50]


class Tasks:
    """Answer upserts, updates and associations of tasks, as a portal with the companies 7 and 8 does."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, str]] = {}
        self.links: list[tuple[str, str]] = []
        self.paths: list[str] = []
        self.refused: list[tuple[int, Any]] = []

    def __call__(self, request: PreparedRequest) -> Any:
        verb = str(request.url).rpartition("/")[2]
        self.paths.append(verb)
        inputs = body_of(request)["inputs"]
        if verb == "default":
            return self.refused.pop(0) if self.refused else self._associated(inputs)
        return {"results": [self._written(one) for one in inputs]}

    def _written(self, one: dict[str, Any]) -> dict[str, Any]:
        values = one["properties"]
        known = [number for number, held in self.tasks.items() if held.get("belvedere_key") == one.get("id")]
        number = known[0] if known else one["id"] if one.get("id") in self.tasks else str(100 + len(self.tasks))
        self.tasks[number] = self.tasks.get(number, {}) | values
        return {"id": number, "properties": values, "updatedAt": "2026-10-20T05:00:00Z"}

    def _associated(self, inputs: list[dict[str, Any]]) -> Any:
        bad = [one for one in inputs if one["to"]["id"] not in ("7", "8")]
        good = [one for one in inputs if one not in bad]
        self.links += [(one["from"]["id"], one["to"]["id"]) for one in good]
        rows = [{"from": one["to"], "to": one["from"]} for one in good]
        problems = [
            {"category": "OBJECT_NOT_FOUND", "message": "no", "context": {"toObjectId": [one["to"]["id"]]}}
            for one in bad
        ]
        return (207, {"results": rows, "errors": problems}) if bad else {"results": rows}


DUE = date(2026, 11, 1)


def task(key: str, company: str | None = "7", **more: Any) -> Change:
    after = {"belvedere_key": key, "hs_task_subject": f"Call {key}", "hs_timestamp": DUE, COMPANY: company, **more}
    return Change(f"op{key}", None, after, action="create", key="belvedere_key")


@pytest.fixture
def portal() -> Tasks:
    return Tasks()


@pytest.fixture
def crm(answered: Callable[..., HubSpot], portal: Tasks) -> HubSpot:
    return answered(portal, FIELDS)


class TestTasks:
    def test_are_offered_as_a_target_with_their_company(self, hubspot: HubSpot):
        assert HubSpot.targets == (TASKS,)
        offered = hubspot.writable(TASKS)
        assert offered[COMPANY] is FIELD
        assert {"hs_task_subject", "hs_task_body", "hs_timestamp", "hs_task_status"} <= offered.keys()
        assert COMPANY not in hubspot.writable(ACCOUNTS)

    def test_are_made_once_with_their_company_and_closed_later(self, crm: HubSpot, portal: Tasks):
        first, again = crm.write(TASKS, [task("K1")]) + crm.write(TASKS, [task("K1")])
        assert first.status == again.status == "applied"
        assert first.record_id == again.record_id == "100"
        assert set(portal.links) == {("100", "7")}
        assert portal.tasks["100"]["hs_timestamp"] == "2026-11-01T00:00:00.000Z"
        assert first.values is not None
        assert first.values[COMPANY] == "7"
        (closed,) = crm.write(TASKS, [Change("c", "100", {"hs_task_status": "COMPLETED"})])
        assert (closed.status, portal.tasks["100"]["hs_task_status"]) == ("applied", "COMPLETED")
        assert portal.paths == ["upsert", "default", "upsert", "default", "update"]

    def test_one_whose_company_is_not_there_is_not_done(self, crm: HubSpot, portal: Tasks):
        good, bad = crm.write(TASKS, [task("K1"), task("K2", "404")])
        assert (good.status, bad.status, bad.record_id) == ("applied", "rejected", "101")
        assert bad.message == "the task was created but not linked to its company: OBJECT_NOT_FOUND: no"

    def test_an_error_of_one_task_is_not_put_down_to_another_of_the_same_company(self, crm: HubSpot, portal: Tasks):
        wrong = {"category": "VALIDATION_ERROR", "message": "no", "context": {"from": ["100"], "to": ["7"]}}
        portal.refused = [(207, {"results": [], "errors": [wrong]})]
        first, second = crm.write(TASKS, [task("K1"), task("K2")])
        assert (first.status, second.status) == ("rejected", "retry")

    def test_one_bad_company_in_a_refused_batch_stands_alone(self, crm: HubSpot, portal: Tasks):
        portal.refused = [(400, {"message": "bad"}), (400, {"message": "bad"})]
        first, second, third = crm.write(TASKS, [task("K1"), task("K2"), task("K3")])
        assert [first.status, second.status, third.status] == ["rejected", "applied", "applied"]

    @pytest.mark.parametrize(
        ("refused", "status", "is_locked"),
        [
            ((200, "<"), "retry", False),
            ((504, {}), "retry", False),
            ((423, {}), "retry", True),
            ((403, {}), "retry", False),
        ],
    )
    def test_a_lost_company_is_sent_again_where_a_key_leads_to_the_same_task(
        self, crm: HubSpot, portal: Tasks, refused: tuple[int, Any], status: str, is_locked: bool
    ):
        portal.refused = [refused]
        (outcome,) = crm.write(TASKS, [task("K1")])
        assert (outcome.status, outcome.is_locked, outcome.record_id) == (status, is_locked, "100")
        (again,) = crm.write(TASKS, [task("K1")])
        assert (again.status, len(portal.tasks)) == ("applied", 1)

    @pytest.mark.parametrize("refused", [(504, {}), (400, {})])
    def test_a_lost_company_without_a_key_is_unknown(self, crm: HubSpot, portal: Tasks, refused: tuple[int, Any]):
        portal.refused = [refused]
        (outcome,) = crm.write(TASKS, [replace(task("K1"), key=None)])
        assert (outcome.status, outcome.record_id) == ("unknown", "100")

    def test_a_company_alone_is_added_where_there_was_none(self, crm: HubSpot, portal: Tasks):
        (outcome,) = crm.write(TASKS, [Change("a", "100", {COMPANY: "8"}, {COMPANY: None})])
        assert (outcome.status, outcome.values) == ("applied", {COMPANY: "8"})
        assert portal.paths == ["default"]

    @pytest.mark.parametrize("company", ["8", None])
    def test_a_company_is_never_changed_for_another(self, crm: HubSpot, portal: Tasks, company: str | None):
        (outcome,) = crm.write(TASKS, [Change("a", "100", {COMPANY: company, "name": "x"}, {COMPANY: "7"})])
        assert outcome.status == "rejected"
        assert "a task cannot be moved from its company 7" in outcome.message
        assert portal.paths == []

    def test_a_task_that_was_refused_is_joined_to_nothing(self, answered: Callable[..., HubSpot]):
        crm = answered([(400, {"message": "no"})], FIELDS)
        (outcome,) = crm.write(TASKS, [task("K1")])
        assert (outcome.status, outcome.message) == ("rejected", "no")

    def test_tell_their_company_by_fetch_find_and_payload(self, sandbox: Sandbox, hubspot: HubSpot):
        (page, *_) = hubspot.read(stream("tasks"), Slice())
        ids = [json.loads(row)["id"] for row in page.rows]
        links = sandbox.world.portal.links["tasks", "companies"]
        live = hubspot.fetch(TASKS, ids, ["hs_task_subject", COMPANY])
        for row in page.rows:
            number = json.loads(row)["id"]
            assert live[number].values[COMPANY] == links[number][0][0]
            assert hubspot.current_record(TASKS, bytes(row), ["hs_task_subject", COMPANY]) == live[number]
        subject = live[ids[0]].values["hs_task_subject"]
        found = hubspot.find(TASKS, "hs_task_subject", [subject], [COMPANY])
        assert ids[0] in {one.record_id for one in found[subject]}
        assert {one.values[COMPANY] for one in found[subject]} <= {link[0][0] for link in links.values()}

    def test_a_property_of_that_name_elsewhere_is_a_property(self, answered: Callable[..., HubSpot]):
        hubspot = answered([{"results": [{"id": "1", "properties": {COMPANY: "x"}}]}], {COMPANY: field(COMPANY)})
        companies: Stream = ACCOUNTS
        assert hubspot.fetch(companies, ["1"], [COMPANY])["1"].values == {COMPANY: "x"}


class TestTasksOfThePortal:
    """The same against the village, which has associations, required fields and unique values of its own."""

    @pytest.fixture
    def tasks(self, sandbox: Sandbox, hubspot: HubSpot) -> HubSpot:
        sandbox.hubspot.properties.add("tasks", {"name": "belvedere_key", "type": "string", "hasUniqueValue": True})
        return hubspot

    def test_are_made_once_with_their_company_and_closed(self, sandbox: Sandbox, tasks: HubSpot):
        company = alive(sandbox, "companies")[0]
        before = len(alive(sandbox, "tasks"))
        first, again = tasks.write(TASKS, [task("K1", company)]) + tasks.write(TASKS, [task("K1", company)])
        assert (first.status, again.status, first.record_id) == ("applied", "applied", again.record_id)
        assert len(alive(sandbox, "tasks")) == before + 1
        names = ["belvedere_key", "hs_task_subject", "hs_timestamp", COMPANY]
        (held,) = tasks.find(TASKS, "belvedere_key", ["K1"], names)["K1"]
        assert held.values == first.values
        assert held.values == {
            "belvedere_key": "K1",
            "hs_task_subject": "Call K1",
            "hs_timestamp": "2026-11-01T00:00:00+00:00",
            COMPANY: company,
        }
        (closed,) = tasks.write(TASKS, [Change("c", held.record_id, {"hs_task_status": "COMPLETED"})])
        assert (closed.status, closed.values) == ("applied", {"hs_task_status": "COMPLETED"})

    def test_a_lost_answer_to_the_company_is_mended_by_sending_the_same_again(self, sandbox: Sandbox, tasks: HubSpot):
        company = alive(sandbox, "companies")[0]
        sandbox.faults.add("/hubspot/crm/v4/associations", "lost_answer", times=1)
        first, again = tasks.write(TASKS, [task("K1", company)]) + tasks.write(TASKS, [task("K1", company)])
        assert (first.status, again.status, first.record_id) == ("retry", "applied", again.record_id)
        assert sandbox.world.portal.links["tasks", "companies"][str(first.record_id)]

    def test_a_company_that_is_gone_is_told(self, sandbox: Sandbox, tasks: HubSpot):
        company, gone = alive(sandbox, "companies")[:2]
        sandbox.world.portal.archive("companies", gone, NOW)
        good, bad = tasks.write(TASKS, [task("K1", company), task("K2", gone)])
        assert (good.status, bad.status) == ("applied", "rejected")
        assert "does not exist" in bad.message

    def test_a_lock_of_the_portal_is_a_lock(self, sandbox: Sandbox, tasks: HubSpot):
        sandbox.faults.add("/hubspot/crm/v3/objects/tasks/batch/upsert", "locked", times=1)
        (outcome,) = tasks.write(TASKS, [task("K1", alive(sandbox, "companies")[0])])
        assert (outcome.status, outcome.is_locked) == ("retry", True)

    def test_a_yes_that_did_nothing_shows_in_the_values(self, sandbox: Sandbox, hubspot: HubSpot):
        number = alive(sandbox, "companies")[0]
        sandbox.faults.add("/hubspot/crm/v3/objects/companies/batch/update", "silent", times=1)
        (outcome,) = hubspot.write(ACCOUNTS, [change(number, name="Another")])
        assert outcome.status == "applied"
        assert outcome.values is not None
        assert outcome.values["name"] != "Another"


def test_batches_side_by_side_ask_once_what_may_be_written(sandbox: Sandbox, hubspot: HubSpot):
    sandbox.faults.add("/hubspot/crm/v3/properties", "latency", ms=30)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(hubspot.writable, [ACCOUNTS] * 4))
    assert all(one == told[0] for one in told)
    assert sandbox.requests["GET", "/hubspot/crm/v3/properties/companies"] == 1
