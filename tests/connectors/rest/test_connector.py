"""A REST API described wholly in YAML."""

import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.kit.base import Change, ReadsByKey, Writes
from connectors.kit.errors import ReplyError, SettingsError
from connectors.kit.field_map import parse_entry
from connectors.kit.rate_limit.limiter import RateHeader
from connectors.kit.raw_rows import raw_schema
from connectors.kit.repair import Repairs
from connectors.kit.settings import load
from connectors.kit.stream import Slice
from connectors.rest.config import RestStream, untagged
from connectors.rest.connector import Rest
from schemas.mapping import Constant, Field

ROWS = [{"id": number, "name": f"n{number}", "at": f"2026-10-{number + 1:02d}T00:00:00Z"} for number in range(1, 8)]
SINCE = datetime(2026, 10, 5, 6, 7, 8, 250000, tzinfo=UTC)
FIELDS = {"account_id": "id", "name": "name"}


@pytest.fixture
def rest(little, opened):
    """Open a connector upon the little server; one stream, `accounts`."""

    def make(settings=None, **stream) -> Rest:
        given = {"path": "customers", "fields": FIELDS, **stream}
        checked = load(
            Rest, "erp", {"base_url": f"{little.url}/api", "streams": {"accounts": given}, **(settings or {})}
        )
        plain = Rest("erp", checked)
        return Rest("erp", checked, opened(f"{little.url}/api", auth=plain.auth(), attempts=2))

    return make


def asked(request) -> dict[str, list[str]]:
    return parse_qs(urlsplit(request.path).query, keep_blank_values=True)


def table(little, size: int, wrap=lambda rows, start, asked: rows, **headers):
    """Answer pages of ROWS by whatever the request asks for."""

    def answer(request):
        query = {name: values[0] for name, values in asked(request).items()}
        if "Range" in request.headers:
            start = int(request.headers["Range"].partition("=")[2].partition("-")[0])
            told = {"Content-Range": f"records {start}-{start + size - 1}/{len(ROWS)}"}
            status = 206 if size < len(ROWS) else 200  # RFC 9110, section 15.3.7
        else:
            status = 200
            start = int(query.get("offset") or query.get("after") or (int(query.get("page", 1)) - 1) * size)
            told = {}
        body = json.dumps(wrap(ROWS[start : start + size], start, request)).encode()
        return status, {"Content-Type": "application/json", "Date": "Tue, 20 Oct 2026 05:00:00 GMT", **told}, body

    little.answers.append(answer)


def keys(pages) -> list[str]:
    return [key for page in pages for key in page.records.column("_key").to_pylist()]


def with_next(rows, start, request):
    more = start + 3 < len(ROWS)
    return {"data": rows, "next": start + 3 if more else None, "link": f"?after={start + 3}" if more else None, "n": 7}


