"""Zendesk: the connector against the sandbox, and against answers that the sandbox would never give."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from requests import PreparedRequest

from connectors.kit.base import ReadsByKey, Writes
from connectors.kit.errors import AccessError, ConnectorError, ReplyError, SettingsError
from connectors.kit.http.client import Http
from connectors.kit.raw_rows import Page, raw_table
from connectors.kit.settings import load
from connectors.kit.stream import Slice, Stream
from connectors.zendesk.connector import Zendesk
from connectors.zendesk.streams import STREAMS
from engine.config.field_maps import with_overrides
from engine.config.project import Project
from engine.extract.run import extract
from engine.storage.backend.backend import connect
from sandbox.server import Sandbox
from tests.connectors.conftest import Time
from transforms.conform.conform import conform

ELSEWHERE = "https://acme.zendesk.example"
ANY_URL = re.compile(f"{ELSEWHERE}/.*")
TOKEN, SECRET = "sandbox-zendesk-token", "sandbox-zendesk-secret"
CLIENT = {"client_id": "belvedere", "client_secret": SECRET, "email": None, "api_token": None}
GRANT = {"grant_type": "client_credentials", "client_id": "belvedere", "client_secret": SECRET, "scope": "read"}
DATE = {"Date": "Tue, 20 Oct 2026 05:00:00 GMT"}
NOW = datetime(2026, 10, 20, 5, tzinfo=UTC)
ALL = Slice(None, NOW)
EXPORTS = ("accounts", "tickets")


def connected(url: str, **settings: Any) -> Zendesk:
    """Open the connector with its rate limits out of the way, and without pauses between attempts."""
    given = {"base_url": url, "email": "belvedere@example.com", "api_token": TOKEN}
    limits = {"requests_per_minute": 100_000, "exports_per_minute": 100_000}
    made = Zendesk("zendesk", load(Zendesk, "zendesk", given | limits | settings))
    made.http = Http("zendesk", url, auth=made.auth(), attempts=2, sleep=lambda _: None)
    return made


@pytest.fixture
def open_(sandbox: Sandbox) -> Iterator[Callable[..., Zendesk]]:
    """Open the connector upon the sandbox, by other settings if need be."""
    made: list[Zendesk] = []

    def make(**settings: Any) -> Zendesk:
        made.append(connected(f"{sandbox.url}/zendesk", **CLIENT | settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def zendesk(open_: Callable[..., Zendesk]) -> Zendesk:
    return open_()


@pytest.fixture
def answered() -> Iterator[Callable[..., Zendesk]]:
    """Answer requests one after the other, the last one for ever; an int beside a body is its status."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:

        def make(*answers: Any, **settings: Any) -> Zendesk:
            waiting = list(answers)

            def reply(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
                given = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                status, body = given if isinstance(given, tuple) else (200, given)
                return status, DATE, body if isinstance(body, str) else json.dumps(body)

            mock.add_callback("GET", ANY_URL, reply, content_type="application/json")
            made = connected(ELSEWHERE, **settings)
            made.calls = mock.calls  # type: ignore[attr-defined]
            return made

        yield make


def asked(connector: Any) -> list[dict[str, str]]:
    """List the parameters of every request that was made."""
    return [call.request.params for call in connector.calls]


def stream(name: str, **overrides: Any) -> Stream:
    found = next(one for one in STREAMS if one.name == name)
    return replace(found, fields=with_overrides("zendesk", found, overrides))


def keys(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def column(pages: list[Page], path: str) -> dict[str, str | None]:
    values = [value for page in pages for value in page.records.column(path).to_pylist()]
    return dict(zip(keys(pages), values, strict=True))


def rows_of(sandbox: Sandbox, one: Stream) -> list[str]:
    """List what a stream must hold of the sandbox's table."""
    rows = sandbox.zendesk.tables[one.object].values()
    return [str(row["id"]) for row in rows if one.object != "users" or row["role"] != "end-user"]


def conformed(name: str, *records: dict[str, Any]) -> list[dict[str, Any]]:
    """Carry records through their stream's field map."""
    one = stream(name)
    made = raw_table([json.dumps(record).encode() for record in records], one, NOW)
    table = connect().create_table(f"raw_{name}", made, overwrite=True)
    done = conform(table, connection="zendesk", stream=name, table=name, fields=one.fields, nulls=one.nulls)
    return done.order_by("_record_id").to_pyarrow().to_pylist()


def ticket(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "status": "open", "generated_timestamp": 1_790_000_000} | more


def exported(rows: list[Any], cursor: str | None = "c1", done: bool = False, **more: Any) -> dict[str, Any]:
    return {"tickets": rows, "after_cursor": cursor, "end_of_stream": done} | more


def timed(rows: list[Any], start: int, done: bool = False, host: str = ELSEWHERE) -> dict[str, Any]:
    link = f"{host}/api/v2/incremental/organizations.json?start_time={start}"
    return {"organizations": rows, "next_page": link, "end_time": start, "end_of_stream": done}


def test_offers_to_read_by_key_and_no_writing(zendesk: Zendesk):
    assert isinstance(zendesk, ReadsByKey)
    assert not isinstance(zendesk, Writes)


class TestReading:
    @pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
    def test_reads_every_record_once(self, sandbox: Sandbox, open_: Callable[..., Zendesk], one: Stream):
        pages = list(open_(page_size=25).read(one, ALL))
        assert sorted({*keys(pages)}) == sorted(rows_of(sandbox, one))
        assert [page.checkpoint for page in pages].index(None) == len(pages) - 1

    @pytest.mark.parametrize(("name", "size"), [("tickets", 40), ("accounts", 4), ("accounts", 1), ("ratings", 0)])
    def test_goes_on_after_any_page_without_reading_one_twice(
        self, sandbox: Sandbox, open_: Callable[..., Zendesk], name: str, size: int
    ):
        copies = list(sandbox.zendesk.tables["satisfaction_ratings"].values())
        for number in range(300):
            sandbox.zendesk.desk.rows["satisfaction_ratings"][10**9 + number] = copies[0] | {"id": 10**9 + number}
        zendesk = open_(page_size=size or 1000)
        pages = list(zendesk.read(stream(name), ALL))
        assert len(pages) > 2
        assert len(keys(pages)) == len({*keys(pages)})
        for number, page in enumerate(pages[:-1], start=1):
            rest = list(zendesk.read(stream(name), ALL, json.loads(json.dumps(page.checkpoint))))
            assert keys(rest) == keys(pages[number:])

    @pytest.mark.parametrize("name", EXPORTS)
    def test_reads_records_of_one_second_once_each_far_beyond_a_page(
        self, sandbox: Sandbox, open_: Callable[..., Zendesk], name: str
    ):
        one = stream(name)
        at = datetime(2026, 10, 1, 12, tzinfo=UTC)
        sandbox.zendesk.desk.moved[one.object].update(dict.fromkeys(sandbox.zendesk.tables[one.object], at))
        pages = list(open_(page_size=5).read(one, ALL))
        assert sorted(keys(pages)) == sorted(rows_of(sandbox, one))

    @pytest.mark.parametrize("name", EXPORTS)
    def test_starts_where_the_slice_starts(self, sandbox: Sandbox, zendesk: Zendesk, name: str):
        one = stream(name)
        moved = sandbox.zendesk.desk.moved[one.object]
        long_ago = dict.fromkeys(moved, NOW - timedelta(days=500))
        first, second = list(moved)[:2]
        moved.update(long_ago | {first: NOW - timedelta(days=2), second: NOW - timedelta(days=1, seconds=1)})
        found = keys(list(zendesk.read(one, Slice(NOW - timedelta(days=2), NOW))))
        assert found == [str(first), str(second)]

    @pytest.mark.parametrize("name", EXPORTS)
    def test_leaves_the_last_minute_to_the_next_run_which_loses_nothing(
        self, sandbox: Sandbox, zendesk: Zendesk, name: str
    ):
        one = stream(name)
        number = next(iter(sandbox.zendesk.tables[one.object]))
        sandbox.clock.advance(3600)
        sandbox.edit("zendesk", one.object, number, {"subject": "Now"})
        zendesk.check()
        first = Slice(NOW + timedelta(minutes=30), zendesk.now() - one.lag)
        assert keys(list(zendesk.read(one, first))) == []
        sandbox.clock.advance(300)
        zendesk.check()
        assert keys(list(zendesk.read(one, Slice(first.end, zendesk.now() - one.lag)))) == [str(number)]

    def test_every_export_stays_more_than_a_minute_behind(self):
        assert all(one.lag > timedelta(minutes=1) for one in STREAMS if one.name in EXPORTS)

    @pytest.mark.parametrize("name", EXPORTS)
    def test_what_changed_after_the_slice_comes_with_it_and_again_with_the_next(
        self, sandbox: Sandbox, zendesk: Zendesk, name: str
    ):
        one = stream(name)
        moved = sandbox.zendesk.desk.moved[one.object]
        moved.update(dict.fromkeys(moved, NOW - timedelta(days=500)))
        number = next(iter(moved))
        moved[number] = NOW - timedelta(seconds=70)
        border = NOW - one.lag
        first = list(zendesk.read(one, Slice(NOW - timedelta(days=1), border)))
        again = list(zendesk.read(one, Slice(border, NOW)))
        assert keys(first) == keys(again) == [str(number)]
        assert column(first, "_payload") == column(again, "_payload")
        assert column(first, "_cursor") == column(again, "_cursor")

    def test_an_empty_page_is_not_the_end(self, answered: Callable[..., Zendesk]):
        zendesk = answered(
            exported([], "c1"), exported([ticket(1)], "c2"), exported([], "c3"), exported([ticket(2)], "c4", done=True)
        )
        pages = list(zendesk.read(stream("tickets"), ALL))
        assert [page.records.num_rows for page in pages] == [0, 1, 0, 1]
        assert [page.checkpoint for page in pages] == [{"cursor": "c1"}, {"cursor": "c2"}, {"cursor": "c3"}, None]

    def test_asks_for_metrics_on_every_page_and_for_a_start_only_on_the_first(self, answered: Callable[..., Zendesk]):
        zendesk = answered(exported([ticket(1)]), exported([], "c2", done=True))
        list(zendesk.read(stream("tickets"), Slice(datetime(2026, 1, 1, tzinfo=UTC), NOW)))
        shared = {"include": "metric_sets", "per_page": "1000"}
        assert asked(zendesk) == [shared | {"start_time": "1767225600"}, shared | {"cursor": "c1"}]

    def test_only_the_time_of_a_next_page_is_taken_and_never_its_host(self, answered: Callable[..., Zendesk]):
        zendesk = answered(
            timed([{"id": 1}], 1_790_000_000, host="https://evil.example"), timed([], 1_790_000_001, done=True)
        )
        assert keys(list(zendesk.read(stream("accounts"), ALL))) == ["1"]
        assert [one["start_time"] for one in asked(zendesk)] == ["0", "1790000000"]

    def test_a_page_without_a_link_goes_on_from_its_end_time(self, answered: Callable[..., Zendesk]):
        zendesk = answered(timed([{"id": 1}], 1_790_000_000) | {"next_page": None}, timed([], 1_790_000_001, done=True))
        pages = list(zendesk.read(stream("accounts"), ALL))
        assert [page.checkpoint for page in pages] == [{"start_time": 1_790_000_000}, None]

    @pytest.mark.parametrize(
        ("name", "answers"),
        [
            ("tickets", [exported([ticket(1)], "c1"), exported([ticket(1)], "c1")]),
            ("tickets", [*(exported([ticket(1)], cursor) for cursor in "aba"), exported([], "c", done=True)]),
            ("tickets", [exported([ticket(1)], None)]),
            ("tickets", [{"tickets": []}]),
            ("accounts", [timed([{"id": 1}], 5), timed([{"id": 1}], 5)]),
            ("accounts", [{"organizations": []}]),
            ("owners", [{"users": [], "meta": {"has_more": True, "after_cursor": "a"}}] * 2),
            ("owners", [{"users": [], "meta": {"has_more": one != "c", "after_cursor": one}} for one in "abac"]),
            ("ratings", [{"satisfaction_ratings": [], "meta": {"has_more": True, "after_cursor": None}}]),
        ],
    )
    def test_an_answer_that_does_not_move_on_is_an_error(
        self, answered: Callable[..., Zendesk], name: str, answers: list[Any]
    ):
        with pytest.raises(ReplyError, match=f"zendesk {stream(name).object}: .* makes no progress after"):
            list(answered(*answers).read(stream(name), ALL))

    @pytest.mark.parametrize("name", ["owners", "ratings"])
    def test_a_list_by_page_numbers_is_no_list_of_one_page(self, answered: Callable[..., Zendesk], name: str):
        body = {stream(name).object: [{"id": 1}], "count": 300, "next_page": f"{ELSEWHERE}/api/v2/x.json?page=2"}
        with pytest.raises(ReplyError, match="has no cursor to continue from"):
            list(answered(body).read(stream(name), ALL))

    @pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
    @pytest.mark.parametrize(
        "body",
        ["[]", "null", "{}", '{"end_of_stream": true}', '{"end_of_stream": "yes"}', '{"meta": 3}', '{"tickets": [{"'],
    )
    def test_an_answer_out_of_shape_is_no_end(self, answered: Callable[..., Zendesk], one: Stream, body: str):
        with pytest.raises(ReplyError):
            list(answered(body).read(one, ALL))

    def test_exports_keep_to_their_own_limit(self, sandbox: Sandbox, opened: Callable[..., Http], time: Time):
        plain = connected(f"{sandbox.url}/zendesk", page_size=60, exports_per_minute=2)
        http = opened(f"{sandbox.url}/zendesk", auth=plain.auth(), limits=plain.limits())
        zendesk = Zendesk("zendesk", plain.settings, http)
        pages = list(zendesk.read(stream("tickets"), ALL))
        assert len(pages) == 3
        assert time.waits == [60]


class TestWhatIsRead:
    def test_a_deleted_organization_is_marked(self, sandbox: Sandbox, zendesk: Zendesk):
        first, second = list(sandbox.zendesk.tables["organizations"])[:2]
        sandbox.edit("zendesk", "organizations", first, {"deleted_at": "2026-10-20T05:00:00Z"})
        sandbox.clock.advance(120)
        deleted = column(list(zendesk.read(stream("accounts"), ALL)), "_is_deleted")
        assert (deleted[str(first)], deleted[str(second)]) == ("true", "false")
        assert stream("accounts").deleted_values == {"_is_deleted": ("true",)}

    def test_deleted_tickets_and_organizations_become_tombstones(self, sandbox: Sandbox, project: Project):
        tickets = [row for row in sandbox.zendesk.tables["tickets"].values() if row["status"] == "deleted"]
        organization = next(iter(sandbox.zendesk.tables["organizations"]))
        sandbox.edit("zendesk", "organizations", organization, {"deleted_at": "2026-10-20T05:00:00Z"})
        sandbox.clock.advance(300)
        results = {result.stream: result for result in extract(project, "zendesk", "first")}
        assert {result.status for result in results.values()} == {"done"}
        for name, gone in (("tickets", {str(row["id"]) for row in tickets}), ("accounts", {str(organization)})):
            raw = project.lake.read(connect(), f"raw/zendesk/{name}").to_pyarrow().to_pylist()
            assert {row["_key"] for row in raw if row["_deleted"]} == gone != set()

    def test_owners_are_agents_and_never_those_who_ask_for_help(self, sandbox: Sandbox, zendesk: Zendesk):
        table = sandbox.zendesk.tables["users"]
        table[next(iter(table))]["role"] = "admin"
        found = keys(list(zendesk.read(stream("owners"), ALL)))
        assert {table[int(number)]["role"] for number in found} == {"agent", "admin"}

    @pytest.mark.parametrize("beside", [True, False], ids=["beside the tickets", "within them"])
    def test_metrics_are_found_where_an_answer_holds_them(self, answered: Callable[..., Zendesk], beside: bool):
        metrics = {
            "reopens": 2,
            "solved_at": "2026-10-01T10:00:00Z",
            "reply_time_in_minutes": {"calendar": 12, "business": 5},
            "full_resolution_time_in_minutes": {"calendar": 90, "business": 40},
        }
        rows = [ticket(1), ticket(2)] if beside else [ticket(1, metric_set=metrics), ticket(2)]
        more = {"metric_sets": [metrics | {"id": 9, "ticket_id": 1}]} if beside else {}
        pages = list(answered(exported(rows, done=True, **more)).read(stream("tickets"), ALL))
        assert column(pages, "metric_set.reply_time_in_minutes.calendar") == {"1": "12", "2": None}
        assert column(pages, "metric_set.full_resolution_time_in_minutes.calendar") == {"1": "90", "2": None}
        assert column(pages, "metric_set.reopens") == {"1": "2", "2": None}

    def test_metrics_beside_the_tickets_leave_those_within_alone(self, answered: Callable[..., Zendesk]):
        rows = [ticket(1), ticket(2, metric_set={"reopens": 4})]
        page = exported(rows, done=True, metric_sets=[{"ticket_id": 1, "reopens": 3}, {"reopens": 9}])
        assert column(list(answered(page).read(stream("tickets"), ALL)), "metric_set.reopens") == {"1": "3", "2": "4"}

    @pytest.mark.parametrize("name", EXPORTS)
    def test_what_is_no_record_lands_without_a_key(self, answered: Callable[..., Zendesk], name: str):
        rows = [{}, 3, None, ["x"], {"id": None, "status": "open"}, {"id": 7}]
        tickets = exported(rows, done=True, metric_sets=[{"ticket_id": 1}])
        page = tickets if name == "tickets" else timed(rows, 9, done=True)
        pages = list(answered(page).read(stream(name), ALL))
        assert keys(pages) == [None, None, None, None, None, "7"]

    def test_the_cursor_of_a_ticket_is_what_the_system_last_did(self, answered: Callable[..., Zendesk]):
        page = exported([ticket(1, updated_at="2026-01-01T00:00:00Z")], done=True)
        (found,) = answered(page).read(stream("tickets"), ALL)
        assert found.records["_cursor"].to_pylist() == [datetime.fromtimestamp(1_790_000_000, UTC)]

    def test_ratings_are_answers_on_a_scale_from_bad_to_good(self, zendesk: Zendesk, sandbox: Sandbox):
        held = {"ticket_id": 5, "updated_at": "2026-10-01T10:00:00Z", "comment": "Thanks"}
        good, bad, other = conformed(
            "ratings",
            {"id": 1, "score": "good"} | held,
            {"id": 2, "score": "bad", "updated_at": None, "created_at": "2026-10-01T09:00:00Z"},
            {"id": 3, "score": "offered"} | held,
        )
        assert [good[name] for name in ("kind", "score", "score_min", "score_max", "ticket_id")] == [
            "csat",
            1,
            0,
            1,
            "5",
        ]
        assert (bad["score"], bad["rated_at"].hour, other["score"]) == (0, 9, None)

    def test_only_ratings_that_were_given_are_asked_for(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"satisfaction_ratings": [], "meta": {"has_more": False}})
        list(zendesk.read(stream("ratings"), Slice(datetime(2026, 1, 1, tzinfo=UTC), NOW)))
        assert asked(zendesk) == [{"score": "received", "start_time": "1767225600", "page[size]": "100"}]


class TestCheck:
    def test_names_the_account_and_nothing_else(self, zendesk: Zendesk):
        found = zendesk.check()
        assert found.account == "127.0.0.1/zendesk"
        assert found.notes == ()
        assert found.now.utcoffset() == timedelta(0)

    def test_a_secret_in_the_address_is_no_part_of_the_account(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"user": {"id": 1, "role": "admin"}, "organization_fields": []})
        zendesk.settings = zendesk.settings.model_copy(update={"base_url": "https://u:secret@acme.zendesk.example/"})
        assert zendesk.check().account == "acme.zendesk.example"

    @pytest.mark.parametrize("body", [(401, {"error": "no"}), (403, {}), {"user": {"id": None}}, {"user": None}])
    def test_a_secret_that_opens_nothing_is_an_access_error(self, answered: Callable[..., Zendesk], body: Any):
        with pytest.raises(AccessError, match="zendesk: .*secret") as told:
            answered(body).check()
        assert TOKEN not in str(told.value)

    def test_a_user_who_may_not_see_all_is_a_note(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"user": {"id": 1, "role": "end-user"}, "organization_fields": []})
        assert "neither agent nor admin" in zendesk.check().notes[-1]

    def test_asks_for_no_custom_fields_where_organizations_are_not_read(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"user": {"id": 1, "role": "admin"}})
        zendesk.streams = (stream("tickets"),)
        zendesk.check()
        assert len(asked(zendesk)) == 1

    def test_lists_the_fields_of_every_stream_custom_ones_too(self, zendesk: Zendesk):
        offered = {name: {field.path: field for field in fields} for name, fields in zendesk.discover().items()}
        assert set(offered) == {one.name for one in STREAMS}
        assert offered["accounts"]["organization_fields.vat_number"].is_custom
        assert "metric_set.reopens" in offered["tickets"]
        assert not [path for fields in offered.values() for path in fields if path.startswith("_")]

    def test_all_pages_of_custom_fields_are_read(self, answered: Callable[..., Zendesk]):
        page = {"organization_fields": [{"key": "a"}], "meta": {"has_more": True, "after_cursor": "x"}}
        last = {"organization_fields": [{"key": "b"}], "meta": {"has_more": False}}
        fields = {field.path for field in answered(page, last).discover()["accounts"] if field.is_custom}
        assert fields == {"organization_fields.a", "organization_fields.b"}


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "no secret is set: set client_id and client_secret of an OAuth client .*until 2027-04-30"),
            ({"client_id": "", "api_token": ""}, "no secret is set: set client_id and client_secret"),
            ({"email": "a@example.com"}, "email needs api_token"),
            ({"api_token": "x"}, "api_token needs email"),
            ({"client_id": "c"}, "client_id needs client_secret"),
            (
                {"client_id": "c", "client_secret": "x", "email": "a", "api_token": "y"},
                "client_id, client_secret, email, api_token are set: keep one way to authenticate",
            ),
            ({"client_secret": "x", "oauth_token": "y"}, "client_secret, oauth_token are set"),
        ],
    )
    def test_there_is_one_way_in(self, given: dict[str, str], message: str):
        with pytest.raises(SettingsError, match=f"^connection 'zendesk': settings: {message}"):
            load(Zendesk, "zendesk", {"base_url": ELSEWHERE} | given)

    def test_a_token_goes_with_the_address_of_its_user(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"user": {"id": 1}, "organization_fields": []})
        zendesk.check()
        basic = b64encode(f"belvedere@example.com/token:{TOKEN}".encode()).decode()
        assert zendesk.calls[0].request.headers["Authorization"] == f"Basic {basic}"  # type: ignore[attr-defined]

    def test_an_oauth_token_goes_alone(self, open_: Callable[..., Zendesk]):
        found = open_(client_id=None, client_secret=None, oauth_token=TOKEN).check()
        assert (found.account, found.notes) == ("127.0.0.1/zendesk", ())

    def test_an_api_token_still_works_and_says_when_it_ends(self, open_: Callable[..., Zendesk]):
        found = open_(client_id=None, client_secret=None, email="belvedere@example.com", api_token=TOKEN).check()
        assert re.search(r"^zendesk: .* stop working on 2027-04-30: set client_id and client_secret", found.notes[0])

    def test_an_api_token_that_is_refused_says_when_it_ends(self, open_: Callable[..., Zendesk]):
        with pytest.raises(
            AccessError, match=r"\(401 at /zendesk/api/v2/users/me.json\); check .* stop working on 2027-04-30"
        ):
            open_(client_id=None, client_secret=None, email="belvedere@example.com", api_token="wrong").check()

    @pytest.mark.parametrize("wrong", [{"page_size": 1001}, {"page_size": 0}, {"exports_per_minute": 0}])
    def test_settings_that_make_no_sense_are_refused(self, wrong: dict[str, int]):
        with pytest.raises(SettingsError, match=next(iter(wrong))):
            connected(ELSEWHERE, **wrong)


