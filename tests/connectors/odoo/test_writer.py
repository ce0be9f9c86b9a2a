"""Odoo's write side: external ids, countries by code, deletions, tasks as activities, and what is held now."""
# ruff: noqa: F811 - fixtures of its elder twin are asked for by name

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kit.base import Change, Outcome
from connectors.kit.errors import AccessError
from connectors.kit.stream import Slice
from connectors.odoo.connector import Odoo
from connectors.odoo.record_names import MODULE, name_of, value_of
from connectors.odoo.values import as_cell, as_sent, as_value, column
from connectors.odoo.virtual_fields import COUNTRY_CODE, EXTERNAL_ID, IS_DONE, PARTNER_ID, TASKS
from sandbox.server import Sandbox
from tests.connectors.odoo.test_connector import (  # noqa: F401
    ELSEWHERE,
    Fault,
    answered,
    change,
    companies,
    described,
    fails,
    odoo,
    open_,
    statuses,
    stream,
)
from transforms.delivery.field_diff import is_same

ACCOUNTS, ACTIVITIES = stream("accounts"), stream("activities")
Row = dict[str, Any]


def create(key: str, **after: Any) -> Change:
    values = {EXTERNAL_ID: key, "name": f"Company {key}", **after}
    return Change(f"op{key}", None, values, action="create", key=EXTERNAL_ID)


def delete(number: Any) -> Change:
    return Change(f"op{number}", str(number), {}, action="delete")


def ids(outcomes: list[Outcome]) -> dict[str, str | None]:
    return {one.op_id: one.record_id for one in outcomes}


class Loading:
    """Answer `load` by a function of its rows, and `ir.model.data` by what was loaded; ids begin at 100."""

    def __init__(self, judge: Callable[[list[list[str]]], Any] | None = None, *, is_shuffled: bool = False) -> None:
        self.judge, self.is_shuffled = judge, is_shuffled
        self.named: dict[str, int] = {}
        self.loads: list[list[list[str]]] = []

    def __call__(self, model: str, method: str, args: list[Any], options: Row) -> Any:
        if model == "ir.model.data":
            wanted = args[0][-1][2] or ()
            return [{"id": 1, "name": name, "res_id": number} for name, number in self.named.items() if name in wanted]
        if method != "load":
            return described(model) if method == "fields_get" else True
        self.loads.append(args[1])
        if self.judge and (told := self.judge(args[1])):
            return told
        made = [self.named.setdefault(row[0].removeprefix(f"{MODULE}."), 100 + len(self.named)) for row in args[1]]
        return {"ids": made[::-1] if self.is_shuffled else made, "messages": []}


def refusing(*bad: str, names_rows: bool = True, message: str = "no") -> Callable[[list[list[str]]], Any]:
    """Refuse loads that hold a bad row, all of it; `names_rows` says whether the answer tells which."""

    def judge(rows: list[list[str]]) -> Any:
        places = [place for place, row in enumerate(rows) if any(row[0].endswith(f"-{key}") for key in bad)]
        rows_of = (lambda place: {"rows": {"from": place, "to": place}}) if names_rows else (lambda place: {})
        messages = [{"type": "error", "message": message, **rows_of(place)} for place in places]
        return {"ids": False, "messages": messages} if places else None

    return judge


