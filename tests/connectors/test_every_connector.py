"""What holds for every door to a system: all is read once, from any page on, and nothing is guessed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors.hubspot.connector import HubSpot
from connectors.kit.base import CountsSlices, ListsKeys, ReadsByKey, ReportsDeletes, Writes
from connectors.kit.errors import AccessError, BusyError, ConnectorError, ReplyError
from connectors.kit.http.client import Http
from connectors.kit.http_connector import HttpConnector
from connectors.kit.raw_rows import Page
from connectors.kit.settings import load
from connectors.kit.stream import Slice
from connectors.odoo.connector import Odoo
from connectors.zendesk.connector import Zendesk
from sandbox.server import Sandbox


class SmallPages(HubSpot):
    list_page_size = search_page_size = 25


KINDS = {"hubspot": SmallPages, "odoo": Odoo, "zendesk": Zendesk}
SETTINGS = {
    "hubspot": {"token": "sandbox-hubspot-token", "requests_per_10_seconds": 10_000, "searches_per_second": 10_000},
    "odoo": {
        "database": "sandbox",
        "login": "belvedere@example.com",
        "api_key": "sandbox-odoo-key",
        "page_size": 7,
        "requests_per_second": 10_000,
    },
    "zendesk": {
        "client_id": "belvedere",
        "client_secret": "sandbox-zendesk-secret",
        "page_size": 7,
        "exports_per_minute": 10_000,
    },
}
SECRET = {"hubspot": "token", "odoo": "api_key", "zendesk": "client_secret"}
TABLES = {
    "hubspot": lambda sandbox, stream: (
        {row["id"] for row in sandbox.hubspot.portal.owners}
        if stream.object == "owners"
        else {number for number, row in sandbox.hubspot.objects[stream.object].items() if not row["archived"]}
    ),
    "odoo": lambda sandbox, stream: {str(number) for number in sandbox.odoo.tables[stream.object]},
    "zendesk": lambda sandbox, stream: {
        str(number)
        for number, row in sandbox.zendesk.tables[stream.object].items()
        if row.get("role") in (None, "agent", "admin") and row.get("score") != "offered"
    },
}
STREAMS = [(name, stream.name) for name, kind in KINDS.items() for stream in kind.streams]


def connected(sandbox: Sandbox, name: str, **settings) -> HttpConnector:
    url = f"{sandbox.url}/{name}"
    checked = load(KINDS[name], name, SETTINGS[name] | {"base_url": url} | settings)
    auth = KINDS[name](name, checked).auth()
    return KINDS[name](name, checked, Http(name, url, auth=auth, attempts=2, sleep=lambda _: None))


@pytest.fixture(scope="module")
def village() -> Iterator[Sandbox]:
    """A sandbox that no test of this module changes."""
    from tests.conftest import TODAY

    with Sandbox(customers=30, seed=3, today=TODAY) as running:
        yield running


@pytest.fixture
def door(sandbox):
    """Open a door to the sandbox, and close it."""
    made = []

    def make(name: str, **settings) -> HttpConnector:
        made.append(connected(sandbox, name, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stream_of(connector, name: str):
    return next(one for one in connector.streams if one.name == name)


def keys(pages: list[Page]) -> list[str]:
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def column(pages: list[Page], path: str) -> dict:
    values = [value for page in pages for value in page.records.column(path).to_pylist()]
    return dict(zip(keys(pages), values, strict=True))


@pytest.mark.parametrize(("name", "stream"), STREAMS)
def test_reads_everything_once_and_goes_on_after_any_page(village, name, stream):
    connector = connected(village, name)
    described = stream_of(connector, stream)
    pages = list(connector.read(described, Slice()))
    whole = keys(pages)
    asked = TABLES[name](village, described)
    assert len(whole) == len(set(whole))
    assert set(whole) <= asked
    if name != "odoo":
        assert set(whole) == asked
    assert pages[-1].checkpoint is None
    assert all(page.checkpoint for page in pages[:-1])
    chosen = range(1, len(pages)) if len(pages) < 5 else (1, 2, len(pages) // 2, len(pages) - 1)
    for number in chosen:
        checkpoint = json.loads(json.dumps(pages[number - 1].checkpoint))
        left = keys(list(connector.read(described, Slice(), checkpoint)))
        missing = set(whole[sum(page.records.num_rows for page in pages[:number]) :])
        assert missing <= set(left)
        assert len(left) == len(set(left))
    connector.close()


@pytest.mark.parametrize(("name", "stream"), STREAMS)
def test_a_window_since_ever_holds_what_a_whole_read_holds(village, name, stream):
    connector = connected(village, name)
    described = stream_of(connector, stream)
    window = Slice(datetime(2001, 1, 1, tzinfo=UTC), village.clock.now() + timedelta(days=1))
    assert sorted(keys(list(connector.read(described, window)))) == sorted(
        keys(list(connector.read(described, Slice())))
    )
    connector.close()


@pytest.mark.parametrize("name", KINDS)
def test_a_check_tells_account_and_clock(village, name):
    connector = connected(village, name)
    found = connector.check()
    assert found.account
    assert abs((found.now - village.clock.now()).total_seconds()) < 5
    assert found.now.utcoffset() == timedelta(0)
    connector.close()


@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_secret_is_refused_without_showing_it(door, name):
    with pytest.raises(AccessError) as raised:
        door(name, **{SECRET[name]: "wrong-s3cret"}).check()
    assert "s3cret" not in f"{raised.value!r}"
    assert str(raised.value).startswith(f"{name}: ")


@pytest.mark.parametrize("name", KINDS)
def test_a_system_that_is_down_is_busy(sandbox, door, name):
    sandbox.faults.add(f"/{name}", "error", status=503)
    connector = door(name)
    with pytest.raises(BusyError, match=f"{name}: answered 503"):
        list(connector.read(connector.streams[0], Slice()))


@pytest.mark.parametrize("name", KINDS)
def test_a_login_page_is_no_data(sandbox, door, name):
    sandbox.faults.add(f"/{name}", "html")
    connector = door(name)
    with pytest.raises(ReplyError, match="a login page perhaps"):
        list(connector.read(connector.streams[0], Slice()))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", ["rate_limit", "error", "reset", "truncated", "html"])
def test_passing_faults_lose_nothing_and_repeat_nothing(sandbox, door, name, kind):
    connector = door(name)
    stream = stream_of(connector, "tickets" if name == "zendesk" else "deals")
    expected = keys(list(connector.read(stream, Slice())))
    connector.http.date = None
    sandbox.faults.add(f"/{name}", kind, every=2)
    assert keys(list(connector.read(stream, Slice()))) == expected


@pytest.mark.parametrize("name", KINDS)
def test_the_last_page_stays_readable_when_the_one_before_it_failed(sandbox, door, name):
    connector = door(name)
    stream = stream_of(connector, "tickets" if name == "zendesk" else "deals")
    expected = keys(list(connector.read(stream, Slice())))
    landed, place = [], None
    sandbox.faults.add(f"/{name}", "error", every=7)
    sandbox.faults.add(f"/{name}", "error", every=7, after=1)
    for _ in range(60):
        try:
            for page in connector.read(stream, Slice(), place):
                landed += page.records.column("_key").to_pylist()
                place = page.checkpoint
            break
        except BusyError:
            continue
    assert landed == expected


@pytest.mark.parametrize("name", KINDS)
def test_equal_stamps_far_beyond_a_page_are_all_read_once(sandbox, door, name):
    connector = door(name)
    stream = stream_of(connector, "accounts")
    now = sandbox.clock.now()
    if name == "hubspot":
        for number in TABLES[name](sandbox, stream):
            sandbox.hubspot.objects["companies"][number]["properties"]["hs_lastmodifieddate"] = (
                "2026-10-20T04:00:00.000Z"
            )
    elif name == "odoo":
        for row in sandbox.odoo.tables["res.partner"].values():
            row["write_date"] = now - timedelta(hours=1)
    else:
        for number in sandbox.zendesk.tables["organizations"]:
            sandbox.zendesk.desk.moved["organizations"][number] = now - timedelta(hours=1)
    window = Slice(now - timedelta(hours=2), now)
    assert sorted(keys(list(connector.read(stream, window)))) == sorted(keys(list(connector.read(stream, Slice()))))


@pytest.mark.parametrize("name", KINDS)
def test_only_what_changed_comes_with_a_later_window(sandbox, door, name):
    connector = door(name)
    stream = stream_of(connector, "accounts")
    chosen = min(keys(list(connector.read(stream, Slice()))), key=int)
    sandbox.clock.advance(86400)
    start = sandbox.clock.now() - timedelta(seconds=1)
    table, number = {
        "hubspot": ("companies", chosen),
        "odoo": ("res.partner", int(chosen)),
        "zendesk": ("organizations", int(chosen)),
    }[name]
    sandbox.edit(name, table, number, {"name": "Renamed"})
    sandbox.clock.advance(300)
    pages = list(connector.read(stream, Slice(start, sandbox.clock.now())))
    path = "properties.name" if name == "hubspot" else "name"
    assert column(pages, path) == {chosen: "Renamed"}
    assert start - timedelta(seconds=1) <= pages[0].records.column("_cursor")[0].as_py() <= sandbox.clock.now()


@pytest.mark.parametrize("name", KINDS)
def test_a_door_offers_what_it_can_do_and_no_more(door, name):
    connector = door(name)
    offered = {
        kind for kind in (CountsSlices, ListsKeys, ReportsDeletes, ReadsByKey, Writes) if isinstance(connector, kind)
    }
    assert (
        offered
        == {
            "hubspot": {CountsSlices, ReportsDeletes, ReadsByKey, Writes},
            "odoo": {CountsSlices, ListsKeys, ReadsByKey, Writes},
            "zendesk": {ReadsByKey},
        }[name]
    )


@pytest.mark.parametrize("name", KINDS)
def test_discovers_the_fields_of_every_stream_it_names(door, name):
    connector = door(name)
    found = connector.discover()
    assert found.keys() <= {stream.name for stream in connector.streams}
    assert all(field.path for fields in found.values() for field in fields)
    assert any(field.is_custom for field in found["accounts"])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"5", b"null", b'{"result":5,"results":5,"tickets":5,"organizations":5}']
)
def test_an_answer_of_another_kind_is_no_end_of_stream(sandbox, little, name, body):
    little.say(200, body, Date="Tue, 20 Oct 2026 05:00:00 GMT")
    checked = load(KINDS[name], name, SETTINGS[name] | {"base_url": little.url})
    connector = KINDS[name](name, checked, Http(name, little.url, attempts=2, sleep=lambda _: None))
    for stream in connector.streams:
        with pytest.raises(ConnectorError):
            list(connector.read(stream, Slice()))
    connector.close()


class TestZendesk:
    def test_what_changed_in_the_last_minute_comes_with_the_next_run(self, sandbox, door):
        connector = door("zendesk")
        stream = stream_of(connector, "tickets")
        number = next(iter(sandbox.zendesk.tables["tickets"]))
        sandbox.clock.advance(86400)
        start = sandbox.clock.now() - stream.lag
        sandbox.edit("zendesk", "tickets", number, {"subject": "Quite new"})
        assert keys(list(connector.read(stream, Slice(start)))) == []
        sandbox.clock.advance(61)
        assert column(list(connector.read(stream, Slice(start))), "subject") == {str(number): "Quite new"}

    def test_the_lag_keeps_every_start_out_of_the_last_minute(self, sandbox, door):
        connector = door("zendesk")
        for stream in connector.streams:
            list(connector.read(stream, Slice(sandbox.clock.now() - stream.lag)))
            assert stream.cursor is None or stream.lag >= timedelta(seconds=60)

    def test_an_empty_page_is_not_the_end_of_the_stream(self, little):
        pages = [([], "a", False), ([{"id": 1, "generated_timestamp": 5}], "b", False), ([], "c", True)]
        for tickets, cursor, end in pages:
            body = {"tickets": tickets, "after_cursor": cursor, "end_of_stream": end}
            little.say(200, json.dumps(body).encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
        checked = load(Zendesk, "zendesk", {"oauth_token": "t0k", "base_url": little.url})
        connector = Zendesk("zendesk", checked)
        pages = list(connector.read(stream_of(connector, "tickets"), Slice()))
        connector.close()
        assert keys(pages) == ["1"]
        assert [page.checkpoint for page in pages] == [{"cursor": "a"}, {"cursor": "b"}, None]

    def test_a_cursor_that_does_not_move_is_refused(self, little):
        body = {"tickets": [], "after_cursor": "a", "end_of_stream": False}
        little.say(200, json.dumps(body).encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
        checked = load(Zendesk, "zendesk", {"oauth_token": "t0k", "base_url": little.url})
        connector = Zendesk("zendesk", checked)
        with pytest.raises(ReplyError, match="makes no progress after a"):
            list(connector.read(stream_of(connector, "tickets"), Slice()))
        connector.close()

    def test_deleted_records_are_told_by_the_values_that_the_stream_declares(self, sandbox, door):
        connector = door("zendesk")
        ticket, account = (next(iter(sandbox.zendesk.tables[table])) for table in ("tickets", "organizations"))
        sandbox.edit("zendesk", "tickets", ticket, {"status": "deleted"})
        sandbox.edit("zendesk", "organizations", account, {"deleted_at": "2026-10-20T05:00:00Z"})
        sandbox.clock.advance(120)
        for name, number in (("tickets", ticket), ("accounts", account)):
            stream = stream_of(connector, name)
            ((path, words),) = stream.deleted_values.items()
            column_of = {
                json.loads(payload)["id"]: json.loads(payload).get(path)
                for page in connector.read(stream, Slice())
                for payload in page.records.column("_payload").to_pylist()
            }
            told = column_of[number]
            assert (json.dumps(told) if isinstance(told, bool) else told) in words

    @pytest.mark.parametrize("beside", [True, False])
    def test_metrics_feed_their_ticket_wherever_the_answer_holds_them(self, little, beside):
        metrics = {"ticket_id": 1, "reopens": 2, "solved_at": "2026-10-01T00:00:00Z"}
        tickets = [{"id": 1, "generated_timestamp": 5}, {"id": 2, "generated_timestamp": 6}]
        if not beside:
            tickets[0]["metric_set"] = metrics
        body = {"tickets": tickets, "after_cursor": "a", "end_of_stream": True}
        body |= {"metric_sets": [metrics]} if beside else {}
        little.say(200, json.dumps(body).encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
        checked = load(Zendesk, "zendesk", {"oauth_token": "t0k", "base_url": little.url})
        connector = Zendesk("zendesk", checked)
        pages = list(connector.read(stream_of(connector, "tickets"), Slice()))
        connector.close()
        assert column(pages, "metric_set.reopens") == {"1": "2", "2": None}


class TestOdoo:
    def test_keys_list_all_that_lives_archived_ones_too(self, sandbox, door):
        connector = door("odoo")
        connector.keys_page_size = 9
        stream = stream_of(connector, "accounts")
        sandbox.edit("odoo", "res.partner", 1, {"active": False})
        listed = [number for some in connector.keys(stream) for number in some]
        assert sorted(listed) == sorted(keys(list(connector.read(stream, Slice()))))
        assert "1" in listed

    def test_false_is_null_by_what_the_stream_says(self, sandbox, door):
        connector = door("odoo")
        stream = stream_of(connector, "accounts")
        sandbox.edit("odoo", "res.partner", 1, {"vat": False})
        assert column(list(connector.read(stream, Slice())), "vat")["1"] in stream.nulls


class TestHubSpot:
    def test_archived_records_are_tombstones(self, sandbox, door):
        connector = door("hubspot")
        stream = stream_of(connector, "accounts")
        gone = min(TABLES["hubspot"](sandbox, stream), key=int)
        sandbox.hubspot.portal.archive("companies", gone, sandbox.clock.now())
        pages = list(connector.deletes(stream, Slice()))
        assert gone in keys(pages)
        assert all(deleted for page in pages for deleted in page.records.column("_deleted").to_pylist())
        assert not {*keys(pages)} & {*keys(list(connector.read(stream, Slice())))}
