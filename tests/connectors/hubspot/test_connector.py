"""HubSpot: the connector against the sandbox, and against answers that the sandbox would never give."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from connectors.hubspot.connector import HubSpot
from connectors.hubspot.responses import spliced, with_team
from connectors.hubspot.values import as_text
from connectors.kit.base import (
    Change,
    CountsSlices,
    FindsByField,
    ReadsByKey,
    ReadsPayload,
    ReportsDeletes,
    SourceField,
    Writes,
)
from connectors.kit.errors import AccessError, ConnectorError, ReplyError, SettingsError
from connectors.kit.http.auth import Bearer
from connectors.kit.http.client import Http
from connectors.kit.raw_rows import Page, raw_table
from connectors.kit.settings import load
from connectors.kit.stream import Slice, Stream
from engine.config.field_maps import with_overrides
from engine.storage.backend.backend import connect
from sandbox.server import Sandbox
from schemas.mapping import paths
from tests.connectors.conftest import Time
from transforms.conform.conform import conform

ELSEWHERE = "https://hubspot.example"
ANY_URL = re.compile(f"{ELSEWHERE}/.*")
LONG_AGO, NOW = datetime(2015, 1, 1, tzinfo=UTC), datetime(2026, 10, 20, 5, tzinfo=UTC)
DATE = {"Date": "Tue, 20 Oct 2026 05:00:00 GMT"}
ALL, SINCE_EVER = Slice(None, NOW), Slice(LONG_AGO, datetime(2100, 1, 1, tzinfo=UTC))
Answers = Callable[[PreparedRequest], Any]
NO_FIELDS: dict[str, SourceField] = {}


def with_pages_of(size: int) -> type[HubSpot]:
    """Return a HubSpot connector whose lists and searches have pages of `size` records."""

    class SmallPages(HubSpot):
        list_page_size = search_page_size = size

    return SmallPages


def connected(url: str, kind: type[HubSpot] = HubSpot, **settings: Any) -> HubSpot:
    """Open the connector with its rate limits out of the way, and without pauses between attempts."""
    given = {"token": "sandbox-hubspot-token", "base_url": url, "requests_per_10_seconds": 10_000}
    checked = load(HubSpot, "hubspot", given | {"searches_per_second": 10_000} | settings)
    http = Http("hubspot", url, auth=Bearer(checked.token), attempts=2, sleep=lambda _: None)  # type: ignore[attr-defined]
    return kind("hubspot", checked, http)


@pytest.fixture
def hubspot(sandbox: Sandbox) -> Iterator[HubSpot]:
    connector = connected(f"{sandbox.url}/hubspot")
    yield connector
    connector.close()


@pytest.fixture
def small_pages(hubspot: HubSpot) -> None:
    hubspot.list_page_size = hubspot.search_page_size = 7


@pytest.fixture
def answered() -> Iterator[Callable[..., HubSpot]]:
    """Answer requests by a function of the request, or in the order given; an int beside a body is its status.

    The properties of every object are known already, none but `fields`; None has them asked for.
    """
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

        def connector(
            answers: Answers | list[Any], fields: dict[str, SourceField] | None = NO_FIELDS, **settings: Any
        ) -> HubSpot:
            waiting = iter(answers) if isinstance(answers, list) else None

            def reply(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
                given = next(waiting) if waiting else answers(request)  # type: ignore[operator]
                status, body = given if isinstance(given, tuple) else (200, given)
                text = body if isinstance(body, str) else json.dumps(body)
                return status, DATE, text

            for method in ("GET", "POST"):
                mock.add_callback(method, ANY_URL, reply, content_type="application/json")
            made = connected(ELSEWHERE, **settings)
            made.calls = mock.calls  # type: ignore[attr-defined]
            if fields is not None:
                made._described.update({one.object: fields for one in HubSpot.streams})
            return made

        yield connector


def stream(name: str, **overrides: Any) -> Stream:
    found = next(one for one in HubSpot.streams if one.name == name)
    fields = with_overrides("hubspot", found, overrides)
    return replace(found, fields=fields)


def keys(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def column(pages: list[Page], path: str) -> dict[str, str | None]:
    values = [value for page in pages for value in page.records.column(path).to_pylist()]
    return dict(zip(keys(pages), values, strict=True))


def alive(sandbox: Sandbox, kind: str) -> list[str]:
    return [number for number, row in sandbox.hubspot.objects[kind].items() if not row["archived"]]


def body_of(request: PreparedRequest) -> Any:
    return json.loads(request.body or "null")


def sent(connector: Any, number: int = 0) -> Any:
    return body_of(connector.calls[number].request)


def company(number: int, **more: Any) -> dict[str, Any]:
    stamp = "2026-10-01T00:00:00.000Z"
    return {
        "id": str(number),
        "properties": {"name": f"C{number}", "hs_lastmodifieddate": stamp},
        "archived": False,
    } | more


def found(rows: list[Any], after: str | None = None) -> dict[str, Any]:
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return {"total": len(rows), "results": rows} | paging


def test_offers_every_capability_that_hubspot_has(hubspot: HubSpot):
    for capability in (CountsSlices, ReportsDeletes, ReadsByKey, FindsByField, ReadsPayload, Writes):
        assert isinstance(hubspot, capability)


class TestReading:
    @pytest.mark.parametrize("one", HubSpot.streams, ids=lambda one: one.name)
    @pytest.mark.parametrize("slice_", [ALL, SINCE_EVER], ids=["list", "search"])
    def test_reads_every_live_record_once(
        self, sandbox: Sandbox, hubspot: HubSpot, one: Stream, slice_: Slice, small_pages: None
    ):
        pages = list(hubspot.read(one, slice_))
        owners = [owner["id"] for owner in sandbox.world.portal.owners]
        expected = owners if one.object == "owners" else alive(sandbox, one.object)
        assert sorted(keys(pages)) == sorted(expected)
        assert [page.checkpoint for page in pages].index(None) == len(pages) - 1

    @pytest.mark.parametrize(("name", "size"), [("accounts", 7), ("deals", 30), ("calls", 20), ("owners", 7)])
    @pytest.mark.parametrize("slice_", [ALL, SINCE_EVER], ids=["list", "search"])
    def test_goes_on_after_any_page_without_reading_one_twice(
        self, hubspot: HubSpot, name: str, size: int, slice_: Slice
    ):
        hubspot.list_page_size = hubspot.search_page_size = size
        pages = list(hubspot.read(stream(name), slice_))
        assert len(pages) > 2
        for number, page in enumerate(pages[:-1], start=1):
            rest = list(hubspot.read(stream(name), slice_, json.loads(json.dumps(page.checkpoint))))
            assert keys(rest) == keys(pages[number:])

    def test_reads_records_of_one_stamp_once_each_far_beyond_the_search_cap(
        self, sandbox: Sandbox, hubspot: HubSpot, small_pages: None
    ):
        sandbox.hubspot.search_cap = 10
        for row in sandbox.hubspot.objects["deals"].values():
            row["properties"]["hs_lastmodifieddate"] = "2026-10-01T00:00:00.000Z"
        at = datetime(2026, 10, 1, tzinfo=UTC)
        pages = list(hubspot.read(stream("deals"), Slice(at, at + timedelta(milliseconds=1))))
        assert keys(pages) == alive(sandbox, "deals")
        assert len(pages) > 10

    def test_a_slice_holds_its_start_and_not_its_end(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second, third = alive(sandbox, "companies")[:3]
        for number, stamp in ((first, "00.122"), (second, "00.123"), (third, "00.124")):
            sandbox.hubspot.objects["companies"][number]["properties"]["hs_lastmodifieddate"] = (
                f"2014-03-01T00:00:{stamp}Z"
            )
        start = datetime(2014, 3, 1, 0, 0, 0, 123000, UTC)
        slice_ = Slice(start, start + timedelta(milliseconds=1))
        assert keys(list(hubspot.read(stream("accounts"), slice_))) == [second]
        assert hubspot.count(stream("accounts"), slice_) == 1

    def test_a_record_changed_between_two_pages_comes_with_the_next_slice(
        self, sandbox: Sandbox, hubspot: HubSpot, small_pages: None
    ):
        until = sandbox.clock.now()
        reading = hubspot.read(stream("accounts"), Slice(LONG_AGO, until))
        got = keys([next(reading)])
        sandbox.clock.advance(60)
        late = next(number for number in alive(sandbox, "companies") if number not in got)
        sandbox.hubspot.edit("companies", late, {"city": "Graz"})
        sandbox.clock.advance(60)
        got += keys(list(reading))
        assert late not in got
        assert set(got) | {late} == set(alive(sandbox, "companies"))
        assert keys(list(hubspot.read(stream("accounts"), Slice(until, sandbox.clock.now())))) == [late]

    @pytest.mark.parametrize("slice_", [ALL, SINCE_EVER], ids=["list", "search"])
    def test_tells_the_sources_own_total_with_the_first_page_alone(
        self, sandbox: Sandbox, hubspot: HubSpot, slice_: Slice, small_pages: None
    ):
        first, *others = hubspot.read(stream("deals"), slice_)
        assert first.total == len(alive(sandbox, "deals")) == hubspot.count(stream("deals"), slice_)
        assert {page.total for page in others} == {None}
        assert next(hubspot.read(stream("deals"), slice_, first.checkpoint)).total is None

    def test_search_sends_what_hubspot_requires_and_texts_alone(self, answered: Callable[..., HubSpot]):
        hubspot = answered([found([])])
        end = datetime(2026, 1, 2, tzinfo=UTC)
        assert len(list(hubspot.read(stream("contacts"), Slice(datetime(2026, 1, 1, 0, 0, 0, 123456, UTC), end)))) == 1
        body = sent(hubspot)
        assert set(body) == {"filterGroups", "sorts", "properties", "limit", "after"}
        assert body["filterGroups"] == [
            {
                "filters": [
                    {"propertyName": "hs_object_id", "operator": "GT", "value": "0"},
                    {"propertyName": "lastmodifieddate", "operator": "GTE", "value": "1767225600123"},
                    {"propertyName": "lastmodifieddate", "operator": "LT", "value": "1767312000000"},
                ]
            }
        ]
        assert (body["sorts"], body["limit"], body["after"]) == (["hs_object_id"], 200, "0")
        assert {"email", "jobtitle", "lastmodifieddate"} <= set(body["properties"])

    def test_asks_for_every_mapped_property_the_users_own_too(self, answered: Callable[..., HubSpot]):
        hubspot = answered([found([], None)] * 2)
        list(hubspot.read(stream("accounts", tax_id="properties.steuernummer"), ALL))
        asked = hubspot.calls[1].request.params  # type: ignore[attr-defined]
        assert "steuernummer" in asked["properties"].split(",")
        assert "vat_number" not in asked["properties"].split(",")
        assert (asked["limit"], asked["archived"]) == ("100", "false")

    def test_takes_custom_properties_along_by_list_and_by_search_once_checked(self, sandbox: Sandbox, hubspot: HubSpot):
        sandbox.hubspot.properties.add("companies", {"name": "zzz_own", "type": "string"})
        for row in sandbox.hubspot.objects["companies"].values():
            row["properties"]["zzz_own"] = "mine"
        hubspot.check()
        for slice_ in (ALL, SINCE_EVER):
            rows = [json.loads(bytes(row)) for page in hubspot.read(stream("accounts"), slice_) for row in page.rows]
            assert {row["properties"]["zzz_own"] for row in rows} == {"mine"}

    def test_asks_for_no_more_custom_properties_than_an_address_takes(self, answered: Callable[..., HubSpot]):
        own = [f"own_{number:04}_{'x' * 40}" for number in range(500)]

        def reply(request: PreparedRequest) -> Any:
            if "/properties/" in str(request.url):
                return {"results": [{"name": name, "type": "string", "hubspotDefined": False} for name in own]}
            return {"portalId": 1} if "account-info" in str(request.url) else found([], None)

        hubspot = answered(reply)
        hubspot.streams = (stream("accounts", tax_id=f"properties.{own[-1]}"),)
        (note,) = hubspot.check().notes
        list(hubspot.read(hubspot.streams[0], ALL))
        url = str(hubspot.calls[-1].request.url)  # type: ignore[attr-defined]
        asked = hubspot.calls[-1].request.params["properties"].split(",")  # type: ignore[attr-defined]
        assert 14_000 < len(url) < 15_300
        assert {"name", "hs_lastmodifieddate", own[-1], own[0], own[200]} <= set(asked)
        assert len(asked) == len(set(asked))
        left = [name for name in own if name not in asked]
        assert f"hubspot: {len(left)} custom properties of companies are read only if mapped" in note
        assert note.endswith(", ...")

    def test_goes_on_while_hubspot_says_there_is_more_even_after_a_short_page(self, answered: Callable[..., HubSpot]):
        hubspot = answered([found([company(1), company(2)], after="200"), found([company(7)])])
        assert keys(list(hubspot.read(stream("accounts"), SINCE_EVER))) == ["1", "2", "7"]
        assert sent(hubspot, 1)["filterGroups"][0]["filters"][0]["value"] == "2"
        assert sent(hubspot, 1)["after"] == "0"

    @pytest.mark.parametrize("ids", [[], [3, 2], [5, 5], [1, 9]], ids=["no rows", "falling", "twice", "old"])
    def test_stops_where_going_on_behind_the_last_id_would_loop_or_skip(
        self, answered: Callable[..., HubSpot], ids: list[int]
    ):
        hubspot = answered([found([company(number) for number in ids], after="200")])
        with pytest.raises(ReplyError, match="no progress"):
            list(hubspot.read(stream("accounts"), SINCE_EVER, {"last_id": "1"}))

    def test_stops_where_two_pages_of_a_list_lead_to_each_other(self, answered: Callable[..., HubSpot]):
        after = cycle("ab")
        hubspot = answered(lambda _: found([company(1)], after=next(after)))
        with pytest.raises(ReplyError, match="no progress after a"):
            list(hubspot.deletes(stream("accounts"), ALL))

    def test_stops_where_a_list_leads_to_itself(self, answered: Callable[..., HubSpot]):
        hubspot = answered(lambda _: found([company(1)], after="5"))
        with pytest.raises(ReplyError, match="no progress after 5"):
            list(hubspot.read(stream("accounts"), ALL))
        with pytest.raises(ReplyError, match="no progress after 5"):
            list(hubspot.deletes(stream("accounts"), ALL))

    @pytest.mark.parametrize(
        "body",
        ["", "null", "[]", "{}", "[1", '{"results":null}', '{"results":{}}', '{"results":[],"paging":{"next":{}}}'],
    )
    @pytest.mark.parametrize("name", ["accounts", "owners"])
    def test_takes_no_other_answer_for_an_empty_page(self, answered: Callable[..., HubSpot], name: str, body: str):
        hubspot = answered(lambda _: body)
        slices = (ALL, SINCE_EVER) if name == "accounts" else (ALL,)
        for slice_ in slices:
            with pytest.raises(ConnectorError):
                list(hubspot.read(stream(name), slice_))

    def test_what_is_no_record_lands_without_a_key_beside_the_good_ones(self, answered: Callable[..., HubSpot]):
        spoilt = [None, 5, "x", [], {}, {"id": None, "properties": {"dealname": "no id"}}]

        def reply(request: PreparedRequest) -> Any:
            if "associations" in str(request.url):
                assert body_of(request) == {"inputs": [{"id": "8"}]}
                return {"results": [{"from": {"id": "8"}, "to": [{"toObjectId": 512}]}]}
            return found([*spoilt, {"id": "8", "properties": {}}])

        pages = list(answered(reply).read(stream("deals"), SINCE_EVER))
        assert keys(pages) == [None] * 6 + ["8"]
        assert pages[0].records.column("_company_id").to_pylist() == [None] * 6 + ["512"]
        payloads = pages[0].records.column("_payload").to_pylist()
        assert [json.loads(text) for text in payloads[:6]] == spoilt

    def test_stamps_pages_with_the_sources_clock_and_the_records_cursor(self, answered: Callable[..., HubSpot]):
        page = next(answered([found([company(1)])]).read(stream("accounts"), SINCE_EVER))
        assert page.records.column("_extracted_at").to_pylist() == [NOW]
        assert page.records.column("_cursor").to_pylist() == [datetime(2026, 10, 1, tzinfo=UTC)]


class TestAssociations:
    def test_takes_the_primary_company_else_the_first_else_none(self, answered: Callable[..., HubSpot]):
        primary = [{"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None}, {"typeId": 5, "label": "Primary"}]
        plain = [{"category": "HUBSPOT_DEFINED", "typeId": 341, "label": None}]
        links = [
            {
                "from": {"id": "1"},
                "to": [{"toObjectId": 11, "associationTypes": plain}, {"toObjectId": 12, "associationTypes": primary}],
            },
            {
                "from": {"id": "2"},
                "to": [{"toObjectId": "22", "associationTypes": plain}, {"toObjectId": 21, "associationTypes": plain}],
            },
            {"from": {"id": "3"}, "to": []},
        ]
        none = {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "message": "No company is associated with deal 4.",
            "context": {"fromObjectId": ["4"]},
        }
        rows = [company(number) for number in (1, 2, 3, 4)]
        hubspot = answered([found(rows), (207, {"results": links, "numErrors": 1, "errors": [none]})])
        pages = list(hubspot.read(stream("deals"), SINCE_EVER))
        assert column(pages, "_company_id") == {"1": "12", "2": "22", "3": None, "4": None}

    def test_leaves_the_sources_own_bytes_as_they_were(self):
        record = '{"id":"1", "properties":{"amount":"1.10","dealname":"Ä \\u00e9"} '.encode()
        full = spliced(record + b"} ", {"_company_id": "5", "_contact_id": None})
        assert full == record + b',"_company_id":"5","_contact_id":null}'

    def test_never_takes_a_failed_look_up_for_no_company(self, answered: Callable[..., HubSpot]):
        failed = {"status": "error", "category": "INTERNAL_ERROR", "message": "oops", "context": {"ids": ["1"]}}
        hubspot = answered([found([company(1)]), (207, {"results": [], "errors": [failed]})])
        with pytest.raises(ReplyError, match="INTERNAL_ERROR"):
            list(hubspot.read(stream("deals"), SINCE_EVER))

    def test_asks_once_for_a_whole_page(self, sandbox: Sandbox, hubspot: HubSpot):
        pages = list(hubspot.read(stream("deals"), SINCE_EVER))
        assert sandbox.requests["POST", "/hubspot/crm/v4/associations/deals/companies/batch/read"] == len(pages)
        links = sandbox.world.portal.links["deals", "companies"]
        linked = {key: links[key][0][0] if key in links else None for key in keys(pages)}
        assert column(pages, "_company_id") == linked

    def test_gives_an_activity_its_contact_and_the_contacts_title(self, sandbox: Sandbox, hubspot: HubSpot):
        pages = list(hubspot.read(stream("calls"), ALL))
        contacts = sandbox.hubspot.objects["contacts"]
        contact_of = column(pages, "_contact_id")
        assert any(contact_of.values())
        titles = {key: contacts[held]["properties"]["jobtitle"] if held else None for key, held in contact_of.items()}
        assert column(pages, "_contact_title") == titles

    def test_does_not_read_titles_that_nobody_maps(self, sandbox: Sandbox, hubspot: HubSpot):
        list(hubspot.read(stream("calls", contact_title={"constant": "?"}), ALL))
        assert not sandbox.requests["POST", "/hubspot/crm/v3/objects/contacts/batch/read"]


class TestDeletes:
    @pytest.mark.parametrize("slice_", [Slice(), Slice(NOW - timedelta(hours=1), NOW)], ids=["first", "later"])
    def test_reports_archived_records_as_tombstones_whenever_they_were_archived(
        self, sandbox: Sandbox, hubspot: HubSpot, slice_: Slice
    ):
        number = alive(sandbox, "companies")[3]
        sandbox.world.portal.archive("companies", number, NOW - timedelta(days=30))
        pages = list(hubspot.deletes(stream("accounts"), slice_))
        gone = set(sandbox.hubspot.objects["companies"]) - set(alive(sandbox, "companies"))
        assert number in gone
        assert set(keys(pages)) == gone
        assert all(page.records.column("_deleted").to_pylist() == [True] * page.records.num_rows for page in pages)

    def test_reports_all_pages_and_nothing_where_nothing_is_archived(
        self, sandbox: Sandbox, hubspot: HubSpot, small_pages: None
    ):
        assert list(hubspot.deletes(stream("tasks"), Slice())) == []
        numbers = alive(sandbox, "calls")[:20]
        for number in numbers:
            sandbox.world.portal.archive("calls", number, NOW)
        pages = list(hubspot.deletes(stream("calls"), Slice(NOW, None)))
        assert keys(pages) == numbers
        assert len(pages) == 3

    def test_is_not_declared_where_hubspot_refuses_to_list_the_archived(self, hubspot: HubSpot):
        for one in HubSpot.streams:
            if one.deletes == "list":
                list(hubspot.deletes(one, Slice()))
        assert [one.name for one in HubSpot.streams if one.deletes == "none"] == ["meetings", "notes", "owners"]


class TestOwners:
    def test_goes_on_to_those_who_left_after_a_stop_among_those_who_are_there(
        self, sandbox: Sandbox, hubspot: HubSpot, small_pages: None
    ):
        template = sandbox.world.portal.owners[0]
        many = [template | {"id": str(1000 + number), "archived": number % 2 == 1} for number in range(40)]
        sandbox.world.portal.owners[:] = many
        pages = list(hubspot.read(stream("owners"), Slice()))
        places = [page.checkpoint for page in pages]
        assert {"archived": True, "after": ""} in places
        for number, place in enumerate(places[:-1], start=1):
            assert keys(list(hubspot.read(stream("owners"), Slice(), place))) == keys(pages[number:])
        assert column(pages, "archived") == {one["id"]: str(one["archived"]).lower() for one in many}

    @pytest.mark.parametrize(
        ("teams", "role", "region"),
        [
            (["Account Managers West"], "account_manager", "West"),
            (["account executive - DACH"], "account_executive", "DACH"),
            (["North | Account  Manager"], "account_manager", "North"),
            (["Account Executives"], "account_executive", None),
            (["DACH"], None, "DACH"),
            ([None], None, None),
            ([], None, None),
            (["Marketing", "Account Managers West"], "account_manager", "West"),
        ],
    )
    def test_reads_role_and_region_from_the_primary_teams_name(
        self, teams: list[str | None], role: str | None, region: str | None
    ):
        listed = [
            {"id": str(place), "name": name, "primary": place == len(teams) - 1} for place, name in enumerate(teams)
        ]
        owner = {"id": "7", "firstName": "Ada", "lastName": None, "teams": listed}
        read = json.loads(with_team(json.dumps(owner).encode()))
        assert (read["_name"], read["_role"], read["_region"]) == ("Ada", role, region)

    @pytest.mark.parametrize("record", [b"null", b"7", b"{}", b'{"id":"1","teams":"x"}', b'{"id":"1","teams":[1]}'])
    def test_leaves_alone_what_is_no_owner(self, record: bytes):
        assert with_team(record) == record


class TestMaps:
    @pytest.fixture
    def conformed(self) -> Iterator[Callable[..., list[dict[str, Any]]]]:
        con = connect(threads=1)

        def rows(one: Stream, *records: dict[str, Any]) -> list[dict[str, Any]]:
            raw = raw_table([json.dumps(record).encode() for record in records], one, NOW)
            table = con.create_table(f"raw_{one.name}", raw, temp=True, overwrite=True)
            made = conform(table, connection="hubspot", stream=one.name, table=str(one.table), fields=one.fields)
            listed = made.order_by("_record_id").to_pyarrow().to_pylist()
            assert [row["_unreadable"] for row in listed] == [None] * len(listed)
            return listed

        yield rows
        con.disconnect()

    @pytest.mark.parametrize("one", [one for one in HubSpot.streams if one.table], ids=lambda one: one.name)
    def test_every_map_fills_columns_that_its_table_has(self, conformed: Callable[..., Any], one: Stream):
        assert len(conformed(one, {"id": "1", "properties": {}})) == 1

    def test_a_deal_is_won_lost_or_open_by_hubspots_own_flags(self, conformed: Callable[..., Any]):
        flags = [("true", "true"), ("true", "false"), ("false", "false"), (None, None), ("true", None)]
        records = [
            {"id": str(number), "properties": {"hs_is_closed": closed, "hs_is_closed_won": won, "amount": "12.50"}}
            for number, (closed, won) in enumerate(flags)
        ]
        rows = conformed(stream("deals"), *records)
        assert [row["status"] for row in rows] == ["won", "lost", "open", "open", "lost"]
        assert rows[0]["amount"] == Decimal("12.50")

    def test_a_company_keeps_its_merged_ids_and_both_links_to_other_systems(self, conformed: Callable[..., Any]):
        properties = {
            "name": "ACME",
            "vat_number": "DE1",
            "erp_id": "17",
            "hs_merged_object_ids": "8;9",
            "website": "https://www.acme.org/",
        }
        row = conformed(stream("accounts"), {"id": "1", "archived": False, "properties": properties})[0]
        assert (row["tax_id"], row["link_id"], row["merged_ids"], row["is_active"]) == ("DE1", "17", "8;9", True)
        assert row["domain"] == "acme.org"

    @pytest.mark.parametrize(
        ("name", "properties", "direction", "status"),
        [
            ("calls", {"hs_call_direction": "INBOUND"}, "inbound", "done"),
            ("calls", {"hs_call_direction": "OUTBOUND"}, "outbound", "done"),
            ("emails", {"hs_email_direction": "INCOMING_EMAIL"}, "inbound", "done"),
            ("emails", {"hs_email_direction": "EMAIL"}, "outbound", "done"),
            ("emails", {"hs_email_direction": "FORWARDED_EMAIL"}, None, "done"),
            ("meetings", {"hs_meeting_outcome": "SCHEDULED"}, "both", "planned"),
            ("meetings", {"hs_meeting_outcome": "COMPLETED"}, "both", "done"),
            ("meetings", {"hs_meeting_outcome": "CANCELED"}, "both", "cancelled"),
            ("tasks", {"hs_task_status": "NOT_STARTED"}, "outbound", "planned"),
            ("tasks", {"hs_task_status": "COMPLETED"}, "outbound", "done"),
        ],
    )
    def test_an_activity_has_a_direction_and_a_status(
        self, conformed: Callable[..., Any], name: str, properties: dict[str, str], direction: str | None, status: str
    ):
        record = {"id": "1", "properties": {"hs_timestamp": "2026-01-01T10:00:00Z"} | properties, "_company_id": "5"}
        row = conformed(stream(name), record)[0]
        assert (row["direction"], row["status"], row["account_id"]) == (direction, status, "5")
        assert row["happened_at"] == datetime(2026, 1, 1, 10, tzinfo=UTC)

    def test_a_ticket_tells_minutes_and_its_priority(self, conformed: Callable[..., Any]):
        properties = {
            "time_to_first_agent_reply": "600000",
            "hs_ticket_priority": "MEDIUM",
            "createdate": "2026-01-01T00:00:00Z",
        }
        row = conformed(stream("tickets"), {"id": "1", "properties": properties})[0]
        assert (row["first_reply_minutes"], row["priority"], row["status"]) == (10.0, "normal", "open")


class TestReadingByKey:
    def test_reads_in_hundreds_each_key_once_and_only_what_is_asked(self, answered: Callable[..., HubSpot]):
        def reply(request: PreparedRequest) -> Any:
            rows = [
                {"id": one["id"], "properties": {"name": "n"}, "updatedAt": "t"} for one in body_of(request)["inputs"]
            ]
            return {"status": "COMPLETE", "results": rows}

        hubspot = answered(reply)
        held = hubspot.fetch(stream("accounts"), [*map(str, range(250)), "7"], ["name", "city"])
        assert len(held) == 250
        assert held["7"].values == {"name": "n", "city": None}
        assert held["7"].version == "t"
        assert [len(sent(hubspot, call)["inputs"]) for call in range(3)] == [100, 100, 50]
        assert sent(hubspot)["properties"] == ["city", "name"]
        assert sent(hubspot)["propertiesWithHistory"] == []

    def test_an_archived_or_unknown_record_is_not_there(self, sandbox: Sandbox, hubspot: HubSpot):
        live, gone = alive(sandbox, "companies")[:2]
        sandbox.world.portal.archive("companies", gone, NOW)
        assert list(hubspot.fetch(stream("accounts"), [live, gone, "123"], ["name"])) == [live]

    def test_a_record_that_could_not_be_read_is_not_taken_for_gone(self, answered: Callable[..., HubSpot]):
        failed = {"category": "INTERNAL_ERROR", "message": "oops", "context": {"ids": ["1"]}}
        hubspot = answered([(207, {"results": [], "errors": [failed]})])
        with pytest.raises(ReplyError, match="INTERNAL_ERROR"):
            hubspot.fetch(stream("accounts"), ["1"], ["name"])

    def test_an_answer_without_results_is_none(self, answered: Callable[..., HubSpot]):
        with pytest.raises(ReplyError, match="does not have the documented form"):
            answered(lambda _: {}).fetch(stream("accounts"), ["1"], ["name"])


SCORE, BAND = "belvedere_retention_score", "belvedere_retention_band"


def change(number: int | str, **after: Any) -> Change:
    return Change(f"op{number}", str(number), after or {SCORE: 71.3})


class TestWriting:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, ""),
            (71.3, "71.3"),
            (0.1 + 0.2, "0.3"),
            (100.0, "100"),
            (-0.0, "0"),
            (1e15, "1000000000000000"),
            (5, "5"),
            (Decimal("71.30"), "71.3"),
            (Decimal("1E+2"), "100"),
            (True, "true"),
            ("Ünï", "Ünï"),
            (["a", "b"], "a;b"),
            (datetime(2026, 1, 1, 12, 0, 0, 5000, UTC), "2026-01-01T12:00:00.005Z"),
            (datetime(2026, 1, 1, tzinfo=UTC).date(), "2026-01-01"),
        ],
    )
    def test_writes_every_value_as_the_text_that_hubspot_takes(self, value: Any, text: str):
        assert as_text(value) == text

    def test_sends_ids_texts_and_the_operation_and_nothing_else(self, answered: Callable[..., HubSpot]):
        hubspot = answered([{"status": "COMPLETE", "results": [{"id": "1", "properties": {}, "updatedAt": "v2"}]}])
        outcome = hubspot.write(stream("accounts"), [change(1, **{SCORE: 71.3, BAND: None})])[0]
        assert sent(hubspot) == {
            "inputs": [{"id": "1", "objectWriteTraceId": "op1", "properties": {SCORE: "71.3", BAND: ""}}]
        }
        assert (outcome.op_id, outcome.status, outcome.record_id, outcome.version) == ("op1", "applied", "1", "v2")

    def test_what_is_written_is_what_is_read_back(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second = alive(sandbox, "companies")[:2]
        outcomes = hubspot.write(stream("accounts"), [change(first), change(second, **{SCORE: None, "name": "New"})])
        assert [outcome.status for outcome in outcomes] == ["applied", "applied"]
        held = hubspot.fetch(stream("accounts"), [first, second], [SCORE, "name"])
        assert held[first].values[SCORE] == 71.3
        assert held[second].values == {SCORE: None, "name": "New"}
        assert held[first].version == outcomes[0].version

    def test_a_number_that_is_none_is_refused_here_and_the_others_go(self, sandbox: Sandbox, hubspot: HubSpot):
        first, second = alive(sandbox, "companies")[:2]
        changes = [change(first, **{SCORE: float("nan")}), change(second)]
        outcomes = {outcome.op_id: outcome for outcome in hubspot.write(stream("accounts"), changes)}
        assert outcomes[f"op{first}"].status == "rejected"
        assert outcomes[f"op{second}"].status == "applied"
        assert [entry["id"] for entry in sandbox.writes] == [second]

    def test_each_record_of_a_mixed_answer_has_its_own_outcome(self, sandbox: Sandbox, hubspot: HubSpot):
        live, other, gone = alive(sandbox, "companies")[:3]
        sandbox.world.portal.archive("companies", gone, NOW)
        outcomes = hubspot.write(stream("accounts"), [change(live), change(gone), change("77"), change(other)])
        assert [(one.op_id, one.status) for one in outcomes] == [
            (f"op{live}", "applied"),
            (f"op{gone}", "rejected"),
            ("op77", "rejected"),
            (f"op{other}", "applied"),
        ]
        assert "OBJECT_NOT_FOUND" in outcomes[1].message

    @pytest.mark.parametrize(
        "context", [{"ids": ["2"]}, {"objectWriteTraceId": ["op2"]}, {"ids": [2], "objectWriteTraceId": ["op2"]}]
    )
    def test_errors_are_matched_by_id_or_by_trace_whatever_the_order(
        self, answered: Callable[..., HubSpot], context: dict[str, Any]
    ):
        problem = {"status": "error", "category": "VALIDATION_ERROR", "message": "no", "context": context}
        rows = [{"id": "3", "updatedAt": "v3"}, {"id": "1", "updatedAt": "v1"}]
        hubspot = answered([(207, {"status": "COMPLETE", "results": rows, "numErrors": 1, "errors": [problem]})])
        outcomes = hubspot.write(stream("accounts"), [change(1), change(2), change(3)])
        assert [(one.status, one.version, one.message) for one in outcomes] == [
            ("applied", "v1", ""),
            ("rejected", None, "VALIDATION_ERROR: no"),
            ("applied", "v3", ""),
        ]

    @pytest.mark.parametrize("body", [{"results": [{"id": "9"}]}, {"results": [], "errors": [{"message": "?"}]}, {}])
    def test_what_the_answer_does_not_name_is_unknown(self, answered: Callable[..., HubSpot], body: dict[str, Any]):
        assert [one.status for one in answered([body]).write(stream("accounts"), [change(1), change(2)])] == [
            "unknown"
        ] * 2

    @pytest.mark.parametrize("bad", range(7))
    def test_a_batch_refused_as_a_whole_is_halved_until_the_bad_record_stands_alone(
        self, sandbox: Sandbox, hubspot: HubSpot, bad: int
    ):
        numbers = alive(sandbox, "companies")[:7]
        changes = [change(number, **{SCORE: "high" if place == bad else 3.5}) for place, number in enumerate(numbers)]
        outcomes = hubspot.write(stream("accounts"), changes)
        assert [one.op_id for one in outcomes] == [one.op_id for one in changes]
        assert [one.status for one in outcomes] == ["rejected" if place == bad else "applied" for place in range(7)]
        assert "not a valid number" in outcomes[bad].message
        held = hubspot.fetch(stream("accounts"), numbers, [SCORE])
        assert [held[number].values[SCORE] for number in numbers] == [
            None if place == bad else 3.5 for place in range(7)
        ]

    @pytest.mark.parametrize("body", ["", "<html>", "[]", {"message": "no"}])
    def test_a_refusal_says_why_if_hubspot_does(self, answered: Callable[..., HubSpot], body: Any):
        outcome = answered(lambda _: (400, body)).write(stream("accounts"), [change(1)])[0]
        assert outcome.status == "rejected"
        assert outcome.message == "no" if isinstance(body, dict) else "refused" in outcome.message

    @pytest.mark.parametrize("fault", ["lost_answer", "truncated", "html", "reset"])
    def test_a_lost_answer_is_unknown_for_the_whole_batch_and_is_not_sent_again(
        self, sandbox: Sandbox, hubspot: HubSpot, fault: str
    ):
        path = "/hubspot/crm/v3/objects/companies/batch/update"
        sandbox.faults.add(path, fault)
        numbers = alive(sandbox, "companies")[:3]
        outcomes = hubspot.write(stream("accounts"), [change(number) for number in numbers])
        assert [one.status for one in outcomes] == ["unknown"] * 3
        assert [one.record_id for one in outcomes] == numbers
        assert sandbox.requests["POST", path] == 1

    def test_an_answer_that_is_no_json_after_a_write_is_unknown_too(self, answered: Callable[..., HubSpot]):
        assert answered([(200, '{"results":[')]).write(stream("accounts"), [change(1)])[0].status == "unknown"

    @pytest.mark.parametrize("status", [423, 477])
    def test_a_locked_record_is_tried_again_later(self, answered: Callable[..., HubSpot], status: int):
        hubspot = answered(lambda _: (status, {"message": "locked"}))
        assert [one.status for one in hubspot.write(stream("accounts"), [change(1), change(2)])] == ["retry"] * 2
        assert len(hubspot.calls) == 1  # type: ignore[attr-defined]

    def test_sends_no_more_than_a_hundred_at_once(self, sandbox: Sandbox, hubspot: HubSpot):
        numbers = alive(sandbox, "deals")[:130]
        assert len(numbers) > hubspot.writing.batch == 100
        outcomes = hubspot.write(stream("deals"), [change(number, lead_source="X") for number in numbers])
        assert {one.status for one in outcomes} == {"applied"}
        assert sandbox.requests["POST", "/hubspot/crm/v3/objects/deals/batch/update"] == 2

    def test_new_records_are_sent_one_by_one_so_that_each_gets_its_own_id(self, sandbox: Sandbox, hubspot: HubSpot):
        changes = [Change(f"op{name}", None, {"name": name}, action="create") for name in ("Twin", "Twin", "Other")]
        changes[1] = Change("op2", None, {"name": "Twin"}, action="create")
        outcomes = hubspot.write(stream("accounts"), changes)
        assert [one.op_id for one in outcomes] == ["opTwin", "op2", "opOther"]
        held = hubspot.fetch(stream("accounts"), [str(one.record_id) for one in outcomes], ["name"])
        assert [held[str(one.record_id)].values["name"] for one in outcomes] == ["Twin", "Twin", "Other"]
        assert len(held) == 3

    def test_a_create_with_a_unique_key_comes_to_the_record_that_has_it(self, sandbox: Sandbox, hubspot: HubSpot):
        known = alive(sandbox, "companies")[0]
        sandbox.hubspot.edit("companies", known, {"erp_id": "17"})
        changes = [
            Change("op1", None, {"erp_id": "17", "name": "Known"}, action="create", key="erp_id"),
            Change("op2", None, {"erp_id": known, "name": "New"}, action="create", key="erp_id"),
        ]
        outcomes = hubspot.write(stream("accounts"), changes)
        assert [(one.op_id, one.status) for one in outcomes] == [("op1", "applied"), ("op2", "applied")]
        assert outcomes[0].record_id == known
        held = hubspot.fetch(stream("accounts"), [str(one.record_id) for one in outcomes], ["name", "erp_id"])
        assert [one.values for one in held.values()] == [
            {"name": "Known", "erp_id": "17"},
            {"name": "New", "erp_id": known},
        ]

    @pytest.mark.parametrize("after", [{"name": "A"}, {"erp_id": None}])
    def test_a_create_without_a_value_for_its_key_is_not_sent(
        self, sandbox: Sandbox, hubspot: HubSpot, after: dict[str, Any]
    ):
        outcome = hubspot.write(stream("accounts"), [Change("op1", None, after, action="create", key="erp_id")])[0]
        assert outcome.status == "rejected"
        assert "erp_id" in outcome.message
        assert not sandbox.writes

    def test_updates_and_creates_of_one_batch_go_their_own_ways(self, sandbox: Sandbox, hubspot: HubSpot):
        number = alive(sandbox, "companies")[0]
        changes = [Change("op1", None, {"name": "New"}, action="create"), change(number)]
        outcomes = {one.op_id: one for one in hubspot.write(stream("accounts"), changes)}
        assert {one.status for one in outcomes.values()} == {"applied"}
        assert outcomes[f"op{number}"].record_id == number != outcomes["op1"].record_id


class TestChecking:
    def test_names_the_portal_and_the_sources_clock(self, sandbox: Sandbox, hubspot: HubSpot):
        checked = hubspot.check()
        assert checked.account == "12345678"
        assert abs(checked.now - sandbox.clock.now()) < timedelta(seconds=5)
        assert checked.notes == ()

    def test_refuses_another_portal_than_the_pinned_one(self, sandbox: Sandbox):
        for pinned, fits in ((12345678, True), (4711, False)):
            hubspot = connected(f"{sandbox.url}/hubspot", portal_id=pinned)
            if fits:
                assert hubspot.check().account == str(pinned)
            else:
                with pytest.raises(AccessError, match=r"belongs to portal 12345678, but settings\.portal_id is 4711"):
                    hubspot.check()
            hubspot.close()

    def test_a_wrong_secret_is_said_without_showing_it(self, sandbox: Sandbox):
        hubspot = connected(f"{sandbox.url}/hubspot", token="wrong-secret")
        with pytest.raises(AccessError) as raised:
            hubspot.check()
        assert "wrong-secret" not in str(raised.value)
        assert "wrong-secret" not in repr(hubspot.settings)
        hubspot.close()

    def test_says_which_stream_to_leave_out_where_a_right_is_missing(self, sandbox: Sandbox, hubspot: HubSpot):
        sandbox.faults.add("/hubspot/crm/v3/properties/tickets", "error", status=403)
        with pytest.raises(AccessError, match="leave tickets out of `streams`"):
            hubspot.check()

    @pytest.mark.parametrize("body", ["{}", "[]", '{"portalId":"x"}', "nonsense"])
    def test_another_system_at_this_address_is_no_portal(self, answered: Callable[..., HubSpot], body: str):
        with pytest.raises(ReplyError):
            answered(lambda _: body).check()

    def test_discovers_custom_properties_by_the_path_that_a_map_would_use(self, hubspot: HubSpot):
        offered = hubspot.discover()
        assert set(offered) == {one.name for one in HubSpot.streams}
        known = {field.path: field for field in offered["accounts"]}
        assert known["properties.erp_id"].is_custom
        assert not known["properties.name"].is_custom
        assert known["properties.numberofemployees"].type == "number"

    def test_tells_what_may_be_written(self, answered: Callable[..., HubSpot]):
        listed = [
            {"name": "score", "type": "number", "label": "Score", "hubspotDefined": False},
            {
                "name": "createdate",
                "type": "datetime",
                "hubspotDefined": True,
                "modificationMetadata": {"readOnlyValue": True},
            },
            {"name": "sum", "type": "number", "calculated": True, "modificationMetadata": {"readOnlyValue": False}},
        ]
        hubspot = answered(lambda _: {"results": listed}, fields=None)
        writable = hubspot.writable(stream("accounts"))
        assert {name: field.is_writable for name, field in writable.items()} == {
            "score": True,
            "createdate": False,
            "sum": False,
        }
        assert hubspot.writable(stream("owners")) == {}

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("requests_per_10_seconds", 0), ("searches_per_second", 0), ("api_version", "v3"), ("portal", 1)],
    )
    def test_refuses_settings_that_make_no_sense(self, setting: str, value: Any):
        with pytest.raises(SettingsError, match=setting):
            connected(ELSEWHERE, **{setting: value})

    def test_a_dated_version_of_the_api_has_its_own_paths(self, answered: Callable[..., HubSpot]):
        def reply(request: PreparedRequest) -> Any:
            url = str(request.url)
            rows = [{"id": "7"}] if request.method == "GET" and "/objects/" in url else []
            return {"portalId": 1} if "account-info" in url else {"results": rows, "total": 0}

        hubspot = answered(reply, api_version="2026-03")
        hubspot.streams = (stream("deals", stage="properties.stufe"), stream("owners"))
        hubspot.check()
        for one in hubspot.streams:
            list(hubspot.read(one, ALL))
        hubspot.write(stream("deals"), [change(1)])
        asked = {call.request.url.removeprefix(ELSEWHERE).split("?")[0] for call in hubspot.calls}  # type: ignore[attr-defined]
        assert asked == {
            "/account-info/2026-03/details",
            "/crm/properties/2026-03/deals",
            "/crm/objects/2026-03/deals",
            "/crm/objects/2026-03/deals/search",
            "/crm/objects/2026-03/deals/batch/update",
            "/crm/associations/2026-03/deals/companies/batch/read",
            "/crm/owners/2026-03",
        }


def test_every_search_is_charged_whatever_its_stream_its_repetitions_too(
    sandbox: Sandbox, opened: Callable[..., Http], time: Time
):
    plain = connected(f"{sandbox.url}/hubspot", searches_per_second=0.1)
    hubspot = HubSpot("hubspot", plain.settings, opened(plain.http.base_url, auth=plain.auth(), limits=plain.limits()))
    sandbox.faults.add("/hubspot/crm/v3/objects/deals/search", "rate_limit", retry_after=1, times=2)
    hubspot.count(stream("deals"), Slice())
    hubspot.count(stream("calls"), Slice())
    assert time.waits == [1.0, 9.0, 1.0, 9.0, 10.0]


def test_no_map_asks_for_a_longer_address_than_hubspot_takes():
    for one in HubSpot.streams:
        assert len(",".join(paths(one.fields))) < 15_000