class TestValues:
    @pytest.mark.parametrize(
        ("value", "kind", "sent", "cell"),
        [
            (None, "char", False, ""),
            ("Ünï", "char", "Ünï", "Ünï"),
            (True, "boolean", True, "True"),
            (False, "boolean", False, ""),
            (5.0, "integer", 5, "5"),
            ("7", "many2one", 7, "7"),
            (7, "many2one", 7, "7"),
            ([1, "2"], "many2many", [[6, 0, [1, 2]]], "1,2"),
            (Decimal("12.50"), "monetary", 12.5, "12.5"),
            (date(2026, 10, 20), "date", "2026-10-20", "2026-10-20"),
            ("2026-10-20T23:30:00-02:00", "date", "2026-10-21", "2026-10-21"),
            (datetime(2026, 10, 20, 5, tzinfo=UTC), "datetime", "2026-10-20 05:00:00", "2026-10-20 05:00:00"),
            ("2026-10-20T07:00:00+02:00", "datetime", "2026-10-20 05:00:00", "2026-10-20 05:00:00"),
            ("soon", "date", "soon", "soon"),
            ("a < b\nc", "html", "a &lt; b<br>c", "a &lt; b<br>c"),
        ],
    )
    def test_are_written_as_their_fields_take_them(self, value: Any, kind: str, sent: Any, cell: str):
        assert as_sent(value, kind) == sent
        assert as_cell(value, kind) == cell

    @pytest.mark.parametrize(
        ("value", "kind", "read"),
        [
            (False, "char", None),
            (False, "boolean", False),
            (0.0, "float", None),
            ([7, "Ada"], "many2one", 7),
            ([], "many2many", None),
            ([1, 2], "many2many", [1, 2]),
            ("2026-10-20 05:00:00", "datetime", "2026-10-20T05:00:00+00:00"),
            ("2026-10-20", "date", "2026-10-20"),
            ("<p>a &lt; b<br/>c</p>", "html", "a < b\nc"),
            ("<p>one</p><p>two</p>", "html", "one\ntwo"),
        ],
    )
    def test_are_read_so_that_they_compare_with_what_is_sent(self, value: Any, kind: str, read: Any):
        assert as_value(value, kind) == read

    @pytest.mark.parametrize(
        ("wish", "kind", "there"),
        [
            (datetime(2026, 10, 20, 5, tzinfo=UTC), "datetime", lambda sent: sent),
            (date(2026, 10, 20), "date", lambda sent: sent),
            ("Call, <b>now</b> & then\nagain", "html", lambda sent: f"<p>{sent}</p>"),
            ("7", "many2one", lambda sent: [sent, "Ada"]),
            (12.5, "monetary", lambda sent: sent),
            (None, "char", lambda sent: sent),
            (False, "boolean", lambda sent: sent),
        ],
    )
    def test_what_was_written_is_the_same_when_it_comes_back(self, wish: Any, kind: str, there: Callable[[Any], Any]):
        assert is_same(as_value(there(as_sent(wish, kind)), kind), wish)

    def test_a_relation_is_loaded_by_its_number(self):
        assert (column("user_id", "many2one"), column("name", "char")) == ("user_id/.id", "name")


class TestNames:
    @given(st.text(min_size=1), st.text(min_size=1))
    def test_of_two_values_are_never_the_same_and_always_read_back(self, first: str, second: str):
        try:
            first.encode(), second.encode()
        except UnicodeEncodeError:
            return
        assert (name_of("res.partner", first) == name_of("res.partner", second)) == (first == second)
        name = name_of("res.partner", first)
        assert value_of("res.partner", name) == first
        assert name.isascii()
        assert not {*name} & {*" .\t\n"}

    def test_of_two_models_are_never_the_same(self):
        assert name_of("res.partner", "C-1") != name_of("mail.activity", "C-1")