class TestFetch:
    def test_gives_what_is_held_under_the_path_of_a_map(self, sandbox: Sandbox, zendesk: Zendesk):
        first, second = list(sandbox.zendesk.tables["organizations"].values())[:2]
        held = zendesk.fetch(
            stream("accounts"),
            [str(first["id"]), str(second["id"]), "99999999", "not a number"],
            ["name", "organization_fields.country", "organization_fields.nothing"],
        )
        assert held.keys() == {str(first["id"]), str(second["id"])}
        assert held[str(first["id"])].values == {
            "name": first["name"],
            "organization_fields.country": first["organization_fields"]["country"],
            "organization_fields.nothing": None,
        }
        assert held[str(first["id"])].version == first["updated_at"]

    def test_asks_for_a_hundred_at_a_time(self, answered: Callable[..., Zendesk]):
        zendesk = answered({"organizations": []})
        assert zendesk.fetch(stream("accounts"), [str(number) for number in range(1, 251)], ["name"]) == {}
        assert [len(one["ids"].split(",")) for one in asked(zendesk)] == [100, 100, 50]

    def test_tickets_that_were_deleted_are_not_there(self, sandbox: Sandbox, zendesk: Zendesk):
        one, other, third = list(sandbox.zendesk.tables["tickets"])[:3]
        sandbox.delete("zendesk", "tickets", one)
        sandbox.delete("zendesk", "tickets", other, forever=True)
        assert {*zendesk.fetch(stream("tickets"), [str(one), str(other), str(third)], ())} == {str(third)}

    @pytest.mark.parametrize("name", ["owners", "ratings"])
    def test_what_cannot_be_read_by_key_says_so(self, zendesk: Zendesk, name: str):
        with pytest.raises(SettingsError, match=f"{name} cannot be read by id"):
            zendesk.fetch(stream(name), ["1"], ["status"])


