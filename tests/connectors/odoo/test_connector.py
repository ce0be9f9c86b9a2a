"""Odoo: the connector against the sandbox, and against answers that the sandbox would never give."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from connectors.kit.base import (
    Change,
    CountsSlices,
    FindsByField,
    ListsKeys,
    ReadsByKey,
    ReadsPayload,
    TargetRecord,
    Writes,
)
from connectors.kit.errors import AccessError, BusyError, ConnectorError, ReplyError, SettingsError
from connectors.kit.http.client import Http
from connectors.kit.raw_rows import Page, raw_table
from connectors.kit.settings import load
from connectors.kit.stream import Slice, Stream
from connectors.odoo.connector import Odoo
from connectors.odoo.streams import STREAMS
from engine.config.field_maps import with_overrides
from engine.storage.backend.backend import connect
from sandbox.server import Sandbox
from schemas.mapping import paths
from transforms.conform.conform import conform

ELSEWHERE = "https://odoo.example"
KEY = "sandbox-odoo-key"
DATE = {"Date": "Tue, 20 Oct 2026 05:00:00 GMT"}
NOW = datetime(2026, 10, 20, 5, tzinfo=UTC)
ALL = Slice(None, NOW)
Answer = Callable[..., Any]


def connected(url: str, **settings: Any) -> Odoo:
    """Open the connector with its rate limit out of the way, and without pauses between attempts."""
    given = {"base_url": url, "database": "sandbox", "login": "belvedere@example.com", "api_key": KEY}
    checked = load(Odoo, "odoo", given | {"requests_per_second": 100_000} | settings)
    return Odoo("odoo", checked, Http("odoo", url, attempts=2, sleep=lambda _: None))


@pytest.fixture
def open_(sandbox: Sandbox) -> Iterator[Callable[..., Odoo]]:
    """Open the connector upon the sandbox, by other settings if need be."""
    made: list[Odoo] = []

    def make(**settings: Any) -> Odoo:
        made.append(connected(f"{sandbox.url}/odoo", **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def odoo(open_: Callable[..., Odoo]) -> Odoo:
    return open_()


class Fault(Exception):
    """What a server raises: the name of its class and its message."""


@pytest.fixture
def answered() -> Iterator[Callable[..., Odoo]]:
    """Answer `execute_kw` by a function of model, method, arguments and options.

    Every mapped field is there and is known already; where `knows` is False, they are asked for.
    """
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

        def make(answer: Answer, *, knows: bool = True, **settings: Any) -> Odoo:
            calls: list[tuple[str, str, list[Any], dict[str, Any]]] = []

            def reply(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
                asked = json.loads(request.body or "{}")["params"]
                try:
                    if asked["service"] == "common":
                        result = {"server_version": "19.0"} if asked["method"] == "version" else 7
                    else:
                        call = tuple(asked["args"][3:])
                        calls.append(call)
                        result = answer(*call)
                except Fault as fault:
                    name, message = fault.args
                    return 200, DATE, json.dumps({"error": {"code": 200, "data": {"name": name, "message": message}}})
                if isinstance(result, bytes):
                    return 200, DATE, result.decode()
                return 200, DATE, json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})

            mock.add_callback("POST", f"{ELSEWHERE}/jsonrpc", reply, content_type="application/json")
            connector = connected(ELSEWHERE, **settings)
            connector.calls = calls  # type: ignore[attr-defined]
            if knows:
                connector._described = {one.object: described(one.object) for one in STREAMS}
            return connector

        yield make


def described(model: str) -> dict[str, Any]:
    """Describe a model as having every field that is mapped."""
    names = {path.split(".")[0] for one in STREAMS if one.object == model for path in paths(one.fields)}
    return {name: {"type": "char", "string": name, "readonly": False} for name in names if not name.startswith("_")}


def rows_only(rows: Callable[[list[Any]], list[Any]]) -> Answer:
    """Answer reads by a function of the domain."""

    def answer(model: str, method: str, args: list[Any], options: dict[str, Any]) -> Any:
        if method == "fields_get":
            return described(model)
        return len(rows(args[0])) if method == "search_count" else rows(args[0])

    return answer


def writing(answer: Callable[[list[int], dict[str, Any]], Any]) -> Answer:
    """Answer writes by a function of ids and values."""
    return lambda model, method, args, options: answer(*args)


def fails(name: str, message: str) -> Answer:
    def answer(*_: Any) -> Any:
        raise Fault(name, message)

    return answer


def stream(name: str, **overrides: Any) -> Stream:
    found = next(one for one in STREAMS if one.name == name)
    return replace(found, fields=with_overrides("odoo", found, overrides))


def keys(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def column(pages: list[Page], path: str) -> dict[str, str | None]:
    values = [value for page in pages for value in page.records.column(path).to_pylist()]
    return dict(zip(keys(pages), values, strict=True))


def change(number: Any, op_id: str | None = None, **after: Any) -> Change:
    return Change(op_id or f"op{number}", None if number is None else str(number), after or {"x_score": 5.0})


def statuses(outcomes: list[Any]) -> dict[str, str]:
    return {outcome.op_id: outcome.status for outcome in outcomes}


def companies(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [row for row in sandbox.odoo.tables["res.partner"].values() if row["is_company"]]


def conformed(name: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """Carry records through their stream's field map."""
    one = stream(name)
    made = raw_table([json.dumps(record).encode() for record in records], one, NOW)
    table = connect().create_table(f"raw_{name}", made, overwrite=True)
    done = conform(table, connection="odoo", stream=name, table=name, fields=one.fields, nulls=one.nulls)
    return done.order_by("_record_id").to_pyarrow().to_pylist()