class TestCreatingOnce:
    def test_a_second_create_with_the_same_key_comes_to_the_same_record(self, sandbox: Sandbox, odoo: Odoo):
        before = len(sandbox.odoo.tables["res.partner"])
        changes = [create("C 1", vat="DE1"), create("C.2", credit_limit=Decimal("12.50"))]
        first, again = odoo.write(ACCOUNTS, changes), odoo.write(ACCOUNTS, changes)
        assert statuses(first) == statuses(again) == {"opC 1": "applied", "opC.2": "applied"}
        assert ids(first) == ids(again)
        assert len(sandbox.odoo.tables["res.partner"]) == before + 2
        held = odoo.fetch(ACCOUNTS, [str(one.record_id) for one in first], ["name", EXTERNAL_ID, "credit_limit"])
        assert sorted((one.values for one in held.values()), key=lambda values: str(values["name"])) == [
            {"name": "Company C 1", EXTERNAL_ID: "C 1", "credit_limit": None},
            {"name": "Company C.2", EXTERNAL_ID: "C.2", "credit_limit": 12.5},
        ]

    def test_a_hundred_go_in_one_call_and_one_look_up(self, sandbox: Sandbox, odoo: Odoo):
        odoo.write(ACCOUNTS, [create("first")])
        sandbox.requests.clear()
        outcomes = odoo.write(ACCOUNTS, [create(str(number)) for number in range(100)])
        assert {one.status for one in outcomes} == {"applied"}
        assert len(set(ids(outcomes).values())) == 100
        assert sum(sandbox.requests.values()) == 2

    def test_records_are_known_by_name_whatever_the_order_of_the_answer(self, answered: Callable[..., Odoo]):
        loading = Loading(is_shuffled=True)
        outcomes = answered(loading).write(ACCOUNTS, [create("a"), create("b"), create("c")])
        assert ids(outcomes) == {"opa": "100", "opb": "101", "opc": "102"}

    def test_no_row_is_rejected_for_the_errors_of_others(self, sandbox: Sandbox, odoo: Odoo):
        before = len(sandbox.odoo.tables["res.partner"])
        tax_ids = {"N1": "DE811907980", "N2": "none", "N3": "ATU12345675", "N4": "unknown"}
        outcomes = odoo.write(ACCOUNTS, [create(key, vat=vat) for key, vat in tax_ids.items()])
        assert statuses(outcomes) == {"opN1": "applied", "opN2": "rejected", "opN3": "applied", "opN4": "rejected"}
        reasons = {one.op_id: one.message for one in outcomes if one.status == "rejected"}
        assert reasons == {
            "opN2": "The VAT number [none] does not seem to be valid.",
            "opN4": "The VAT number [unknown] does not seem to be valid.",
        }
        assert len(sandbox.odoo.tables["res.partner"]) == before + 2

    @pytest.mark.parametrize("bad", [{0}, {1}, {4}, {0, 1}, {0, 4}, {3, 4}, {1, 2, 3, 4}, {0, 1, 2, 3, 4}])
    def test_whatever_rows_are_bad_they_alone_are_rejected_and_nothing_comes_twice(
        self, sandbox: Sandbox, odoo: Odoo, bad: set[int]
    ):
        changes = [create(str(place), vat="none" if place in bad else "DE811907980") for place in range(5)]
        before = len(sandbox.odoo.tables["res.partner"])
        outcomes = odoo.write(ACCOUNTS, changes)
        assert {place for place in range(5) if statuses(outcomes)[f"op{place}"] == "rejected"} == bad
        assert len(sandbox.odoo.tables["res.partner"]) == before + 5 - len(bad)

    @pytest.mark.parametrize("bad", range(8))
    def test_an_error_that_always_names_the_first_row_finds_the_guilty_one(
        self, answered: Callable[..., Odoo], bad: int
    ):
        message = {"type": "error", "message": "Unknown database error", "rows": {"from": 0, "to": 0}, "record": 0}

        def judge(rows: list[list[str]]) -> Any:
            is_bad = any(row[0].endswith(f"-{bad}") for row in rows)
            return {"ids": False, "messages": [message]} if is_bad else None

        loading = Loading(judge)
        outcomes = answered(loading).write(ACCOUNTS, [create(str(number)) for number in range(8)])
        assert statuses(outcomes) == {f"op{n}": "rejected" if n == bad else "applied" for n in range(8)}
        assert len(loading.loads) <= 9

    @pytest.mark.parametrize("names_rows", [True, False])
    @pytest.mark.parametrize("bad", range(5))
    def test_one_bad_row_is_found_and_the_others_are_loaded(
        self, answered: Callable[..., Odoo], bad: int, names_rows: bool
    ):
        loading = Loading(refusing(str(bad), names_rows=names_rows))
        outcomes = answered(loading).write(ACCOUNTS, [create(str(number)) for number in range(5)])
        assert statuses(outcomes) == {f"op{n}": "rejected" if n == bad else "applied" for n in range(5)}
        assert next(one.message for one in outcomes if one.status == "rejected") == "no"
        assert len(loading.loads) == 3 or not names_rows  # all, the one that is named first alone, the others

    def test_rows_that_are_all_named_are_not_loaded_again_but_the_one_named_first(self, answered: Callable[..., Odoo]):
        loading = Loading(refusing("a", "b"))
        outcomes = answered(loading).write(ACCOUNTS, [create("a"), create("b")])
        assert statuses(outcomes) == {"opa": "rejected", "opb": "rejected"}
        assert [len(rows) for rows in loading.loads] == [2, 1]

    def test_a_lock_that_load_tells_of_in_a_message_is_a_lock(self, answered: Callable[..., Odoo]):
        message = "could not serialize access due to concurrent update"
        outcomes = answered(Loading(refusing("a", message=message))).write(ACCOUNTS, [create("a"), create("b")])
        assert {(one.status, one.is_locked) for one in outcomes} == {("retry", True)}

    def test_a_record_that_is_not_known_by_its_name_afterwards_is_unknown(self, answered: Callable[..., Odoo]):
        odoo = answered(Loading(lambda rows: {"ids": [1, 2], "messages": []}))
        assert statuses(odoo.write(ACCOUNTS, [create("a"), create("b")])) == {"opa": "unknown", "opb": "unknown"}

    def test_a_login_that_may_not_read_names_loads_nothing(self, answered: Callable[..., Odoo]):
        odoo = answered(fails("odoo.exceptions.AccessError", "You are not allowed to access 'Model Data'"))
        with pytest.raises(AccessError, match=r"ir\.model\.data.*give user 'belvedere@example\.com' the permission"):
            odoo.write(ACCOUNTS, [create("a")])
        assert {call[1] for call in odoo.calls} == {"search_read"}  # type: ignore[attr-defined]

    def test_a_look_up_that_fails_hides_nothing(self, answered: Callable[..., Odoo]):
        loading, asked = Loading(), list[str]()

        def answer(model: str, method: str, *args: Any) -> Any:
            asked.append(model)
            if asked.count("ir.model.data") > 1:
                raise Fault("builtins.ValueError", "no")
            return loading(model, method, *args)

        (outcome,) = answered(answer).write(ACCOUNTS, [create("a")])
        assert (outcome.status, outcome.message) == ("unknown", "odoo: ir.model.data.search_read: no")

    @pytest.mark.parametrize("told", [None, [], True, {}, {"messages": []}])
    def test_another_answer_to_load_is_unknown(self, answered: Callable[..., Odoo], told: Any):
        odoo = answered(lambda model, method, *_: told if method == "load" else [])
        assert statuses(odoo.write(ACCOUNTS, [create("a")])) == {"opa": "unknown"}

    @pytest.mark.parametrize("fault", ["lost_answer", "truncated"])
    def test_a_lost_answer_is_unknown_is_not_sent_again_and_is_found(self, sandbox: Sandbox, odoo: Odoo, fault: str):
        odoo.check()
        sandbox.faults.add("/odoo/jsonrpc/res.partner/load", fault, times=1)
        (outcome,) = odoo.write(ACCOUNTS, [create("K")])
        assert outcome.status == "unknown"
        assert len(sandbox.writes) == 1
        found = odoo.find(ACCOUNTS, EXTERNAL_ID, ["K", "other"], ["name"])
        assert [one.values for one in found["K"]] == [{"name": "Company K"}]
        assert "other" not in found

    def test_a_call_that_the_server_refuses_is_halved(self, sandbox: Sandbox, odoo: Odoo):
        outcomes = odoo.write(ACCOUNTS, [create("a"), replace(create("b"), after={EXTERNAL_ID: "b", "x_no": "1"})])
        assert statuses(outcomes) == {"opa": "applied", "opb": "rejected"}

    def test_two_creates_of_one_key_in_a_call_are_not_mixed_up(self, answered: Callable[..., Odoo]):
        loading = Loading()
        outcomes = answered(loading).write(ACCOUNTS, [create("a"), replace(create("a"), op_id="again")])
        assert statuses(outcomes) == {"opa": "applied", "again": "rejected"}

    def test_a_create_without_a_value_for_its_key_is_not_sent(self, answered: Callable[..., Odoo]):
        odoo = answered(fails("x", "must not be asked"))
        outcomes = odoo.write(ACCOUNTS, [replace(create("a"), after={"name": "A"})])
        assert statuses(outcomes) == {"opa": "rejected"}
        assert odoo.calls == []  # type: ignore[attr-defined]

    def test_an_external_id_is_not_given_later(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: True)
        (outcome,) = odoo.write(ACCOUNTS, [Change("a", "7", {EXTERNAL_ID: "K"}, {EXTERNAL_ID: None})])
        assert (outcome.status, "when a record is created" in outcome.message) == ("rejected", True)

    def test_is_offered_as_unique(self, odoo: Odoo):
        for one in (ACCOUNTS, TASKS):
            assert [name for name, field in odoo.writable(one).items() if field.is_unique] == [EXTERNAL_ID]