SHAPES = {
    "none": (7, {}, None),
    "page": (3, {"kind": "page", "size": 3}, None),
    "full last page": (7, {"kind": "page", "size": 7}, None),
    "offset": (3, {"kind": "offset", "size": 3}, None),
    "offset with overlap": (3, {"kind": "offset", "size": 3, "overlap": True}, None),
    "keyset": (3, {"kind": "keyset", "param": "after", "size": 3}, None),
    "range": (3, {"kind": "range", "size": 3}, None),
    "range full": (7, {"kind": "range", "size": 7}, None),
    "cursor": (3, {"kind": "cursor", "path": "next", "param": "after", "size": 3}, with_next),
    "link": (3, {"kind": "link", "path": "link", "size": 3}, with_next),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_reads_everything_once_whatever_the_paging(rest, little, shape):
    size, paging, wrap = SHAPES[shape]
    table(little, size, *([wrap] if wrap else []))
    options = {"record_path": "data", "total_path": "n"} if wrap else {}
    connector = rest(**options, **({"paging": paging} if paging else {}))
    pages = list(connector.read(connector.streams[0], Slice()))
    assert keys(pages) == [str(row["id"]) for row in ROWS]
    assert pages[-1].checkpoint is None
    assert [page.total for page in pages[1:]] == [None] * (len(pages) - 1)
    if wrap or "range" in shape:
        assert pages[0].total == 7


@pytest.mark.parametrize("shape", ["page", "offset", "range", "cursor", "link"])
def test_goes_on_after_any_page(rest, little, shape):
    size, paging, wrap = SHAPES[shape]
    table(little, size, *([wrap] if wrap else []))
    connector = rest(paging=paging, **({"record_path": "data"} if wrap else {}))
    stream = connector.streams[0]
    pages = list(connector.read(stream, Slice()))
    assert len(pages) == 3
    for number, page in enumerate(pages[:-1], start=1):
        checkpoint = json.loads(json.dumps(page.checkpoint))
        rest_of_it = connector.read(stream, Slice(), checkpoint)
        assert keys(rest_of_it) == keys(pages[number:])


def test_a_link_to_another_origin_is_not_followed(rest, little, other):
    little.say(200, json.dumps({"data": [], "link": f"{other.url}/x"}).encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
    other.say()
    connector = rest(record_path="data", paging={"kind": "link", "path": "link"})
    with pytest.raises(ReplyError, match="another origin"):
        list(connector.read(connector.streams[0], Slice()))
    assert other.asked == []


def test_an_answer_without_the_list_is_no_end(rest, little):
    little.say(200, b'{"error":"no"}')
    connector = rest(record_path="data")
    with pytest.raises(ReplyError, match="no list at 'data'"):
        list(connector.read(connector.streams[0], Slice()))


@pytest.mark.parametrize("total", ['"many"', "null", "[]", '"12"', "12", "-1", f'"{"9" * 5_000}"'])
def test_a_count_is_taken_only_if_it_is_one(rest, little, total):
    little.say(200, f'{{"data":[],"n":{total}}}'.encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
    connector = rest(record_path="data", total_path="n")
    assert next(connector.read(connector.streams[0], Slice())).total == (12 if "12" in total else None)


@pytest.mark.parametrize(
    ("cursor", "value"),
    [
        ({}, "2026-10-05T06:07:08.250000Z"),
        ({"format": "date"}, "2026-10-04"),
        ({"format": "epoch_s"}, "1791180428"),
        ({"format": "epoch_ms"}, "1791180428250"),
        ({"template": "updated_at>{since}", "format": "date"}, "updated_at>2026-10-04"),
        ({"template": [["at", ">=", "{since}"]], "encode": "json", "format": "epoch_s"}, '[["at",">=",1791180428]]'),
    ],
)
def test_asks_for_what_is_newer_in_the_words_of_the_api(rest, little, cursor, value):
    table(little, 7)
    connector = rest(cursor={"path": "at", "param": "since", **cursor}, params={"fields": ["a", "b"], "x": "1"})
    list(connector.read(connector.streams[0], Slice(SINCE, None)))
    assert asked(little.asked[0]) == {"since": [value], "fields": ["a", "b"], "x": ["1"]}


def test_asks_for_all_without_a_cursor_at_first(rest, little):
    table(little, 7)
    connector = rest(cursor={"path": "at", "param": "since"})
    (page,) = connector.read(connector.streams[0], Slice())
    assert asked(little.asked[0]) == {}
    assert page.records.column("_cursor").to_pylist()[0] == datetime(2026, 10, 2, tzinfo=UTC)


@pytest.mark.parametrize(("start", "since"), [(SINCE, 1791180428), (None, 0)])
def test_packs_a_domain_as_tryton_wants_it_even_when_all_is_asked_for(rest, little, start, since):
    table(little, 7)
    template = ["OR", [["write_date", ">=", {"__class__": "x", "at": "{since}"}]]]
    packed = {"param": "d", "format": "epoch_s", "template": template, "encode": "base64url_json"}
    connector = rest(cursor={"path": "at", **packed})
    list(connector.read(connector.streams[0], Slice(start, None)))
    sent = asked(little.asked[0])["d"][0]
    assert json.loads(urlsafe_b64decode(sent)) == ["OR", [["write_date", ">=", {"__class__": "x", "at": since}]]]


def test_tagged_values_are_written_plainly():
    assert untagged({"__class__": "Decimal", "decimal": "1.50"}) == "1.50"
    day = {"year": 2026, "month": 2, "day": 3}
    assert untagged([{"d": {"__class__": "date", **day}}]) == [{"d": "2026-02-03"}]
    stamp = {"__class__": "datetime", **day, "hour": 4, "minute": 5, "second": 6, "microsecond": 0}
    assert untagged(stamp) == "2026-02-03T04:05:06+00:00"


@pytest.mark.parametrize(
    "wrong",
    [{"__class__": "date"}, {"__class__": "date", "year": 2026, "month": 13, "day": 1}, {"__class__": "Decimal"}],
)
def test_a_tagged_value_that_is_none_stops_nothing(rest, little, wrong):
    little.say(200, json.dumps([{"id": 1, "name": wrong}]).encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
    connector = rest({"tagged_values": True})
    assert keys(connector.read(connector.streams[0], Slice())) == ["1"]


def test_every_way_in(rest, little):
    table(little, 7)
    ways = {
        "Authorization": [{"kind": "bearer", "token": "t0k"}, {"kind": "basic", "user": "me", "password": "pw"}],
        "X-Key": [{"kind": "header", "header": "X-Key", "secret": "k3y"}],
    }
    sent = []
    for header, given in ways.items():
        for auth in given:
            rest({"auth": auth, "headers": {"X-Team": "a"}}).check()
            sent.append(little.asked[-1].headers[header])
            assert little.asked[-1].headers["X-Team"] == "a"
    assert sent == ["Bearer t0k", "Basic bWU6cHc=", "k3y"]


def test_checks_by_a_path_of_its_own(rest, little):
    little.say(200, b"pong", Content_Type="text/plain", Date="Tue, 20 Oct 2026 05:00:00 GMT")
    assert rest({"check_path": "ping"}).check().now == datetime(2026, 10, 20, 5, tzinfo=UTC)
    assert little.asked[0].path == "/api/ping"


def test_a_source_without_a_clock_is_told(rest, little):
    little.say(200, b"[]")
    connector = rest()
    with pytest.raises(ReplyError, match="sends no Date header"):
        list(connector.read(connector.streams[0], Slice()))


def test_discovers_paths_of_what_the_first_page_holds(rest, little):
    rows = b'[{"id":1,"address":{"city":"x"}},{"id":2,"tags":[],"none":{}}]'
    little.say(200, rows, Date="Tue, 20 Oct 2026 05:00:00 GMT")
    found = [field.path for field in rest().discover()["accounts"]]
    assert found == ["id", "address.city", "tags", "none"]


WRITE = {"path": "customers/{id}", "wrap": "customer", "record_path": "customer"}


def test_reads_records_by_key_and_leaves_out_those_that_are_gone(rest, little):
    little.answers.append(
        lambda request: (
            (404, {}, b"")
            if request.path.endswith("/2")
            else (200, {"Content-Type": "application/json"}, b'{"customer":{"id":1,"a":{"b":5}}}')
        )
    )
    connector = rest(write=WRITE)
    held = connector.fetch(connector.streams[0], ["1", "2"], ["a.b", "c"])
    assert {number: one.values for number, one in held.items()} == {"1": {"a.b": 5, "c": None}}
    assert isinstance(connector, ReadsByKey | Writes)


def test_a_key_with_a_slash_stays_one_key(rest, little):
    little.say(200, b"{}")
    connector = rest(write=WRITE)
    connector.write(connector.streams[0], [Change("op", "a/../b?c=1#d", {"x": 1})])
    assert little.asked[0].path == "/api/customers/a%2F..%2Fb%3Fc%3D1%23d"


def test_each_change_has_its_outcome(rest, little):
    little.answers[:] = [
        (200, {}, b""),
        (422, {}, b"secret of a person"),
        (500, {}, b""),
        (204, {}, b""),
    ]
    connector = rest(write=WRITE | {"method": "PUT"})
    changes = [Change(f"op{number}", str(number), {"x": number}) for number in range(4)]
    found = connector.write(connector.streams[0], changes)
    assert [(one.op_id, one.status) for one in found] == [
        ("op0", "applied"),
        ("op1", "rejected"),
        ("op2", "unknown"),
        ("op3", "applied"),
    ]
    assert "person" not in found[1].message
    assert [(one.method, json.loads(one.body)) for one in little.asked][0] == ("PUT", {"customer": {"x": 0}})


def test_a_redirect_after_a_write_is_unknown(rest, little):
    little.say(303, Location="/api/customers/1")
    connector = rest(write=WRITE)
    assert connector.write(connector.streams[0], [Change("op", "1", {"x": 1})])[0].status == "unknown"


def test_a_stream_that_only_reads_says_so(rest, little):
    connector = rest()
    with pytest.raises(SettingsError, match=r"connection 'erp': streams\.accounts has no `write`, so it only reads"):
        connector.write(connector.streams[0], [Change("op", "1", {})])


@pytest.mark.parametrize(("rate", "limit"), [(10, (10, 1)), (2.5, (2, 1)), (0.5, (1, 2)), (1, (1, 1))])
def test_never_asks_more_often_than_is_set(rest, rate, limit):
    (found,) = rest({"requests_per_second": rate}).limits()
    assert (found.requests, found.seconds) == limit


@pytest.mark.parametrize("settings", [{"streams": {}}, {"requests_per_second": 0}, {"auth": {"kind": "magic"}}])
def test_settings_that_cannot_work_are_refused(rest, settings):
    with pytest.raises(SettingsError, match=f"'{next(iter(settings))}"):
        rest(settings)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.b", "a.b"),
        ({"constant": 5}, Constant("5")),
        ({"path": "a", "values": {"x": "y"}, "unit": "percent"}, Field("a", {"x": "y"}, None, "percent")),
        (["a", {"constant": "z"}], ("a", Constant("z"))),
    ],
)
def test_a_line_of_a_field_map_is_read(given, expected):
    assert parse_entry(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": "a", "vales": {}}, "field map: unknown 'vales'; did you mean values?"),
        ({"values": {}}, "is not valid: write a path"),
        (5, "field map: 5 is not valid: write a path"),
        (None, "is not valid: write a path"),
    ],
)
def test_a_line_that_is_none_is_refused(given, said):
    with pytest.raises(SettingsError, match=said):
        parse_entry(given)


def test_a_stream_declares_how_it_deletes_and_how_late_it_is():
    given = {"path": "p", "cursor": {"path": "at", "param": "s", "format": "epoch_ms", "lag_minutes": 2}}
    declared = RestStream.model_validate(given | {"deleted": {"state": ["gone"]}}).declared("s")
    assert (declared.deletes, declared.deleted_values, declared.cursor_unit) == (
        "flag",
        {"state": ("gone",)},
        "epoch_ms",
    )
    assert declared.lag.total_seconds() == 120
    assert RestStream.model_validate({"path": "p"}).declared("s").deletes == "sweep"
    assert RestStream.model_validate(given).declared("s").deletes == "none"


def test_rows_deleted_while_they_are_paged_by_offset_stop_the_stream(rest, little):
    gone = []

    def answer(request):
        start = int(asked(request)["offset"][0])
        body = json.dumps([row for row in ROWS if row["id"] not in gone][start : start + 3]).encode()
        gone.append(len(gone) + 1)
        return 200, {"Content-Type": "application/json", "Date": "Tue, 20 Oct 2026 05:00:00 GMT"}, body

    little.answers.append(answer)
    connector = rest(paging={"kind": "offset", "size": 3, "overlap": True})
    pages = connector.read(connector.streams[0], Slice())
    assert keys([next(pages)]) == ["1", "2", "3"]
    with pytest.raises(ReplyError, match="rows moved while they were read"):
        next(pages)


def test_the_vendors_rate_headers_are_declared_in_yaml(rest, little):
    given = [{"remaining": "X-Left", "limit": "X-Most", "seconds": 60}]
    assert rest({"rate_headers": given}).rate_headers == (RateHeader("X-Left", 60, "X-Most"),)


def test_a_slice_is_bounded_from_above_where_the_api_can(rest, little):
    table(little, 10)
    connector = rest(cursor={"path": "at", "param": "from", "until_param": "to", "window_days": 30})
    (stream,) = connector.streams
    assert stream.window == timedelta(days=30)
    list(connector.read(stream, Slice(SINCE, SINCE + timedelta(days=30))))
    assert (asked(little.asked[-1])["from"], asked(little.asked[-1])["to"]) == (
        ["2026-10-05T06:07:08.250000Z"],
        ["2026-11-04T06:07:08.250000Z"],
    )


@pytest.mark.parametrize(
    ("cursor", "start", "end"),
    [
        ({}, "2026-10-05T06:07:08+00:00", None),
        ({"until_param": "to"}, "2026-10-05T06:07:08+00:00", "2026-10-06T06:07:09+00:00"),
        ({"until_param": "to", "format": "epoch_ms"}, "2026-10-05T06:07:08+00:00", "2026-10-06T06:07:09+00:00"),
        ({"format": "date"}, "2026-10-03T10:00:00+00:00", None),
        ({"until_param": "to", "format": "date"}, "2026-10-03T10:00:00+00:00", "2026-10-08T12:00:00+00:00"),
    ],
)
def test_tells_what_the_source_counts_that_is_asked_in_whole_days_or_without_an_end(rest, cursor, start, end):
    connector = rest(cursor={"path": "at", "param": "from", **cursor})
    counted = connector.counted_slice(connector.streams[0], Slice(SINCE, SINCE + timedelta(days=1)))
    assert [at and at.isoformat() for at in (counted.start, counted.end)] == [start, end]


@pytest.mark.parametrize("cursor", [None, {"path": "at", "param": "from", "until_param": "to", "format": "date"}])
def test_everything_is_counted_where_everything_is_asked_for(rest, cursor):
    connector = rest(cursor=cursor)
    assert connector.counted_slice(connector.streams[0], Slice()) == Slice()


def test_a_window_without_an_upper_bound_is_refused(rest):
    with pytest.raises(SettingsError, match="window_days needs until_param"):
        rest(cursor={"path": "at", "param": "from", "window_days": 30})


@pytest.mark.parametrize(("param", "kind"), [("since", "feed"), (None, "list")])
def test_deletions_are_read_where_the_api_tells_them(rest, little, param, kind):
    deletions = {"path": "deleted", "record_path": "gone", "primary_key": "was", "deleted_at": "at"}
    connector = rest(cursor={"path": "at", "param": "from"}, deletions=deletions | ({"param": param} if param else {}))
    (stream,) = connector.streams
    assert stream.deletes == kind
    little.say(200, b'{"gone": [{"was": 7, "at": "2026-10-06T00:00:00Z"}]}', Date="Tue, 20 Oct 2026 05:00:00 GMT")
    (page,) = connector.deletes(stream, Slice(SINCE))
    assert keys([page]) == ["7"]
    assert page.records.column("_deleted").to_pylist() == [True]
    assert page.records.column("_cursor").to_pylist() == [datetime(2026, 10, 6, tzinfo=UTC)]
    assert page.records.schema == raw_schema(stream)
    assert asked(little.asked[-1]) == ({"since": ["2026-10-05T06:07:08.250000Z"]} if param else {})


def test_deletions_that_come_page_after_page_for_ever_are_refused(rest, little):
    deletions = {"path": "deleted", "paging": {"kind": "page", "size": 1}}
    connector = rest(cursor={"path": "at", "param": "from"}, deletions=deletions)
    little.say(200, b'[{"id": 7}]', Date="Tue, 20 Oct 2026 05:00:00 GMT")
    with pytest.raises(ReplyError, match="erp accounts: paging makes no progress: a page came twice"):
        list(connector.deletes(connector.streams[0], Slice(SINCE)))


def test_tokens_that_lead_round_in_a_circle_are_refused(rest, little):
    for number, token in enumerate("abca"):
        body = json.dumps({"data": [ROWS[number]], "next": token})
        little.say(200, body.encode(), Date="Tue, 20 Oct 2026 05:00:00 GMT")
    connector = rest(record_path="data", paging={"kind": "cursor", "path": "next", "param": "after"})
    pages = connector.read(connector.streams[0], Slice())
    with pytest.raises(ReplyError, match=r"erp accounts: paging makes no progress after {'cursor': 'a'}"):
        list(pages)
    assert len(little.asked) == 4


@pytest.mark.parametrize(
    ("stream", "is_so"),
    [
        ({"paging": {"kind": "page"}}, True),
        ({"paging": {"kind": "offset"}}, True),
        ({"paging": {"kind": "page"}, "total_path": "total"}, True),
        ({"paging": {"kind": "offset", "overlap": True, "key": "id"}}, False),
        ({"paging": {"kind": "keyset", "param": "after", "key": "id"}}, False),
    ],
)
def test_pages_that_may_move_are_declared_so_that_they_are_read_twice(rest, stream, is_so):
    (declared,) = rest(**stream).streams
    assert declared.offset_paged == is_so


@pytest.mark.parametrize("tagged", [False, True])
def test_half_an_emoji_costs_no_page_and_is_counted(little, rest, tagged):
    body = b'\xef\xbb\xbf{"data":[{"id":1,"name":"a\\ud83d"},{"id":2,"name":"b","n":NaN}],"next":null,"n":2}'
    little.say(200, body, Date="Tue, 20 Oct 2026 05:00:00 GMT")
    paging = {"kind": "cursor", "path": "next", "param": "after"}
    connector = rest({"tagged_values": tagged}, record_path="data", paging=paging, total_path="n")
    (page,) = connector.read(connector.streams[0], Slice())
    assert page.records.column("name").to_pylist() == ["a\N{REPLACEMENT CHARACTER}", "b"]
    assert (page.total, page.repairs) == (2, Repairs(1, 1))


def test_bytes_that_are_no_text_are_counted_where_records_are_decoded(little, rest):
    little.say(200, b'[{"id":1,"name":"a\xff"}]', Date="Tue, 20 Oct 2026 05:00:00 GMT")
    connector = rest({"tagged_values": True})
    (page,) = connector.read(connector.streams[0], Slice())
    assert page.repairs == Repairs(1)