def test_offers_every_capability_that_odoo_has(odoo: Odoo):
    for capability in (CountsSlices, ListsKeys, ReadsByKey, FindsByField, ReadsPayload, Writes):
        assert isinstance(odoo, capability)


class TestReading:
    @pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
    def test_reads_every_record_once_and_knows_how_many_there_are(self, open_: Callable[..., Odoo], one: Stream):
        odoo = open_(page_size=7)
        pages = list(odoo.read(one, ALL))
        assert sorted(keys(pages)) == sorted(key for some in odoo.keys(one) for key in some)
        assert len(keys(pages)) == len(set(keys(pages))) == pages[0].total == odoo.count(one, ALL) > 0
        assert [page.total for page in pages[1:]] == [None] * (len(pages) - 1)
        assert [page.checkpoint for page in pages].index(None) == len(pages) - 1

    @pytest.mark.parametrize(("name", "size"), [("accounts", 4), ("invoices", 60), ("owners", 5)])
    def test_goes_on_after_any_page_without_reading_one_twice(self, open_: Callable[..., Odoo], name: str, size: int):
        odoo = open_(page_size=size)
        pages = list(odoo.read(stream(name), ALL))
        assert len(pages) > 2
        for number, page in enumerate(pages[:-1], start=1):
            rest = list(odoo.read(stream(name), ALL, json.loads(json.dumps(page.checkpoint))))
            assert keys(rest) == keys(pages[number:])

    def test_reads_the_rows_of_one_long_transaction_once_each_over_many_pages(
        self, sandbox: Sandbox, open_: Callable[..., Odoo]
    ):
        at = datetime(2026, 10, 1, 12, 0, 0, 700_000, UTC)
        for row in sandbox.odoo.tables["account.move"].values():
            row["write_date"] = at
        whole = at.replace(microsecond=0)
        pages = list(open_(page_size=20).read(stream("invoices"), Slice(whole, whole + timedelta(seconds=1))))
        assert keys(pages) == [str(number) for number in sandbox.odoo.tables["account.move"]]
        assert len(pages) > 10

    def test_a_slice_holds_its_start_and_not_its_end(self, sandbox: Sandbox, odoo: Odoo):
        start = datetime(2026, 10, 19, 12, 0, 1, tzinfo=UTC)
        stamps = [start - timedelta(seconds=1), start, start + timedelta(seconds=1)]
        chosen = companies(sandbox)[:3]
        for row in companies(sandbox):
            row["write_date"] = start - timedelta(days=30)
        for row, stamp in zip(chosen, stamps, strict=True):
            row["write_date"] = stamp
        slice_ = Slice(start, start + timedelta(seconds=1))
        assert keys(list(odoo.read(stream("accounts"), slice_))) == [str(chosen[1]["id"])]
        assert odoo.count(stream("accounts"), slice_) == 1

    def test_slices_that_meet_within_a_second_leave_no_row_between_them(self, sandbox: Sandbox, odoo: Odoo):
        meeting = datetime(2026, 10, 19, 12, 0, 1, 500_000, UTC)
        row = companies(sandbox)[0]
        for other in companies(sandbox):
            other["write_date"] = meeting - timedelta(days=30)
        for fraction in (0, 300_000, 500_000, 999_999):
            row["write_date"] = meeting.replace(microsecond=fraction)
            before = keys(list(odoo.read(stream("accounts"), Slice(meeting - timedelta(days=1), meeting))))
            after = keys(list(odoo.read(stream("accounts"), Slice(meeting, NOW))))
            assert [*before, *after] == [str(row["id"])]

    def test_a_row_that_never_got_a_stamp_belongs_to_the_first_slice(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        row["write_date"] = False
        assert str(row["id"]) in keys(list(odoo.read(stream("accounts"), ALL)))
        assert str(row["id"]) not in keys(list(odoo.read(stream("accounts"), Slice(NOW - timedelta(days=9999), NOW))))

    def test_the_cursor_stays_as_far_behind_as_a_transaction_may_run(self, open_: Callable[..., Odoo]):
        odoo = open_(max_transaction_minutes=30)
        assert {one.lag for one in odoo.streams} == {timedelta(minutes=30)}

    def test_the_cursor_is_the_stamp_in_utc(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        row["write_date"] = datetime(2026, 3, 29, 1, 30, 5, 999_999, UTC)
        page = next(iter(odoo.read(stream("accounts"), ALL)))
        cursors = dict(zip(page.records["_key"].to_pylist(), page.records["_cursor"].to_pylist(), strict=True))
        assert cursors[str(row["id"])] == datetime(2026, 3, 29, 1, 30, 5, tzinfo=UTC)

    def test_a_page_that_does_not_move_on_is_an_error(self, answered: Callable[..., Odoo]):
        odoo = answered(rows_only(lambda _: [{"id": 3}, {"id": 4}]), page_size=2)
        with pytest.raises(ReplyError, match="odoo accounts: paging makes no progress after id 4"):
            list(odoo.read(stream("accounts"), ALL))

    def test_an_empty_stream_is_one_empty_page(self, answered: Callable[..., Odoo]):
        (page,) = answered(rows_only(lambda _: [])).read(stream("invoices"), ALL)
        assert (page.records.num_rows, page.checkpoint, page.total) == (0, None, 0)

    def test_asks_for_the_fields_of_the_map_and_no_others(self, answered: Callable[..., Odoo]):
        odoo = answered(rows_only(lambda _: []))
        list(odoo.read(stream("owners"), ALL))
        options = odoo.calls[-1][3]  # type: ignore[attr-defined]
        assert options["fields"] == ["name", "email", "login", "active", "write_date"]
        assert options["context"] == {"active_test": False}

    def test_takes_custom_fields_along_but_no_files_and_nothing_that_the_server_works_out(
        self, answered: Callable[..., Odoo]
    ):
        custom = {
            "x_b": ("char", True),
            "x_a": ("selection", True),
            "x_logo": ("binary", True),
            "x_sum": ("float", False),
        }

        def answer(model: str, method: str, *args: Any) -> Any:
            more = {
                name: {"type": kind, "string": name, "readonly": False, "store": is_stored}
                for name, (kind, is_stored) in custom.items()
            }
            return rows_only(lambda _: [])(model, method, *args) | more if method == "fields_get" else []

        odoo = answered(answer, knows=False)
        rows = list(odoo.read(stream("owners"), Slice(None, None), {"last_id": 1}))
        assert len(rows) == 1
        assert odoo.calls[-1][3]["fields"] == [  # type: ignore[attr-defined]
            *("name", "email", "login", "active", "write_date", "x_a", "x_b")
        ]

    def test_a_mapped_field_that_has_vanished_is_not_asked_for(self, odoo: Odoo):
        pages = list(odoo.read(stream("accounts", tax_id="x_vanished"), ALL))
        assert {value for page in pages for value in page.records.column("x_vanished").to_pylist()} == {None}

    def test_reads_only_the_companies_that_are_asked_for(self, answered: Callable[..., Odoo]):
        odoo = answered(rows_only(lambda _: []), company_ids=[2, 5])
        list(odoo.read(stream("owners"), ALL))
        assert odoo.calls[-1][3]["context"]["allowed_company_ids"] == [2, 5]  # type: ignore[attr-defined]


class TestWhatIsRead:
    def test_archived_records_come_and_say_so(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        sandbox.edit("odoo", "res.partner", row["id"], {"active": False})
        assert column(list(odoo.read(stream("accounts"), Slice(None, None))), "active")[str(row["id"])] == "false"
        (record,) = conformed("accounts", {"id": 1, "name": "A", "active": False, "vat": False, "phone": False})
        assert (record["is_active"], record["tax_id"], record["phone"]) == (False, None, None)

    def test_people_at_a_company_are_no_accounts(self, sandbox: Sandbox, odoo: Odoo):
        people = {str(row["id"]) for row in sandbox.odoo.tables["res.partner"].values() if row["parent_id"]}
        assert people
        assert not people & {*keys(list(odoo.read(stream("accounts"), ALL)))}

    def test_countries_are_codes(self, sandbox: Sandbox, odoo: Odoo):
        codes = column(list(odoo.read(stream("accounts"), ALL)), "_country_code")
        tables = sandbox.odoo.tables
        for row in companies(sandbox):
            assert codes[str(row["id"])] == tables["res.country"][row["country_id"]]["code"]

    @pytest.mark.parametrize(
        ("name", "model", "field"),
        [
            ("deals", "crm.lead", "partner_id"),
            ("orders", "sale.order", "partner_id"),
            ("payments", "account.payment", "partner_id"),
            ("activities", "mail.activity", "res_id"),
        ],
    )
    def test_what_names_a_person_belongs_to_the_persons_company(
        self, sandbox: Sandbox, odoo: Odoo, name: str, model: str, field: str
    ):
        person = next(row for row in sandbox.odoo.tables["res.partner"].values() if row["parent_id"])
        row, other = list(sandbox.odoo.tables[model].values())[:2]
        row[field] = person["id"]
        accounts = column(list(odoo.read(stream(name), ALL)), "_account_id")
        assert accounts[str(row["id"])] == str(person["parent_id"])
        assert accounts[str(other["id"])] == str(other[field])

    def test_an_invoice_knows_the_country_that_was_delivered_to(self, sandbox: Sandbox, odoo: Odoo):
        tables = sandbox.odoo.tables
        seen = column(list(odoo.read(stream("invoices"), ALL)), "_ship_to_country")
        for number, row in tables["account.move"].items():
            place = tables["res.partner"][row["partner_shipping_id"]]
            assert seen[str(number)] == tables["res.country"][place["country_id"]]["code"]

    @pytest.mark.parametrize(
        ("held", "status"),
        [
            ({"won_status": "won", "active": True, "probability": 100.0}, "won"),
            ({"won_status": "lost", "active": False, "probability": 0.0}, "lost"),
            ({"won_status": "pending", "active": True, "probability": 30.0}, "open"),
            ({"won_status": "pending", "active": False, "probability": 30.0}, "lost"),
            ({"active": False, "probability": 0.0}, "lost"),
            ({"active": True, "probability": 100.0}, "won"),
            ({"active": True, "probability": 0.0}, "open"),
        ],
    )
    def test_deals_are_open_won_or_lost_in_every_version(self, held: dict[str, Any], status: str):
        (deal,) = conformed("deals", {"id": 1, "partner_id": [4, "A"], "_account_id": 3} | held)
        assert (deal["status"], deal["account_id"]) == (status, "3")
        assert deal["probability"] == pytest.approx(held["probability"] / 100)

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ("draft", "draft"),
            ("in_process", "posted"),
            ("posted", "posted"),
            ("paid", "posted"),
            ("canceled", "cancelled"),
            ("cancel", "cancelled"),
            ("rejected", "cancelled"),
        ],
    )
    def test_payments_have_the_states_of_old_and_new_versions(self, state: str, status: str):
        (payment,) = conformed("payments", {"id": 1, "state": state, "partner_id": [4, "A"]})
        assert (payment["status"], payment["account_id"]) == (status, "4")

    def test_credit_notes_count_negative_and_drafts_have_the_books_date(self):
        held = {"amount_untaxed": 100.0, "amount_total": 119.0, "amount_residual": 0.0, "currency_id": [1, "EUR"]}
        invoice, note = conformed(
            "invoices",
            {"id": 1, "move_type": "out_invoice", "state": "draft", "invoice_date": False, "date": "2026-10-02"} | held,
            {"id": 2, "move_type": "out_refund", "state": "cancel", "invoice_date": "2026-10-01", "date": "2026-10-09"}
            | held,
        )
        assert (invoice["kind"], invoice["status"], invoice["net_amount"]) == ("invoice", "draft", 100)
        assert (note["kind"], note["status"], note["net_amount"]) == ("credit_note", "cancelled", -100)
        assert (str(invoice["invoice_on"]), str(note["invoice_on"])) == ("2026-10-02", "2026-10-01")
        assert (invoice["currency"], invoice["open_amount"]) == ("EUR", 0)

    def test_activities_are_planned_until_they_are_done(self):
        planned, done = conformed(
            "activities",
            {"id": 1, "res_id": 4, "active": True, "date_done": False, "date_deadline": "2026-11-01"},
            {
                "id": 2,
                "res_id": 4,
                "active": False,
                "date_done": "2026-10-02",
                "date_deadline": "2026-10-01",
                "activity_category": "phonecall",
            },
        )
        assert (planned["kind"], planned["status"], planned["happened_at"].day) == ("task", "planned", 1)
        assert (done["kind"], done["status"], done["happened_at"].day) == ("call", "done", 2)


class TestKeys:
    def test_lists_archived_records_and_misses_deleted_ones(self, sandbox: Sandbox, odoo: Odoo):
        odoo.keys_page_size = 4
        first, second = companies(sandbox)[:2]
        sandbox.edit("odoo", "res.partner", first["id"], {"active": False})
        del sandbox.odoo.tables["res.partner"][second["id"]]
        pages = list(odoo.keys(stream("accounts")))
        assert [key for page in pages for key in page] == [str(row["id"]) for row in companies(sandbox)]
        assert max(len(page) for page in pages) == 4

    def test_a_sweep_that_does_not_move_on_is_an_error(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: [3, 4])
        odoo.keys_page_size = 2
        with pytest.raises(ReplyError, match="no progress after id 4"):
            list(odoo.keys(stream("accounts")))


class TestCheck:
    def test_names_the_database_its_host_and_its_version(self, odoo: Odoo):
        found = odoo.check()
        assert found.account == "sandbox/127.0.0.1"
        assert found.notes[0] == "Odoo 17.0"
        assert found.now.utcoffset() == timedelta(0)

    @pytest.mark.parametrize("wrong", [{"api_key": "wrong"}, {"login": "nobody@example.com"}])
    def test_a_refused_login_is_named_without_its_key(self, open_: Callable[..., Odoo], wrong: dict[str, str]):
        with pytest.raises(AccessError, match=r"login '.*' or its key was refused; check settings\.login") as told:
            open_(**wrong).check()
        assert KEY not in str(told.value)
        assert "wrong" not in str(told.value)

    def test_a_model_that_is_not_installed_names_the_stream_to_leave_out(self, answered: Callable[..., Odoo]):
        def answer(model: str, *_: Any) -> Any:
            if model == "crm.lead":
                raise Fault("odoo.exceptions.UserError", "Object crm.lead doesn't exist")
            return described(model)

        with pytest.raises(SettingsError, match=r"Object crm.lead doesn't exist; .* leave deals out of `streams`"):
            answered(answer).check()

    def test_a_company_that_is_not_the_logins_is_named(self, answered: Callable[..., Odoo]):
        odoo = answered(lambda *_: [{"id": 7, "company_ids": [1, 2]}], company_ids=[2, 5])
        with pytest.raises(SettingsError, match=r"the login has no access to company_ids \[5\]; choices: 1, 2"):
            odoo.check()

    def test_logs_in_again_so_that_a_revoked_key_is_noticed(self, sandbox: Sandbox, odoo: Odoo):
        odoo.check()
        odoo._rpc.login = "somebody@example.com"
        with pytest.raises(AccessError):
            odoo.check()

    def test_the_clock_is_the_servers(self, sandbox: Sandbox, odoo: Odoo):
        sandbox.clock.advance(86400 * 3)
        assert abs(odoo.now() - sandbox.clock.now()) < timedelta(seconds=5)

    def test_fields_are_offered_under_the_path_that_a_map_would_use(self, odoo: Odoo):
        offered = {name: {field.path for field in fields} for name, fields in odoo.discover().items()}
        assert {one.name for one in odoo.streams} == set(offered)
        assert {"user_id.0", "vat", "x_hubspot_id"} <= offered["accounts"]
        assert {"stage_id.1", "opportunity_id.0"} <= offered["deals"] | offered["orders"]
        assert not {"user_id", "stage_id"} & (offered["accounts"] | offered["deals"])
        scores = [field for field in odoo.discover()["accounts"] if field.path == "x_belvedere_retention_score"]
        assert [(field.is_custom, field.is_writable, field.label) for field in scores] == [
            (True, True, "Retention score")
        ]

    @pytest.mark.parametrize(
        "wrong", [{"page_size": 0}, {"max_transaction_minutes": -1}, {"database": None}, {"pagesize": 5}]
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong: dict[str, Any]):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            connected(ELSEWHERE, **wrong)


ERRORS: list[tuple[str, str, type[ConnectorError], str]] = [
    ("odoo.exceptions.AccessDenied", "Access Denied", AccessError, "raised"),
    ("odoo.exceptions.AccessError", "You are not allowed to access 'Lead' (crm.lead)", AccessError, "rejected"),
    ("builtins.ValueError", "Invalid field 'x' on model 'res.partner'", ReplyError, "rejected"),
    ("odoo.exceptions.ValidationError", "The tax number is not valid", ReplyError, "rejected"),
    ("odoo.exceptions.MissingError", "Record does not exist or has been deleted.\n(Record: 7)", ReplyError, "rejected"),
    ("psycopg2.errors.SerializationFailure", "could not serialize access", BusyError, "retry"),
    ("psycopg2.errors.DeadlockDetected", "deadlock detected\nDETAIL: Process 7 waits", BusyError, "retry"),
    ("psycopg2.errors.LockNotAvailable", "could not obtain lock on row in relation", BusyError, "retry"),
    ("psycopg2.pool.PoolError", "The Connection Pool Is Full", BusyError, "retry"),
    ("psycopg2.OperationalError", "server closed the connection unexpectedly", BusyError, "unknown"),
    ("psycopg2.InterfaceError", "connection already closed", BusyError, "unknown"),
    ("psycopg2.OperationalError", 'FATAL:  database "sandboxx" does not exist', SettingsError, "raised"),
]


class TestErrors:
    @pytest.mark.parametrize(("name", "message", "kind", "_"), ERRORS)
    def test_a_read_names_what_happens_next(
        self, answered: Callable[..., Odoo], name: str, message: str, kind: type[ConnectorError], _: str
    ):
        with pytest.raises(kind) as told:
            answered(fails(name, message)).count(stream("accounts"), ALL)
        assert "\n" not in str(told.value)
        assert KEY not in str(told.value)
        assert str(told.value).startswith("odoo: ")

    @pytest.mark.parametrize(("name", "message", "kind", "status"), ERRORS)
    def test_a_write_answers_an_outcome_where_the_record_is_at_fault(
        self, answered: Callable[..., Odoo], name: str, message: str, kind: type[ConnectorError], status: str
    ):
        odoo = answered(fails(name, message))
        if status == "raised":
            with pytest.raises(kind):
                odoo.write(stream("accounts"), [change(1), change(2)])
        else:
            outcomes = odoo.write(stream("accounts"), [change(1), change(2)])
            assert statuses(outcomes) == {"op1": status, "op2": status}
            assert all(message.partition("\n")[0] in outcome.message for outcome in outcomes)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"jsonrpc": "2.0", "id": 1}', b"null", b'{"resul'])
    def test_an_answer_that_says_nothing_is_no_empty_result(self, answered: Callable[..., Odoo], body: bytes):
        with pytest.raises(ReplyError, match="has neither result nor error"):
            answered(lambda *_: body).count(stream("accounts"), ALL)
        outcomes = answered(lambda *_: body).write(stream("accounts"), [change(1)])
        assert statuses(outcomes) == {"op1": "unknown"}

    @pytest.mark.parametrize("error", [b'{"error": "no"}', b'{"error": {}}', b'{"error": {"data": null}}'])
    def test_an_error_without_a_shape_is_still_an_error(self, answered: Callable[..., Odoo], error: bytes):
        with pytest.raises(ReplyError, match=r"odoo: res\.partner\.search_count: no"):
            answered(lambda *_: error).count(stream("accounts"), ALL)


class TestFetch:
    def test_gives_what_is_held_and_leaves_out_what_is_not_there(self, sandbox: Sandbox, odoo: Odoo):
        first, second, third = companies(sandbox)[:3]
        sandbox.edit("odoo", "res.partner", first["id"], {"x_belvedere_retention_score": 7.5, "active": False})
        sandbox.edit("odoo", "res.partner", third["id"], {"write_date": NOW})
        ids = [str(first["id"]), str(second["id"]), "999999", "not a number"]
        held = odoo.fetch(stream("accounts"), ids, ["x_belvedere_retention_score", "x_belvedere_retention_band"])
        assert held.keys() == {str(first["id"]), str(second["id"])}
        empty: dict[str, Any] = {"x_belvedere_retention_score": None, "x_belvedere_retention_band": None}
        assert held[str(first["id"])].values == empty | {"x_belvedere_retention_score": 7.5}
        assert held[str(second["id"])].values == empty

    def test_the_version_is_the_stamp(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        row["write_date"] = datetime(2026, 10, 2, 3, 4, 5, 6, UTC)
        held = odoo.fetch(stream("accounts"), [str(row["id"])], ["name"])
        at = datetime(2026, 10, 2, 3, 4, 5, tzinfo=UTC)
        assert held[str(row["id"])] == TargetRecord(str(row["id"]), {"name": row["name"]}, "2026-10-02 03:04:05", at)

    def test_a_relation_is_its_id_as_it_would_be_written(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        held = odoo.fetch(stream("accounts"), [str(row["id"])], ["user_id", "parent_id"])
        assert held[str(row["id"])].values == {"user_id": row["user_id"], "parent_id": None}


class TestWriting:
    def test_writes_equal_values_in_one_call(self, sandbox: Sandbox, odoo: Odoo):
        ids = [row["id"] for row in companies(sandbox)[:6]]
        odoo.check()
        sandbox.requests.clear()
        scores = dict.fromkeys(ids, 5.0)
        changes = [change(number, x_belvedere_retention_score=score) for number, score in scores.items()]
        outcomes = odoo.write(stream("accounts"), changes)
        assert statuses(outcomes) == {f"op{number}": "applied" for number in ids}
        assert {outcome.op_id: outcome.record_id for outcome in outcomes} == {f"op{n}": str(n) for n in ids}
        assert sandbox.requests["POST", "/odoo/jsonrpc"] == 1
        assert {write["id"]: write["after"] for write in sandbox.writes} == {
            str(number): {"x_belvedere_retention_score": score} for number, score in scores.items()
        }

    def test_sends_what_changed_and_nothing_else_and_empties_by_false(self, answered: Callable[..., Odoo]):
        odoo = answered(writing(lambda ids, values: True))
        odoo.write(stream("accounts"), [Change("a", "3", {"x_score": 5.0, "x_band": None}, {"x_score": 4.0})])
        context = {"context": {"active_test": False}}
        calls = odoo.calls  # type: ignore[attr-defined]
        assert calls == [("res.partner", "write", [[3], {"x_score": 5.0, "x_band": False}], context)]

    def test_one_bad_record_is_found_and_the_others_are_written_once(self, sandbox: Sandbox, odoo: Odoo):
        ids = [row["id"] for row in companies(sandbox)[:9]]
        gone = ids.pop(4)
        del sandbox.odoo.tables["res.partner"][gone]
        changes = [change(number, x_belvedere_retention_band="good") for number in [*ids[:4], gone, *ids[4:]]]
        outcomes = odoo.write(stream("accounts"), changes)
        assert statuses(outcomes) == {f"op{number}": "applied" for number in ids} | {f"op{gone}": "rejected"}
        assert sorted(write["id"] for write in sandbox.writes) == sorted(str(number) for number in ids)
        told = next(outcome.message for outcome in outcomes if outcome.status == "rejected")
        assert "Record does not exist or has been deleted." in told

    def test_a_value_that_is_refused_is_rejected_with_the_servers_words(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        (outcome,) = odoo.write(stream("accounts"), [change(row["id"], x_belvedere_retention_score="high")])
        assert outcome.status == "rejected"
        assert "could not convert string to float" in outcome.message
        assert sandbox.writes == []

    @pytest.mark.parametrize("fault", ["lost_answer", "truncated"])
    def test_a_lost_answer_leaves_the_outcome_unknown_and_nothing_is_sent_again(
        self, sandbox: Sandbox, odoo: Odoo, fault: str
    ):
        ids = [row["id"] for row in companies(sandbox)[:3]]
        odoo.check()
        sandbox.faults.add("/odoo/jsonrpc", fault, times=1)
        outcomes = odoo.write(stream("accounts"), [change(number, x_belvedere_retention_band="good") for number in ids])
        assert statuses(outcomes) == {f"op{number}": "unknown" for number in ids}
        assert len(sandbox.writes) == 3

    def test_a_gateway_that_gave_up_leaves_the_outcome_unknown(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        odoo.check()
        sandbox.requests.clear()
        sandbox.faults.add("/odoo/jsonrpc", "error", status=504)
        outcomes = odoo.write(stream("accounts"), [change(row["id"], x_belvedere_retention_band="good")])
        assert statuses(outcomes) == {f"op{row['id']}": "unknown"}
        assert sum(sandbox.requests.values()) == 1

    def test_an_unknown_outcome_does_not_hide_those_of_other_groups(self, answered: Callable[..., Odoo]):
        odoo = answered(writing(lambda ids, values: b"" if values["x_score"] == 2.0 else True))
        scored = [change(number, x_score=float(number)) for number in (1, 2, 3)]
        outcomes = odoo.write(stream("accounts"), scored)
        assert statuses(outcomes) == {"op1": "applied", "op2": "unknown", "op3": "applied"}

    def test_a_write_that_was_never_taken_is_sent_again(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        odoo.check()
        sandbox.faults.add("/odoo/jsonrpc", "rate_limit", times=1, retry_after=0)
        outcomes = odoo.write(stream("accounts"), [change(row["id"], x_belvedere_retention_band="good")])
        assert statuses(outcomes) == {f"op{row['id']}": "applied"}
        assert len(sandbox.writes) == 1

    def test_a_server_that_takes_nothing_leaves_all_for_later(self, sandbox: Sandbox, odoo: Odoo):
        row = companies(sandbox)[0]
        odoo.check()
        sandbox.faults.add("/odoo/jsonrpc", "rate_limit", retry_after=0)
        outcomes = odoo.write(stream("accounts"), [change(row["id"], x_belvedere_retention_band="good")])
        assert statuses(outcomes) == {f"op{row['id']}": "retry"}
        assert sandbox.writes == []

    @pytest.mark.parametrize("number", [None, "", "0", "-4", "acme"])
    def test_a_change_of_no_record_is_never_sent(self, answered: Callable[..., Odoo], number: str | None):
        odoo = answered(writing(lambda ids, values: True))
        outcomes = odoo.write(stream("accounts"), [change(number, "a"), change(8)])
        assert statuses(outcomes) == {"a": "rejected", "op8": "applied"}
        assert [call[2][0] for call in odoo.calls] == [[8]]  # type: ignore[attr-defined]

    def test_what_nobody_may_write_is_told_apart(self, odoo: Odoo):
        fields = odoo.writable(stream("accounts"))
        assert fields["x_belvedere_retention_score"].is_writable
        assert not fields["write_date"].is_writable