class TestManyValues:
    """Records that are to hold different values go into one call, each by its id."""

    def test_a_hundred_different_values_are_one_call(self, sandbox: Sandbox, odoo: Odoo):
        made = odoo.write(ACCOUNTS, [create(str(number)) for number in range(100)])
        sandbox.requests.clear()
        changes = [
            change(one.record_id, credit_limit=place + 1.5, name=f"No. {place}", user_id=None)
            for place, one in enumerate(made)
        ]
        assert {one.status for one in odoo.write(ACCOUNTS, changes)} == {"applied"}
        assert sum(sandbox.requests.values()) == 1
        held = odoo.fetch(ACCOUNTS, [str(one.record_id) for one in made], ["credit_limit", "name", "user_id"])
        assert {number: one.values for number, one in held.items()} == {
            str(one.record_id): one.after for one in changes
        }

    def test_one_bad_value_and_one_record_that_is_gone_are_refused_alone(self, sandbox: Sandbox, odoo: Odoo):
        first, second, third, gone = [row["id"] for row in companies(sandbox)[:4]]
        del sandbox.odoo.tables["res.partner"][gone]
        scores = {first: 1.5, second: "high", gone: 3.5, third: 2.5}
        outcomes = odoo.write(ACCOUNTS, [change(number, credit_limit=score) for number, score in scores.items()])
        refused = {one.op_id for one in outcomes if one.status == "rejected"}
        assert refused == {f"op{second}", f"op{gone}"}
        assert {one.op_id for one in outcomes if one.status == "applied"} == {f"op{first}", f"op{third}"}

    def test_what_the_answer_does_not_name_is_unknown(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda model, method, *_: {"ids": [2, 9], "messages": []} if method == "load" else True)
        outcomes = odoo.write(ACCOUNTS, [change(1, name="A"), change(2, name="B")])
        assert statuses(outcomes) == {"op1": "unknown", "op2": "applied"}

    def test_instants_are_sent_as_utc_and_said_to_be(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: {"ids": [1, 2], "messages": []})
        odoo._described["res.partner"]["x_at"] = {"type": "datetime", "string": "At", "readonly": False}
        odoo.write(ACCOUNTS, [change(number, x_at=f"2026-10-2{number}T07:00:00+02:00") for number in (1, 2)])
        ((_, method, args, options),) = odoo.calls  # type: ignore[attr-defined]
        assert method == "load"
        assert args == [[".id", "x_at"], [["1", "2026-10-21 05:00:00"], ["2", "2026-10-22 05:00:00"]]]
        assert options["context"]["tz"] == "UTC"

    def test_values_that_a_text_cannot_say_are_written_one_by_one(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: True)
        odoo._described["res.partner"]["x_tags"] = {"type": "many2many", "string": "Tags", "readonly": False}
        odoo.write(ACCOUNTS, [change(1, x_tags=[5]), change(2, x_tags=[6])])
        assert [call[1:3] for call in odoo.calls] == [  # type: ignore[attr-defined]
            ("write", [[1], {"x_tags": [[6, 0, [5]]]}]),
            ("write", [[2], {"x_tags": [[6, 0, [6]]]}]),
        ]


