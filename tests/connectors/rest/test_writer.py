"""A REST API described in YAML is written to: against the sandbox's plain system, and against a server of few words."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from pydantic import SecretStr

from connectors.kit.base import Change, FindsByField, ReadsByKey, ReadsPayload, Writes
from connectors.kit.errors import AccessError, SettingsError
from connectors.kit.http.auth import HeaderToken
from connectors.kit.settings import load
from connectors.kit.stream import Slice
from connectors.rest.connector import Rest

GUIDE = Path(__file__).parents[3] / "docs" / "rest.md"
BATCH = {
    "path": "customers/batch",
    "items": "items",
    "values": "values",
    "op_id": "op_id",
    "version": "version",
    "action": "op",
    "actions": {"update": "update", "create": "create", "delete": "delete"},
    "outcomes": "items",
    "outcome": {"op_id": "op_id", "status": "status", "record": "record", "message": "error.message"},
    "idempotent": True,
}
WRITE = {
    "path": "customers/{id}",
    "unique": ["external_ref"],
    "idempotency_header": "Idempotency-Key",
    "version": {"path": "version"},
    "create": {"path": "customers"},
    "delete": {},
    "find": {"params": {"external_ref": "external_ref"}},
    "error_path": "error.message",
}
STREAM = {
    "path": "customers",
    "record_path": "data",
    "table": "accounts",
    "paging": {"kind": "cursor", "path": "next", "param": "after", "size": 10, "size_param": "limit"},
    "cursor": {"path": "updated_at", "param": "updated_since"},
    "fields": {"account_id": "id", "name": "name"},
}
CREATE = {"name": "Acme", "external_ref": "E1", "city": "Ulm"}


@pytest.fixture
def plain(sandbox, opened):
    """Open a connector upon the plain system; `without` takes declarations away, the rest is added to them."""

    def make(*without: str, **more) -> Rest:
        write = {name: value for name, value in (WRITE | more).items() if name not in without}
        settings = {"base_url": f"{sandbox.url}/plain", "streams": {"accounts": STREAM | {"write": write}}}
        settings |= {"auth": {"kind": "header", "header": "X-Api-Key", "secret": "sandbox-plain-key"}}
        checked = load(Rest, "crm", settings)
        key = HeaderToken("X-Api-Key", checked.auth.secret)
        return Rest("crm", checked, opened(f"{sandbox.url}/plain", auth=key, attempts=4))

    return make


@pytest.fixture
def small(little, opened):
    """Open a connector upon the little server."""

    def make(settings=None, stream=None, **write) -> Rest:
        given = {"path": "customers", "record_path": "data", "fields": {}, **(stream or {})}
        given |= {"write": {"path": "customers/{id}", **write}}
        all_of_it = {"base_url": f"{little.url}/api", "streams": {"accounts": given}, **(settings or {})}
        return Rest("erp", load(Rest, "erp", all_of_it), opened(f"{little.url}/api", attempts=2))

    return make


def first(sandbox, count: int = 1) -> list[str]:
    return sorted(sandbox.plain.rows["customers"])[:count]


def row(sandbox, number: str) -> dict:
    return sandbox.plain.rows["customers"][number]


def write(connector, *changes):
    return connector.write(connector.streams[0], changes)


def states(outcomes) -> dict:
    return {one.op_id: one.status for one in outcomes}


def creating(op: str = "op1", key: str | None = "external_ref", **values) -> Change:
    return Change(op, None, CREATE | values, action="create", key=key)


def test_what_the_guide_shows_can_be_done(sandbox, opened):
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)[0])["settings"]
    settings = load(Rest, "crm", shown | {"base_url": f"{sandbox.url}/plain"})
    key = HeaderToken("X-Api-Key", SecretStr("sandbox-plain-key"))
    connector = Rest("crm", settings, opened(f"{sandbox.url}/plain", auth=key))
    (number,) = first(sandbox)
    changes = [creating("a"), Change("b", number, {"payment_state": "paid"}, version="1")]
    assert states(write(connector, *changes)) == {"a": "applied", "b": "applied"}
    assert "payment_state" in connector.writable(connector.streams[0])
    assert list(connector.find(connector.streams[0], "external_ref", ["E1"], [])) == ["E1"]


class TestWhatIsDeclared:
    def test_every_capability_of_a_target_is_offered(self, plain):
        for capability in (Writes, ReadsByKey, FindsByField, ReadsPayload):
            assert isinstance(plain(), capability)

    def test_finding_is_offered_only_where_it_is_declared(self, plain):
        assert not isinstance(plain("find"), FindsByField)
        with pytest.raises(
            SettingsError, match=r"write\.find does not say how to find by 'vat'; choices: external_ref"
        ):
            plain().find(plain().streams[0], "vat", ["1"], [])

    def test_it_is_known_how_the_system_is_written_to(self, plain):
        found = plain(batch=BATCH).writing
        assert (found.batch, found.parallel, found.versions, found.idempotent) == (100, 1, True, True)
        found = plain("idempotency_header", "version").writing
        assert (found.batch, found.versions, found.idempotent) == (1, False, False)
        assert plain(batch=BATCH | {"idempotent": False}).writing.idempotent is False

    def test_the_pace_is_set(self, small):
        found = small(
            {"writing": {"parallel": 4, "lag_seconds": 2, "write_timeout_seconds": 60, "zero_means_null": True}}
        )
        assert (found.writing.parallel, found.writing.lag) == (4, timedelta(seconds=2))
        assert (found.writing.write_timeout, found.writing.zero_means_null) == (timedelta(seconds=60), True)

    @pytest.mark.parametrize(
        ("place", "old", "new", "value"),
        [
            ("streams.accounts", "derived", "uncursored_fields", ["balance"]),
            ("writing", "settles_seconds", "write_timeout_seconds", 60),
            ("writing", "zero_is_empty", "zero_means_null", True),
        ],
    )
    def test_a_setting_that_was_renamed_is_refused_with_its_new_name(self, place, old, new, value):
        accounts = {"path": "customers"} | ({old: value} if place != "writing" else {})
        writing = {old: value} if place == "writing" else {}
        settings = {"base_url": "https://erp.example", "streams": {"accounts": accounts}, "writing": writing}
        message = f"connection 'erp': settings: '{place}': the setting {old} is now called {new}: rename it"
        with pytest.raises(SettingsError) as refused:
            load(Rest, "erp", settings)
        assert str(refused.value) == message

    def test_fields_say_what_is_unique_and_what_nobody_may_write(self, plain):
        connector = plain(fields=["payment_state"])
        fields = connector.writable(connector.streams[0])
        assert {name for name, field in fields.items() if field.is_unique} == {"external_ref"}
        assert {name for name, field in fields.items() if not field.is_writable} == {"id", "updated_at"}
        assert {"payment_state", "phone", "credit_limit"} <= fields.keys()

    @pytest.mark.parametrize(
        ("batch", "said"),
        [
            ({"path": "b", "actions": {"create": "c"}}, "nothing else tells which is which"),
            ({"path": "b", "actions": {"update": "u", "delete": "d"}}, "the member that says which one is meant"),
        ],
    )
    def test_a_batch_that_cannot_be_understood_is_refused(self, small, batch, said):
        with pytest.raises(SettingsError, match=said):
            small(batch=batch)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (Change("op", None, {"name": "A"}, action="create"), "write.create is not declared"),
            (Change("op", "1", {}, action="delete"), "write.delete is not declared"),
            (Change("op", None, {"name": "A"}), "the change has no record id"),
        ],
    )
    def test_what_is_not_declared_is_not_done(self, small, little, change, said):
        (found,) = write(small(), change)
        assert (found.status, found.message, little.asked) == ("rejected", said, [])

    def test_a_key_needs_a_value(self, plain):
        (found,) = write(plain(), creating(external_ref=None))
        assert (found.status, found.message) == ("rejected", "the key external_ref has no value")


class TestHolding:
    def test_records_are_read_by_key_with_version_and_stamp(self, sandbox, plain):
        connector, (number,) = plain(), first(sandbox)
        held = connector.fetch(connector.streams[0], [number, "C9"], ["name", "credit_limit"])
        assert list(held) == [number]
        assert held[number].values == {"name": row(sandbox, number)["name"], "credit_limit": None}
        assert held[number].version == "1"
        assert held[number].changed_at == datetime.fromisoformat(row(sandbox, number)["updated_at"])

    def test_a_version_may_be_the_answers_tag(self, sandbox, plain):
        connector, (number,) = plain(version={}), first(sandbox)
        assert connector.fetch(connector.streams[0], [number], [])[number].version == '"1"'

    def test_several_are_read_at_once(self, sandbox, plain):
        connector, numbers = plain(read={"param": "id", "size": 20}), first(sandbox, 30)
        held = connector.fetch(connector.streams[0], [*numbers, "C9"], ["name"])
        assert set(held) == set(numbers)
        asked = [path for (method, path), count in sandbox.requests.items() for _ in range(count) if method == "GET"]
        assert asked == ["/plain/customers"] * 3  # of 20 and of 11, in pages of ten

    def test_a_list_of_keys_may_be_joined(self, small, little):
        little.say(200, b'{"data":[{"id":1,"a":2},{"id":7}]}')
        connector = small(read={"path": "many", "param": "ids", "join": ","})
        held = connector.fetch(connector.streams[0], ["1", "2"], ["a"])
        assert {number: one.values for number, one in held.items()} == {"1": {"a": 2}}
        assert dict(parse_qsl(urlsplit(little.asked[0].path).query)) == {"ids": "1,2"}

    @pytest.mark.parametrize("read", [None, {"param": "id"}])
    def test_a_record_that_is_marked_as_deleted_is_not_there(self, small, little, read):
        answer = {"id": 1, "gone": True}
        little.say(200, json.dumps({"data": [answer]} if read else answer).encode())
        connector = small(stream={"deleted": {"gone": ["true"]}}, **({"read": read} if read else {}))
        assert connector.fetch(connector.streams[0], ["1"], ["id"]) == {}

    def test_records_are_found_by_a_field(self, sandbox, plain):
        one, two = first(sandbox, 2)
        sandbox.bulk("plain", "customers", [one, two], {"external_ref": "E1"})
        connector = plain()
        found = connector.find(connector.streams[0], "external_ref", ["E1", "E2"], ["name"])
        assert {value: [held.record_id for held in rows] for value, rows in found.items()} == {"E1": [one, two]}

    def test_an_api_that_does_not_know_the_parameter_finds_nobody_else(self, small, little):
        little.say(200, b'{"data":[{"id":1,"ref":"A"},{"id":2,"ref":7},{"id":3}, 5]}')
        connector = small(find={"params": {"ref": "q"}})
        found = connector.find(connector.streams[0], "ref", ["7", "8"], ["ref"])
        assert {value: [held.record_id for held in rows] for value, rows in found.items()} == {"7": ["2"]}

    def test_a_record_as_extracted_tells_what_a_read_would(self, sandbox, plain):
        connector = plain()
        stream, fields = connector.streams[0], ["name", "phone", "credit_limit"]
        rows = [payload for page in connector.read(stream, Slice()) for payload in page.rows]
        held = {one.record_id: one for one in (connector.current_record(stream, payload, fields) for payload in rows)}
        assert len(held) == 30
        assert held == connector.fetch(stream, list(held), fields)

    @pytest.mark.parametrize("payload", [b'{"id":1}', b'{"name":"A"}', b"[]", b"{", b'{"id":1,"name":{}}'])
    def test_a_record_that_lacks_a_field_tells_nothing(self, small, payload):
        connector = small()
        assert connector.current_record(connector.streams[0], payload, ["name.first"]) is None

    def test_null_is_something_that_is_told(self, small):
        connector = small()
        held = connector.current_record(connector.streams[0], b'{"id":1,"name":{"first":null}}', ["name.first"])
        assert (held.record_id, held.values) == ("1", {"name.first": None})

    @pytest.mark.parametrize(
        ("format_", "value", "expected"),
        [
            ("iso", "2026-10-20T05:00:00Z", datetime(2026, 10, 20, 5, tzinfo=UTC)),
            ("iso", "2026-10-20T05:00:00", datetime(2026, 10, 20, 5, tzinfo=UTC)),
            ("date", "2026-10-20", datetime(2026, 10, 20, tzinfo=UTC)),
            ("epoch_s", 1792472400, datetime(2026, 10, 20, 5, tzinfo=UTC)),
            ("epoch_ms", "1792472400000", datetime(2026, 10, 20, 5, tzinfo=UTC)),
            ("iso", "soon", None),
            ("epoch_s", "soon", None),
            ("epoch_s", 1e300, None),
            ("iso", None, None),
        ],
    )
    def test_a_stamp_is_read_as_the_stream_has_it(self, small, format_, value, expected):
        connector = small(stream={"cursor": {"path": "at", "param": "since", "format": format_}})
        payload = json.dumps({"id": 1, "at": value}).encode()
        assert connector.current_record(connector.streams[0], payload, []).changed_at == expected


class TestChanging:
    def test_a_change_tells_what_the_record_holds_now(self, sandbox, plain):
        (number,) = first(sandbox)
        (found,) = write(plain(), Change("op", number, {"phone": "+49 (30) 5", "city": None}, version="1"))
        assert (found.status, found.record_id, found.version) == ("applied", number, "2")
        assert found.values == {"phone": "+49305", "city": None}
        assert (sandbox.writes[0]["op"], sandbox.writes[0]["after"]["phone"]) == ("op", "+49305")

    def test_a_persons_edit_survives(self, sandbox, plain):
        (number,) = first(sandbox)
        sandbox.edit("plain", "customers", number, {"city": "Theirs"})
        changes = [
            Change("op", number, {"city": "Ours"}, version="1"),
            Change("op2", number, {}, version="1", action="delete"),
        ]
        found = write(plain(), *changes)
        assert states(found) == {"op": "conflict", "op2": "conflict"}
        assert found[0].message == f"refused (412): customers {number} is at version 2"
        assert row(sandbox, number)["city"] == "Theirs"

    def test_a_field_that_is_never_written_shows_in_the_answer(self, sandbox, plain):
        (number,) = first(sandbox)
        sandbox.plain.set(ignored=["city"])
        (found,) = write(plain(), Change("op", number, {"city": "Ours"}))
        assert (found.status, found.values) == ("applied", {"city": row(sandbox, number)["city"]})

    def test_a_record_that_is_gone_takes_no_change(self, plain):
        found = write(plain(), Change("op", "C9", {"city": "X"}), Change("op2", "C9", {}, action="delete"))
        assert states(found) == {"op": "rejected", "op2": "unchanged"}
        assert found[0].message == "the record is gone (404)"

    def test_a_record_is_deleted(self, sandbox, plain):
        (number,) = first(sandbox)
        assert states(write(plain(), Change("op", number, {}, action="delete"))) == {"op": "applied"}
        assert number not in sandbox.plain.rows["customers"]

    def test_a_record_may_be_archived_instead(self, small, little):
        little.say(200)
        connector = small(delete={"method": "PATCH", "path": "customers/{id}/state", "body": {"active": False}})
        write(connector, Change("op", "a b", {}, action="delete"))
        (sent,) = little.asked
        assert (sent.method, sent.path, json.loads(sent.body)) == (
            "PATCH",
            "/api/customers/a%20b/state",
            {"active": False},
        )

    def test_a_version_may_go_into_the_body_and_paths_are_members(self, small, little):
        little.say(200)
        version = {"path": "token", "header": None, "member": "token", "is_number": True}
        connector = small(version=version, wrap="customer")
        write(connector, Change("op", "1", {"address.city": "Ulm", "address.zip": "1"}, version="7"))
        assert "If-Match" not in little.asked[0].headers
        expected = {"customer": {"address": {"city": "Ulm", "zip": "1"}, "token": 7}}
        assert json.loads(little.asked[0].body) == expected

    @pytest.mark.parametrize(
        ("status", "version", "expected"),
        [(409, "1", "conflict"), (409, None, "rejected"), (412, None, "conflict"), (410, None, "rejected")],
    )
    def test_a_refusal_is_named_by_its_status(self, small, little, status, version, expected):
        little.say(status)
        (found,) = write(small(version={}), Change("op", "1", {"x": 1}, version=version))
        assert found.status == expected

    def test_a_lock_asks_for_another_try(self, sandbox, plain):
        sandbox.faults.add("/plain/customers", "locked", writes=True)
        (found,) = write(plain(), Change("op", first(sandbox)[0], {"city": "X"}))
        assert (found.status, found.is_locked) == ("retry", True)

    @pytest.mark.parametrize(
        "kind", ["lost_answer", "error", "reset", "truncated", "html", "bad_json", "delayed_write"]
    )
    def test_a_lost_answer_is_not_known(self, sandbox, plain, kind):
        sandbox.faults.add("/plain/customers", kind, writes=True)
        (found,) = write(plain("idempotency_header"), Change("op", first(sandbox)[0], {"city": "X"}))
        assert (found.status, sandbox.faults.active[0].hits) == ("unknown", 1)

    @pytest.mark.parametrize("kind", ["lost_answer", "error", "reset", "truncated", "html"])
    def test_under_a_key_it_is_sent_until_it_is_known(self, sandbox, plain, kind):
        sandbox.faults.add("/plain/customers", kind, writes=True, times=3)
        sandbox.plain.set(unique=None)
        (found,) = write(plain(), creating())
        assert (found.status, found.values) == ("applied", CREATE)
        assert sandbox.log.created("plain", "customers") == [found.record_id]

    @pytest.mark.parametrize("status", [400, 409, 412, 422])
    def test_a_refusal_of_what_may_have_been_done_under_its_key_says_nothing(self, small, little, status):
        little.answers[:] = [lambda asked: 1 / 0, (status, {}, b"")]  # the answer is lost, then the key is in use
        connector = small(create={"path": "customers"}, idempotency_header="Key")
        (found,) = write(connector, Change("op", None, {"ref": "E"}, action="create"))
        assert (found.status, len(little.asked)) == ("unknown", 2)
        assert {asked.headers["Key"] for asked in little.asked} == {"op"}

    def test_under_a_key_too_it_is_sometimes_never_known(self, sandbox, plain):
        sandbox.faults.add("/plain/customers", "lost_answer", writes=True)
        (found,) = write(plain(), creating())
        assert found.status == "unknown"
        assert len(sandbox.log.created("plain", "customers")) == 1

    def test_what_was_turned_away_is_to_be_tried_again(self, sandbox, plain):
        sandbox.faults.add("/plain/customers", "rate_limit", writes=True)
        (found,) = write(plain("idempotency_header"), Change("op", first(sandbox)[0], {"city": "X"}))
        assert (found.status, sandbox.writes) == ("retry", [])

    def test_a_right_that_is_lost_midway_keeps_what_was_done(self, sandbox, plain):
        one, two = first(sandbox, 2)
        sandbox.faults.add("/plain/customers", "expired_token", writes=True, after=1)
        changes = [Change("a", one, {"city": "X"}), Change("b", two, {"city": "X"})]
        assert states(write(plain(), *changes)) == {"a": "applied", "b": "retry"}
        with pytest.raises(AccessError):
            write(plain(), *changes)


class TestCreating:
    def test_a_new_record_tells_its_id(self, sandbox, plain):
        (found,) = write(plain(), creating())
        assert (found.status, found.values, found.version) == ("applied", CREATE, "1")
        assert row(sandbox, found.record_id)["external_ref"] == "E1"

    def test_a_record_that_is_there_as_asked_is_what_was_to_be_made(self, sandbox, plain):
        connector = plain("idempotency_header")
        sandbox.faults.add("/plain/customers", "lost_answer", writes=True, times=1)
        assert states(write(connector, creating())) == {"op1": "unknown"}
        (found,) = write(connector, creating("op2"))
        assert (found.status, found.record_id) == ("applied", sandbox.log.created("plain", "customers")[0])
        assert len(sandbox.writes) == 1

    def test_a_key_that_another_record_has_is_told_with_its_id(self, sandbox, plain):
        (number,) = first(sandbox)
        sandbox.edit("plain", "customers", number, {"external_ref": "E1"})
        (found,) = write(plain(), creating())
        assert (found.status, found.record_id) == ("rejected", number)
        assert found.message == f"external_ref is in use by record {number}"

    def test_a_key_may_be_taken_by_a_record_that_is_not_to_be_seen_yet(self, sandbox, plain):
        sandbox.clock.stop()
        sandbox.plain.set(lag=5)
        connector = plain("idempotency_header")
        write(connector, creating())
        assert states(write(connector, creating("op2"))) == {"op2": "retry"}
        sandbox.clock.advance(5)
        assert states(write(connector, creating("op2"))) == {"op2": "applied"}
        assert len(sandbox.writes) == 1

    def test_who_took_a_key_cannot_always_be_asked(self, sandbox, plain):
        write(plain(), creating())
        sandbox.faults.add("/plain/customers", "error", method="GET")
        assert states(write(plain(), creating("op2"))) == {"op2": "retry"}
        (found,) = write(plain("find"), creating("op3"))
        assert (found.status, found.message) == ("rejected", "refused (409): external_ref E1 is taken")

    def test_two_records_with_one_key_are_both_named(self, small, little):
        little.answers[:] = [(409, {}, b""), (200, {}, b'{"data":[{"id":1,"ref":"E"},{"id":2,"ref":"E"}]}')]
        connector = small(create={"path": "customers"}, unique=["ref"], find={"params": {"ref": "ref"}})
        (found,) = write(connector, Change("op", None, {"ref": "E"}, action="create"))
        assert (found.status, found.message) == ("rejected", "ref is in use by record 1, 2")

    @pytest.mark.parametrize(
        ("create", "body", "expected"),
        [
            ({}, b'{"id":7}', ("applied", "7")),
            ({"id_path": "made.0"}, b'{"made":["x"]}', ("applied", "x")),
            ({}, b"{}", ("unknown", None)),
            ({}, b"", ("unknown", None)),
            ({}, b"[]", ("unknown", None)),
        ],
    )
    def test_without_an_id_it_is_not_known_what_was_made(self, small, little, create, body, expected):
        little.say(201, body)
        connector = small(create={"path": "customers", **create})
        (found,) = write(connector, Change("op", None, {"x": 1}, action="create"))
        assert (found.status, found.record_id) == expected


class TestBatch:
    def test_each_change_of_a_batch_has_its_own_outcome(self, sandbox, plain):
        one, two, three, four = first(sandbox, 4)
        sandbox.edit("plain", "customers", two, {"city": "Theirs", "external_ref": "E7"})
        changes = [
            Change("a", one, {"phone": "+49 1"}, version="1"),
            Change("b", two, {"city": "Ours"}, version="1"),
            creating("c"),
            creating("d", external_ref="E7"),
            Change("e", "C9", {"city": "X"}),
            Change("f", three, {}, action="delete"),
            Change("g", "C8", {}, action="delete"),
            Change("h", four, {"name": ""}),
        ]
        found = {one.op_id: one for one in write(plain(batch=BATCH), *changes)}
        assert {op: one.status for op, one in found.items()} == {
            "a": "applied",
            "b": "conflict",
            "c": "applied",
            "d": "rejected",
            "e": "rejected",
            "f": "applied",
            "g": "unchanged",
            "h": "rejected",
        }
        assert (found["a"].values, found["a"].version) == ({"phone": "+491"}, "2")
        assert (found["c"].values, found["d"].record_id) == (CREATE, two)
        assert found["c"].record_id == sandbox.log.created("plain", "customers")[0]
        assert sandbox.requests["POST", "/plain/customers/batch"] == 1

    def test_one_bad_record_keeps_no_other_back(self, sandbox, plain):
        numbers = first(sandbox, 5)
        sandbox.faults.add("/plain/customers/batch", "partial", record=3)
        found = write(plain(batch=BATCH), *(Change(one, one, {"city": "X"}) for one in numbers))
        assert [one for one, state in states(found).items() if state == "rejected"] == [numbers[3]]
        assert len(sandbox.writes) == 4

    def test_a_batch_that_is_refused_whole_is_halved(self, sandbox, plain):
        numbers = first(sandbox, 8)
        sandbox.plain.set(batch=3)
        found = write(plain(batch=BATCH), *(Change(one, one, {"city": "X"}) for one in numbers))
        assert set(states(found).values()) == {"applied"}
        assert sandbox.requests["POST", "/plain/customers/batch"] == 7  # of 8, 4 and 4, then four of 2

    def test_a_batch_that_is_refused_to_the_last_is_rejected(self, sandbox, plain):
        sandbox.plain.set(batch=0)
        found = write(plain(batch=BATCH), *(Change(one, one, {"city": "X"}) for one in first(sandbox, 3)))
        assert {(one.status, one.message) for one in found} == {
            ("rejected", "refused (405): POST is not possible here")
        }

    def test_batches_have_their_size(self, sandbox, plain):
        numbers = first(sandbox, 25)
        write(plain(batch=BATCH | {"size": 10}), *(Change(one, one, {"city": "X"}) for one in numbers))
        assert sandbox.requests["POST", "/plain/customers/batch"] == 3

    def test_a_record_is_in_a_batch_once(self, sandbox, plain):
        (number,) = first(sandbox)
        changes = [Change("a", number, {"city": "X"}), Change("b", number, {"city": "Y"})]
        assert states(write(plain(batch=BATCH), *changes)) == {"a": "applied", "b": "applied"}
        assert row(sandbox, number)["city"] == "Y"
        assert sandbox.requests["POST", "/plain/customers/batch"] == 2

    def test_what_a_batch_cannot_say_goes_alone(self, sandbox, plain):
        one, two = first(sandbox, 2)
        changes = [Change("a", one, {"city": "X"}), creating("b"), Change("c", two, {}, action="delete")]
        found = write(plain(batch=BATCH | {"actions": {"update": "update"}}), *changes)
        assert states(found) == {"a": "applied", "b": "applied", "c": "applied"}
        assert sandbox.requests["POST", "/plain/customers"] == 1

    def test_a_lost_answer_to_a_batch_is_not_known(self, sandbox, plain):
        numbers = first(sandbox, 3)
        sandbox.faults.add("/plain/customers/batch", "lost_answer")
        found = write(plain("idempotency_header", batch=BATCH), *(Change(one, one, {"city": "X"}) for one in numbers))
        assert set(states(found).values()) == {"unknown"}
        assert len(sandbox.writes) == 3

    def test_under_a_key_a_batch_is_sent_until_it_is_known(self, sandbox, plain):
        sandbox.plain.set(unique=None)
        sandbox.faults.add("/plain/customers/batch", "lost_answer", times=2)
        found = write(plain(batch=BATCH), *(creating(str(one), external_ref=str(one)) for one in range(3)))
        assert set(states(found).values()) == {"applied"}
        assert len(sandbox.log.created("plain", "customers")) == 3

    def test_a_locked_batch_asks_for_another_try(self, sandbox, plain):
        sandbox.faults.add("/plain/customers/batch", "locked")
        found = write(plain(batch=BATCH), *(Change(one, one, {"city": "X"}) for one in first(sandbox, 2)))
        assert {(one.status, one.is_locked) for one in found} == {("retry", True)}

    @pytest.mark.parametrize(
        ("told", "answer", "expected"),
        [
            ({}, '[{"id":2},{"id":"1"}]', ["applied", "applied"]),
            ({}, '[{"id":2}]', ["unknown", "applied"]),
            ({}, '[{"id":1},{"id":1},{"id":9}]', ["unknown", "unknown"]),
            ({"message": "error"}, '[{"id":1,"error":"no"},{"id":2,"error":null}]', ["rejected", "applied"]),
            (
                {"status": "s", "words": {"ok": "applied", "same": "unchanged", "busy": "retry"}},
                '[{"id":1,"s":"same"},{"id":2,"s":"busy"}]',
                ["unchanged", "retry"],
            ),
            ({"status": "s"}, '[{"id":1,"s":"what"},{"id":2}]', ["unknown", "unknown"]),
            ({"status": "s"}, '[{"id":1,"s":429},{"id":2,"s":"503"}]', ["retry", "unknown"]),
            ({"status": "s"}, '[{"id":1,"s":423},{"id":2,"s":201}]', ["retry", "applied"]),
            ({"status": "s"}, '[{"id":1,"s":304},{"id":2,"s":0}]', ["unknown", "unknown"]),
            ({}, '{"id":1}', ["unknown", "unknown"]),
            ({}, "", ["unknown", "unknown"]),
        ],
    )
    def test_an_answer_is_read_by_name_and_never_by_position(self, small, little, told, answer, expected):
        little.say(200, answer.encode())
        connector = small(batch={"path": "batch", "outcome": told, "id_is_number": True})
        found = write(connector, Change("a", "1", {"x": 1}), Change("b", "2", {"x": 1}))
        assert states(found) == dict(zip("ab", expected, strict=True))
        assert json.loads(little.asked[0].body) == [{"x": 1, "id": 1}, {"x": 1, "id": 2}]

    def test_a_new_record_without_an_id_is_not_known(self, small, little):
        little.say(200, b'[{"ref":"a"}]')
        batch = {"path": "b", "op_id": "ref", "actions": {"create": "c"}, "outcome": {"op_id": "ref"}}
        connector = small(create={"path": "customers"}, batch=batch)
        assert states(write(connector, Change("a", None, {"x": 1}, action="create"))) == {"a": "unknown"}


@pytest.mark.parametrize("batch", [None, BATCH | {"size": 4}])
@pytest.mark.parametrize("powers", [(True, None), (False, "external_ref"), (True, "external_ref"), (False, None)])
def test_who_asks_what_became_of_it_loses_and_doubles_nothing(sandbox, plain, powers, batch):
    idempotent, unique = powers
    sandbox.clock.stop()
    sandbox.plain.set(idempotent=idempotent, unique=unique)
    connector = plain(*(() if idempotent else ("idempotency_header",)), **({"batch": batch} if batch else {}))
    for kind, share, more in (
        ("lost_answer", 0.35, {}),
        ("error", 0.3, {"status": 503}),
        ("delayed_write", 0.1, {"delay": 60}),
    ):
        sandbox.faults.add("/plain/customers", kind, share=share, seed=7, writes=True, **more)
    waiting = {str(one): creating(str(one), external_ref=str(one)) for one in range(40)}
    for _ in range(60):
        if not waiting:
            break
        done = write(connector, *waiting.values())
        sandbox.clock.advance(61)
        found = connector.find(connector.streams[0], "external_ref", list(waiting), [])
        settled = {one.op_id for one in done if one.status == "applied"} | set(found)
        waiting = {op: change for op, change in waiting.items() if op not in settled}
    made = [row["external_ref"] for row in sandbox.plain.rows["customers"].values() if row["external_ref"]]
    assert sorted(made, key=int) == [str(one) for one in range(40)]
    assert all(fault.hits for fault in sandbox.faults.active)
    assert sandbox.log.doubled("external_ref") == {}


def test_half_an_emoji_in_an_answer_makes_no_outcome_unknown(little, small):
    little.say(200, b'{"id":"7","name":"a\\ud83d","n":NaN}')
    (one,) = write(small(), Change("op1", "7", {"name": "a"}))
    assert (one.status, one.values) == ("applied", {"name": "a\N{REPLACEMENT CHARACTER}"})


def test_half_an_emoji_in_a_batchs_answer_makes_no_outcome_unknown(little, small):
    little.say(200, b'{"items":[{"op_id":"op1","status":200,"record":{"id":"7","name":"\\ude00"}}]}')
    connector = small(create={"path": "customers"}, delete={}, version={"path": "version"}, batch=BATCH)
    (one,) = write(connector, Change("op1", "7", {"name": "a"}, version="1"))
    assert (one.status, one.values) == ("applied", {"name": "\N{REPLACEMENT CHARACTER}"})


def test_a_write_that_is_answered_by_deep_nesting_is_unknown(little, small):
    little.say(200, b"[" * 200_000)
    (one,) = write(small(), Change("op1", "7", {"name": "a"}))
    assert (one.status, one.message) == ("unknown", "the response (200000 bytes) is nested too deeply to be parsed")
    assert len(little.asked) == 1


def test_a_record_of_the_target_with_half_an_emoji_is_read_all_the_same(little, small):
    little.say(200, b'{"id":"7","name":"a\xff\\ud83d"}')
    connector = small()
    held = connector.fetch(connector.streams[0], ["7"], ["name"])
    assert held["7"].values == {"name": "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"}