class TestErrors:
    @pytest.mark.parametrize("fault", ["reset", "truncated", "html", "rate_limit", "error"])
    @pytest.mark.parametrize("one", STREAMS, ids=lambda one: one.name)
    def test_a_passing_fault_costs_no_record(self, sandbox: Sandbox, zendesk: Zendesk, one: Stream, fault: str):
        sandbox.faults.add("/zendesk", fault, times=1)
        assert sorted({*keys(list(zendesk.read(one, ALL)))}) == sorted(rows_of(sandbox, one))

    @pytest.mark.parametrize("fault", ["reset", "truncated", "html", "rate_limit", "error", "expired_token"])
    def test_a_lasting_fault_is_an_error_and_never_an_empty_stream(
        self, sandbox: Sandbox, zendesk: Zendesk, fault: str
    ):
        sandbox.faults.add("/zendesk", fault)
        with pytest.raises(ConnectorError) as told:
            list(zendesk.read(stream("tickets"), ALL))
        assert TOKEN not in str(told.value)


class TestOAuthClient:
    """Access tokens that are renewed: before they expire, and once after a 401; by one thread for all."""

    def granted(self, sandbox: Sandbox) -> int:
        return sandbox.requests["POST", "/zendesk/oauth/tokens"]

    def test_the_client_is_named_in_json_and_the_token_sent_as_bearer(self):
        with responses.RequestsMock() as mock:
            mock.post(f"{ELSEWHERE}/oauth/tokens", json={"access_token": "t1", "expires_in": 1800})
            mock.get(f"{ELSEWHERE}/api/v2/users/me.json", json={"user": {"id": 1, "role": "admin"}}, headers=DATE)
            assert connected(ELSEWHERE, **CLIENT).check().account == "acme.zendesk.example"
            first, second = (call.request for call in mock.calls)
        assert json.loads(first.body) == GRANT
        assert "Authorization" not in first.headers
        assert second.headers["Authorization"] == "Bearer t1"

    def test_threads_share_one_token_request(self, sandbox: Sandbox, zendesk: Zendesk):
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: zendesk.check(), range(24)))
        assert self.granted(sandbox) == 1

    @pytest.mark.parametrize("end", ["expired", "revoked"])
    def test_threads_whose_token_ended_share_one_token_request(self, sandbox: Sandbox, zendesk: Zendesk, end: str):
        zendesk.check()
        sandbox.zendesk.tokens.revoke() if end == "revoked" else sandbox.clock.advance(1800)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: zendesk.check(), range(24)))
        assert self.granted(sandbox) == 2

    def test_a_token_that_ends_after_a_busy_answer_is_replaced_all_the_same(self, sandbox: Sandbox, zendesk: Zendesk):
        zendesk.check()
        sandbox.zendesk.tokens.revoke()
        sandbox.faults.add("/zendesk/api/v2/users/me.json", "error", status=503, times=1)
        assert zendesk.check().account

    @pytest.mark.parametrize("name", [one.name for one in STREAMS])
    def test_a_token_that_ends_in_mid_stream_costs_no_record(
        self, sandbox: Sandbox, open_: Callable[..., Zendesk], name: str
    ):
        zendesk = open_(page_size=20)
        sandbox.when("/zendesk/api/v2", after=1, do=lambda: sandbox.clock.advance(1801))
        assert sorted({*keys(list(zendesk.read(stream(name), ALL)))}) == sorted(rows_of(sandbox, stream(name)))

    def test_a_new_token_that_is_refused_too_is_no_endless_loop(self, sandbox: Sandbox, zendesk: Zendesk):
        sandbox.faults.add("/zendesk/api/v2", "expired_token")
        with pytest.raises(AccessError) as told:
            zendesk.check()
        assert str(told.value) == (
            "zendesk: a new token was refused too (401 at /zendesk/api/v2/users/me.json); check settings.client_id and "
            "settings.client_secret, and that the client may have the scope 'read' and belongs to an admin"
        )
        assert self.granted(sandbox) == 2
        assert sandbox.requests["GET", "/zendesk/api/v2/users/me.json"] == 2

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"client_secret": "wr0ng"},
                r"the secret was refused \(401 at /zendesk/oauth/tokens\); check settings.client_id",
            ),
            (
                {"scope": "tickets:all"},
                r"no token was given \(400 invalid_scope at oauth/tokens\); check .*'tickets:all'",
            ),
            ({"scope": "write"}, r"the secret lacks a right for this \(403 at .*me.json\); check .*'write'"),
        ],
    )
    def test_a_client_that_is_refused_is_named(
        self, sandbox: Sandbox, open_: Callable[..., Zendesk], settings: dict[str, str], message: str
    ):
        with pytest.raises(AccessError, match=f"^zendesk: {message}") as told:
            open_(**settings).check()
        assert "wr0ng" not in str(told.value)
        assert self.granted(sandbox) == 1

    @pytest.mark.parametrize("fault", ["reset", "truncated", "html", "rate_limit", "error"])
    def test_a_token_request_that_met_a_passing_fault_is_sent_again(
        self, sandbox: Sandbox, zendesk: Zendesk, fault: str
    ):
        sandbox.faults.add("/zendesk/oauth/tokens", fault, times=1)
        assert zendesk.check().account