class TestCreatingWithoutAKey:
    def test_each_is_created_alone_and_told_by_its_id(self, sandbox: Sandbox, odoo: Odoo):
        changes = [Change(name, None, {"name": name}, action="create") for name in ("A", "B")]
        outcomes = odoo.write(ACCOUNTS, changes)
        made = {
            name: sandbox.odoo.tables["res.partner"][int(str(number))]["name"] for name, number in ids(outcomes).items()
        }
        assert made == {"A": "A", "B": "B"}

    @pytest.mark.parametrize("told", [True, None, [], [1, 2], "7"])
    def test_an_answer_that_names_no_record_is_unknown(self, answered: Callable[..., Odoo], told: Any):
        odoo = answered(lambda *_: told)
        assert statuses(odoo.write(ACCOUNTS, [Change("a", None, {"name": "A"}, action="create")])) == {"a": "unknown"}

    def test_a_lost_answer_is_unknown(self, sandbox: Sandbox, odoo: Odoo):
        odoo.check()
        sandbox.faults.add("/odoo/jsonrpc/res.partner/create", "lost_answer")
        odoo.write(ACCOUNTS, [Change("a", None, {"name": "A"}, action="create")])
        assert len(sandbox.writes) == 1


class TestDeleting:
    def test_archives_what_can_be_archived(self, sandbox: Sandbox, odoo: Odoo):
        first, second = companies(sandbox)[:2]
        outcomes = odoo.write(ACCOUNTS, [delete(first["id"]), delete(second["id"])])
        assert {one.status for one in outcomes} == {"applied"}
        assert (first["active"], second["active"]) == (False, False)

    def test_one_that_is_gone_is_no_error_and_holds_up_nobody(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        outcomes = odoo.write(ACCOUNTS, [delete(row["id"]), delete(999_999)])
        assert statuses(outcomes) == {f"op{row['id']}": "applied", "op999999": "unchanged"}
        assert row["active"] is False

    def test_an_activity_is_taken_back_and_not_done(self, sandbox: Sandbox, odoo: Odoo):
        sandbox.odoo.keeps_done = True
        number = next(iter(sandbox.odoo.tables["mail.activity"]))
        assert statuses(odoo.write(TASKS, [delete(number)])) == {f"op{number}": "applied"}
        assert number not in sandbox.odoo.tables["mail.activity"]


class TestCountries:
    def test_are_written_and_told_by_code(self, sandbox: Sandbox, odoo: Odoo):
        first, second = companies(sandbox)[:2]
        changes = [change(first["id"], **{COUNTRY_CODE: "at"}), change(second["id"], **{COUNTRY_CODE: None})]
        assert {one.status for one in odoo.write(ACCOUNTS, changes)} == {"applied"}
        assert sandbox.odoo.tables["res.country"][first["country_id"]]["code"] == "AT"
        assert second["country_id"] is False
        held = odoo.fetch(ACCOUNTS, [str(first["id"]), str(second["id"])], [COUNTRY_CODE])
        assert [one.values[COUNTRY_CODE] for one in held.values()] == ["AT", None]

    def test_flow_into_a_new_record_too(self, odoo: Odoo):
        (made,) = odoo.write(ACCOUNTS, [create("K", **{COUNTRY_CODE: "AT", "city": "Graz"})])
        assert odoo.fetch(ACCOUNTS, [str(made.record_id)], [COUNTRY_CODE, "city"])[str(made.record_id)].values == {
            COUNTRY_CODE: "AT",
            "city": "Graz",
        }

    def test_one_that_nobody_knows_is_refused_and_the_others_go(self, sandbox: Sandbox, odoo: Odoo):
        first, second = companies(sandbox)[:2]
        outcomes = odoo.write(
            ACCOUNTS, [change(first["id"], **{COUNTRY_CODE: "XX"}), change(second["id"], **{COUNTRY_CODE: "AT"})]
        )
        assert statuses(outcomes) == {f"op{first['id']}": "rejected", f"op{second['id']}": "applied"}
        assert outcomes[0].message == "Odoo has no country with the code 'XX'"


class TestHeld:
    NAMES = ("name", "vat", "active", "user_id", "parent_id", COUNTRY_CODE)

    def test_payload_and_fetch_tell_the_same(self, odoo: Odoo):
        for page in odoo.read(ACCOUNTS, Slice()):
            live = odoo.fetch(ACCOUNTS, [str(json.loads(row)["id"]) for row in page.rows], self.NAMES)
            for row in page.rows:
                held = odoo.current_record(ACCOUNTS, bytes(row), self.NAMES)
                assert held == live[str(json.loads(row)["id"])]
                assert held is not None
                assert held.changed_at is not None
                assert held.changed_at.utcoffset() == timedelta(0)

    def test_a_task_is_told_by_payload_as_by_fetch(self, odoo: Odoo):
        names = ["summary", PARTNER_ID, IS_DONE, "date_deadline"]
        (page, *_) = odoo.read(ACTIVITIES, Slice())
        live = odoo.fetch(TASKS, [str(json.loads(row)["id"]) for row in page.rows], names)
        assert [odoo.current_record(TASKS, bytes(row), names) for row in page.rows] == list(live.values())

    @pytest.mark.parametrize(
        ("payload", "names"),
        [
            (b"", ["name"]),
            (b"[]", ["name"]),
            (b"{}", ["name"]),
            (b'{"id": 1}', ["name"]),
            (b'{"id": 1}', [EXTERNAL_ID]),
        ],
    )
    def test_a_payload_that_lacks_a_field_tells_nothing(
        self, answered: Callable[..., Odoo], payload: bytes, names: list[str]
    ):
        assert answered(fails("x", "must not be asked")).current_record(ACCOUNTS, payload, names) is None


class TestFinding:
    def test_finds_live_accounts_by_a_field_with_all_their_twins(self, sandbox: Sandbox, odoo: Odoo):
        first, second, archived, other = companies(sandbox)[:4]
        for row in (first, second, archived):
            row["vat"] = "DE7"
        archived["active"] = False
        found = odoo.find(ACCOUNTS, "vat", ["DE7", str(other["vat"]), "none"], ["name"])
        assert sorted(int(one.record_id) for one in found["DE7"]) == sorted([first["id"], second["id"]])
        assert str(other["id"]) in [one.record_id for one in found[str(other["vat"])]]
        assert "none" not in found

    def test_finds_by_a_number_as_a_number(self, sandbox: Sandbox, odoo: Odoo):
        row = next(one for one in companies(sandbox) if one["user_id"])
        found = odoo.find(ACCOUNTS, "user_id", [str(row["user_id"])], ["name"])
        assert str(row["id"]) in {one.record_id for one in found[str(row["user_id"])]}

    def test_an_archived_record_keeps_its_external_id(self, sandbox: Sandbox, odoo: Odoo):
        (made,) = odoo.write(ACCOUNTS, [create("K")])
        odoo.write(ACCOUNTS, [delete(made.record_id)])
        assert [one.values for one in odoo.find(ACCOUNTS, EXTERNAL_ID, ["K"], ["active"])["K"]] == [{"active": False}]


def task(key: str, partner: Any, **more: Any) -> Change:
    after = {
        EXTERNAL_ID: key,
        "summary": f"Call {key}",
        "date_deadline": date(2026, 11, 1),
        PARTNER_ID: partner,
        **more,
    }
    return Change(f"op{key}", None, after, action="create", key=EXTERNAL_ID)


class TestTasks:
    NAMES = ("summary", "note", "date_deadline", PARTNER_ID, IS_DONE, EXTERNAL_ID)

    @pytest.mark.parametrize("keeps_done", [True, False])
    def test_are_made_once_on_their_partner_and_done_later(self, sandbox: Sandbox, odoo: Odoo, keeps_done: bool):
        sandbox.odoo.keeps_done = keeps_done
        partner = companies(sandbox)[0]["id"]
        first, again = odoo.write(TASKS, [task("K", str(partner))]) + odoo.write(TASKS, [task("K", str(partner))])
        assert first.status == again.status == "applied"
        number = str(first.record_id)
        assert again.record_id == number
        held = odoo.find(TASKS, EXTERNAL_ID, ["K"], self.NAMES)["K"]
        assert [one.values for one in held] == [
            {
                "summary": "Call K",
                "note": None,
                "date_deadline": "2026-11-01",
                PARTNER_ID: partner,
                IS_DONE: False,
                EXTERNAL_ID: "K",
            }
        ]
        row = sandbox.odoo.tables["mail.activity"][int(number)]
        assert row["res_model"] == "res.partner"
        assert row["activity_type_id"]
        (done,) = odoo.write(TASKS, [Change("d", number, {IS_DONE: True}, {IS_DONE: False})])
        assert done.status == "applied"
        left = odoo.fetch(TASKS, [number], [IS_DONE])
        assert [one.values for one in left.values()] == ([{IS_DONE: True}] if keeps_done else [])

    def test_other_fields_are_written_before_it_is_done(self, sandbox: Sandbox, odoo: Odoo):
        sandbox.odoo.keeps_done = True
        (made,) = odoo.write(TASKS, [task("K", companies(sandbox)[0]["id"])])
        odoo.write(TASKS, [Change("d", made.record_id, {"summary": "Called", IS_DONE: True})])
        held = odoo.fetch(TASKS, [str(made.record_id)], ["summary", IS_DONE])[str(made.record_id)]
        assert held.values == {"summary": "Called", IS_DONE: True}

    def test_several_are_done_at_once_whatever_else_is_written(self, sandbox: Sandbox, odoo: Odoo):
        sandbox.odoo.keeps_done = True
        partner = companies(sandbox)[0]["id"]
        made = odoo.write(TASKS, [task("K", partner), task("L", partner)])
        changes = [
            Change(one.op_id, one.record_id, {"summary": one.op_id, IS_DONE: True}, {IS_DONE: False}) for one in made
        ]
        assert {one.status for one in odoo.write(TASKS, changes)} == {"applied"}
        held = odoo.fetch(TASKS, [str(one.record_id) for one in made], ["summary", IS_DONE])
        assert {one.values["summary"]: one.values[IS_DONE] for one in held.values()} == {"opK": True, "opL": True}

    def test_one_lost_answer_to_done_is_unknown(self, sandbox: Sandbox, odoo: Odoo):
        (made,) = odoo.write(TASKS, [task("K", companies(sandbox)[0]["id"])])
        sandbox.faults.add("/odoo/jsonrpc/mail.activity/action_feedback", "lost_answer", times=1)
        (done,) = odoo.write(TASKS, [Change("d", made.record_id, {IS_DONE: True})])
        assert done.status == "unknown"
        assert [entry["action"] for entry in sandbox.writes].count("done") == 1

    def test_may_be_made_without_a_key(self, sandbox: Sandbox, odoo: Odoo):
        partner = companies(sandbox)[0]["id"]
        (made,) = odoo.write(TASKS, [Change("a", None, {"summary": "Call", PARTNER_ID: str(partner)}, action="create")])
        row = sandbox.odoo.tables["mail.activity"][int(str(made.record_id))]
        assert (row["res_id"], row["res_model"], bool(row["activity_type_id"])) == (partner, "res.partner", True)

    def test_take_an_activity_type_of_ones_own(self, sandbox: Sandbox, odoo: Odoo):
        partner, kinds = companies(sandbox)[0]["id"], list(sandbox.odoo.tables["mail.activity.type"])
        made = odoo.write(TASKS, [task("K", partner), task("L", partner, activity_type_id=str(kinds[0]))])
        held = odoo.fetch(TASKS, [str(one.record_id) for one in made], [EXTERNAL_ID, "activity_type_id"])
        types = {one.values[EXTERNAL_ID]: one.values["activity_type_id"] for one in held.values()}
        assert types["L"] == kinds[0] != types["K"]

    def test_move_to_another_partner(self, sandbox: Sandbox, odoo: Odoo):
        first, second = companies(sandbox)[:2]
        (made,) = odoo.write(TASKS, [task("K", first["id"])])
        odoo.write(TASKS, [Change("m", made.record_id, {PARTNER_ID: str(second["id"])})])
        held = odoo.fetch(TASKS, [str(made.record_id)], [PARTNER_ID])
        assert held[str(made.record_id)].values == {PARTNER_ID: second["id"]}

    @pytest.mark.parametrize(
        ("one", "why"),
        [
            (task("K", None), "needs a partner_id"),
            (task("K", 7, is_done=True), "cannot be created as done"),
            (Change("opK", "7", {IS_DONE: False}, {IS_DONE: True}), "cannot be reopened"),
        ],
    )
    def test_what_cannot_be_is_refused_here(self, answered: Callable[..., Odoo], one: Change, why: str):
        odoo = answered(fails("x", "must not be asked"))
        (outcome,) = odoo.write(TASKS, [one])
        assert (outcome.status, why in outcome.message) == ("rejected", True)

    def test_open_stays_open(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: True)
        (outcome,) = odoo.write(TASKS, [Change("a", "7", {IS_DONE: False, "summary": "x"}, {IS_DONE: False})])
        assert outcome.status == "applied"
        assert [call[1:3] for call in odoo.calls] == [("write", [[7], {"summary": "x"}])]  # type: ignore[attr-defined]


class TestLocks:
    @pytest.mark.parametrize("lock", ["serialize", "deadlock", "nowait"])
    @pytest.mark.parametrize("method", ["write", "load"])
    def test_are_told_as_such_and_nothing_is_written(self, sandbox: Sandbox, odoo: Odoo, lock: str, method: str):
        sandbox.faults.add(f"/odoo/jsonrpc/res.partner/{method}", "locked", lock=lock)
        one = change(companies(sandbox)[0]["id"], name="X") if method == "write" else create("K")
        (outcome,) = odoo.write(ACCOUNTS, [one])
        assert (outcome.status, outcome.is_locked) == ("retry", True)
        assert sandbox.writes == []

    def test_a_full_pool_is_no_lock(self, answered: Callable[..., Odoo]):
        (outcome,) = answered(fails("psycopg2.pool.PoolError", "The Connection Pool Is Full")).write(
            ACCOUNTS, [change(1)]
        )
        assert (outcome.status, outcome.is_locked) == ("retry", False)

    def test_a_key_that_is_revoked_on_the_way_is_told_and_at_the_start_is_raised(self, answered: Callable[..., Odoo]):
        def answer(model: str, method: str, args: list[Any], options: Row) -> Any:
            if args[0] == [2]:
                raise Fault("odoo.exceptions.AccessDenied", "Access Denied")
            return True

        changes = [change(1, name="A"), change(2, vat="B")]
        assert statuses(answered(answer).write(ACCOUNTS, changes)) == {"op1": "applied", "op2": "retry"}
        with pytest.raises(AccessError):
            answered(answer).write(ACCOUNTS, changes[1:])


def test_what_an_activity_says_is_plain_text_both_ways(answered: Callable[..., Odoo]):
    odoo = answered(lambda model, method, *_: [{"id": 7, "note": "<p>Call &amp; ask</p>", "write_date": False}])
    odoo._described["mail.activity"]["note"] = {"type": "html", "string": "Note", "readonly": False}
    held = odoo.fetch(TASKS, ["7"], ["note"])["7"]
    assert (held.values, held.version, held.changed_at) == ({"note": "Call & ask"}, None, None)


def test_batches_side_by_side_log_in_and_ask_once_what_may_be_written(sandbox: Sandbox, odoo: Odoo):
    sandbox.faults.add("/odoo", "latency", ms=30)
    with ThreadPoolExecutor(4) as pool:
        named = pool.submit(odoo.account)
        told = list(pool.map(odoo.writable, [ACCOUNTS] * 3))
    assert named.result()
    assert all(one == told[0] for one in told)
    assert sandbox.requests["POST", "/odoo/jsonrpc"] == 2
