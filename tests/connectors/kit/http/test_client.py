"""The way out: what is sent again, what never, and what is refused."""

import base64
import gzip
import logging
import socket
import tracemalloc
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.kit.errors import AccessError, BusyError, ConnectorError, ReplyError, SettingsError, UnknownOutcome
from connectors.kit.http.auth import Basic, Bearer, HeaderToken, Refreshed
from connectors.kit.http.request import Call
from connectors.kit.http.response import Refused, Reply
from connectors.kit.rate_limit.limiter import Limit, RateHeader

SECRET = "s3cret-key"
LIST = "/hubspot/crm/v3/owners"


@pytest.fixture
def http(sandbox, opened):
    return opened(f"{sandbox.url}/hubspot", auth=Bearer(SecretStr("sandbox-hubspot-token")))


def sent(sandbox, path: str = LIST) -> int:
    return sum(count for (_, asked), count in sandbox.requests.items() if asked == path)


def write(http):
    body = {"inputs": [{"properties": {"name": "New"}}]}
    return http.post("crm/v3/objects/companies/batch/create", json=body, writes=True)


WRITE = "/hubspot/crm/v3/objects/companies/batch/create"


def test_waits_exactly_as_long_as_it_is_asked_to(sandbox, http, time):
    sandbox.faults.add(LIST, "rate_limit", retry_after=7, times=2)
    assert http.get("crm/v3/owners").status == 200
    assert time.waits == [7.0, 7.0]


def test_waits_of_its_own_accord_when_too_many_requests_names_no_time(sandbox, http, time):
    sandbox.faults.add(LIST, "rate_limit", times=2)
    assert http.get("crm/v3/owners").status == 200
    assert len(time.waits) == 2
    assert all(0 <= wait <= 30 for wait in time.waits)


def test_waits_until_the_date_that_retry_after_names(little, opened, time):
    at = datetime(2026, 10, 20, 5, 0, 0, tzinfo=UTC)
    later = format_datetime(at.replace(second=9), usegmt=True)
    little.answers.append((429, {"Date": format_datetime(at, usegmt=True), "Retry-After": later}, b""))
    little.say()
    opened(little.url).get("a")
    assert time.waits == [9.0]


@pytest.mark.parametrize(
    "given",
    [
        *("soon", "-5", "nan", "inf", "1e999", "Mon, 99 Foo", "Tue, 20 Oct 2026 05:00:09 -0000"),
        "Tue, 20 Oct 99999999999999999999 05:00:09 GMT",
    ],
)
def test_an_unreadable_retry_after_does_no_harm(little, opened, given):
    little.say(429, Retry_After=given)
    little.say()
    assert opened(little.url).get("a").status == 200


@pytest.mark.parametrize("given", ["99999999999", "1e300", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_all_reason_ends_within_a_day(little, opened, given):
    little.say(429, Retry_After=given)
    with pytest.raises(BusyError, match=r"asks to wait .{1,15} s; goes on at \d\d:\d\d UTC on") as raised:
        opened(little.url).get("a")
    day = (datetime.now(UTC) + timedelta(days=1, minutes=1)).date()
    assert str(raised.value).endswith(str(day))


@pytest.mark.parametrize(
    "given",
    [
        "Tue, 20 Oct 99999999999999999999 05:00:09 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_that_cannot_be_is_none(little, opened, given):
    little.say(200, Date=given)
    http = opened(little.url)
    assert http.post("a", json={}, writes=True).status == 200
    assert http.date is None


@pytest.mark.parametrize("attempts", [1, 2])
def test_nobody_is_asked_for_more_often_than_was_said(opened, time, attempts):
    with pytest.raises(BusyError, match="cannot reach"):
        opened("http://127.0.0.1:1", attempts=attempts).get("a")
    assert len(time.waits) == attempts - 1


@pytest.mark.parametrize("status", [206, 300, 304, 305, 306, 399])
def test_what_is_no_success_is_none(little, opened, status):
    little.say(status, b"")
    http = opened(little.url)
    with pytest.raises(UnknownOutcome, match=f"answered {status} at /a"):
        http.patch("a", json={}, writes=True)
    with pytest.raises(ReplyError, match=f"answered {status} at /a"):
        http.get("a")
    assert len(little.asked) == 2


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://a℀/".encode().decode("latin-1")])
def test_a_redirect_to_an_address_that_cannot_be_read_is_not_followed(little, opened, location):
    little.say(302, Location=location)
    with pytest.raises(ReplyError, match="cannot be read"):
        opened(little.url).get("a")


def test_a_link_that_cannot_be_read_is_not_asked_for(opened):
    with pytest.raises(ReplyError, match="cannot be read"):
        opened("http://127.0.0.1:9").get("http://[")


def test_an_address_in_utf_8_is_followed_as_it_is_meant(little, opened):
    little.answers.append((302, {"Location": "/ü".encode().decode("latin-1")}, b""))
    little.say()
    assert opened(little.url).get("a").url == f"{little.url}/%C3%BC"


def test_a_rate_beyond_all_numbers_is_none(little, opened):
    little.say(200, X_Left="9" * 5_000)
    http = opened(little.url, rates=[RateHeader("X-Left", 60)], limits=[Limit(10, 60)])
    assert http.post("a", json={}, writes=True).status == 200


@pytest.mark.parametrize("life", [b"null", b'"soon"', b"[1]", b'"inf"', b'"nan"', b"-5", b"{}", b"9" * 400])
def test_a_tokens_life_that_cannot_be_read_is_the_usual_one(little, opened, life):
    little.say(200, b'{"access_token": "t", "expires_in": ' + life + b"}")
    token, seconds = opened(little.url).token(f"{little.url}/token", {})
    assert (token.get_secret_value(), seconds) == ("t", 1800)


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"access_token": null}', b'{"access_token": ""}', b'{"access_token": 1}']
)
def test_an_answer_without_a_token_is_told(little, opened, body):
    little.say(200, body)
    with pytest.raises(AccessError, match="/token gave no token"):
        opened(little.url).token(f"{little.url}/token", {})


def test_a_kind_without_an_end_is_not_told_whole(little, opened):
    little.say(200, Content_Type="text/html; x=" + "y" * 5_000)
    with pytest.raises(ReplyError) as raised:
        opened(little.url).get("a")
    assert len(str(raised.value)) < 200


def test_a_wait_beyond_reason_is_left_to_a_later_run(little, opened, time):
    little.say(429, Retry_After="3600")
    with pytest.raises(BusyError, match="asks to wait 3600 s"):
        opened(little.url).get("a")
    assert time.waits == []
    assert len(little.asked) == 1


def test_gives_up_at_last_when_there_are_always_too_many_requests(sandbox, http, time):
    sandbox.faults.add(LIST, "rate_limit", retry_after=1)
    with pytest.raises(BusyError, match=r"crm: too many requests \(429\)"):
        http.get("crm/v3/owners")
    assert sent(sandbox) == 6
    assert time.waits == [1.0] * 5


@pytest.mark.parametrize(
    ("kind", "options"),
    [("error", {"status": 503}), ("error", {"status": 500}), ("reset", {}), ("truncated", {}), ("html", {})],
)
def test_a_passing_fault_of_a_read_is_mended_by_asking_again(sandbox, http, kind, options):
    sandbox.faults.add(LIST, kind, times=2, **options)
    assert http.get("crm/v3/owners").json()["results"]
    assert sent(sandbox) == 3


@pytest.mark.parametrize(
    ("kind", "raised", "said"),
    [
        ("error", BusyError, "crm: answered 500 at /hubspot/crm/v3/owners"),
        ("reset", BusyError, "crm: no whole answer"),
        ("truncated", BusyError, "crm: no whole answer"),
        ("html", ReplyError, "crm: answered text/html; charset=utf-8 where json was due"),
    ],
)
def test_a_lasting_fault_of_a_read_is_named(sandbox, http, kind, raised, said):
    sandbox.faults.add(LIST, kind)
    with pytest.raises(raised, match=said):
        http.get("crm/v3/owners")
    assert sent(sandbox) == 6


@pytest.mark.parametrize(
    ("kind", "applied"), [("lost_answer", 1), ("error", 0), ("reset", 0), ("truncated", 1), ("html", 0)]
)
def test_a_write_whose_answer_is_lost_is_never_sent_again(sandbox, http, time, kind, applied):
    sandbox.faults.add(WRITE, kind)
    with pytest.raises(UnknownOutcome, match="may or may not have been applied"):
        write(http)
    assert sent(sandbox, WRITE) == 1
    assert len(sandbox.writes) == applied
    assert time.waits == []


def test_a_write_that_was_turned_away_by_the_rate_limit_is_sent_again(sandbox, http, time):
    sandbox.faults.add(WRITE, "rate_limit", retry_after=3, times=1)
    assert write(http).status == 201
    assert time.waits == [3.0]
    assert len(sandbox.writes) == 1


def test_a_write_that_reached_nobody_is_busy_not_unknown(opened):
    with pytest.raises(BusyError, match="cannot reach"):
        opened(f"http://127.0.0.1:{free_port()}").post("a", json={}, writes=True)


def test_a_write_whose_answer_is_too_large_is_unknown(little, opened):
    little.say(200, b"[" + b" " * 4096 + b"]")
    with pytest.raises(UnknownOutcome, match="larger than"):
        opened(little.url, max_body=1024).post("a", json={}, writes=True)


def test_a_read_that_only_uses_post_is_sent_again(sandbox, http):
    path = "/hubspot/crm/v3/objects/companies/batch/read"
    sandbox.faults.add(path, "error", times=1)
    body = {"inputs": [], "properties": [], "propertiesWithHistory": []}
    assert http.post("crm/v3/objects/companies/batch/read", json=body).status == 200
    assert sent(sandbox, path) == 2


def test_a_link_to_another_origin_is_refused_and_nothing_is_sent_there(little, other, opened):
    for told in (little, other):
        told.say()
    http = opened(little.url, auth=Bearer(SecretStr(SECRET)))
    here, there = little.url.removeprefix("http://"), other.url.removeprefix("http://")
    links = (f"http://{there}/next", f"https://{here}/next", f"http://{here}@{there}/", f"http://{there}\\@{here}/")
    for link in (*links, "http://127.0.0.1:99999/", "http://[::1", "ftp://127.0.0.1/", "http:///x"):
        with pytest.raises(ReplyError, match="another origin"):
            http.get(link)
    assert little.asked == other.asked == []


def test_a_link_of_two_slashes_stays_here(little, other, opened):
    for told in (little, other):
        told.say()
    opened(little.url).get(other.url.removeprefix("http:"))
    assert (len(little.asked), len(other.asked)) == (1, 0)


def test_a_redirect_to_another_origin_is_refused_and_nothing_is_sent_there(little, other, opened):
    little.say(302, Location=f"{other.url}/login")
    other.say()
    with pytest.raises(ReplyError, match="another origin"):
        opened(little.url, auth=Bearer(SecretStr(SECRET))).get("a")
    assert other.asked == []


def test_one_redirect_at_home_is_followed_with_the_secret(little, opened):
    little.say(301, Location="/b?c=1")
    little.say(200, b'{"ok":true}')
    assert opened(little.url, auth=Bearer(SecretStr(SECRET))).get("a").json() == {"ok": True}
    assert [asked.path for asked in little.asked] == ["/a", "/b?c=1"]
    assert little.asked[1].headers["Authorization"] == f"Bearer {SECRET}"


def test_a_redirect_to_a_login_page_is_no_answer(little, opened):
    little.answers.append(
        lambda asked: (
            (302, {"Location": "/login"}, b"")
            if asked.path == "/a"
            else (200, {"Content-Type": "text/html"}, b"<form>")
        )
    )
    with pytest.raises(ReplyError, match="a login page perhaps"):
        opened(little.url).get("a")


@pytest.mark.parametrize("location", ["/a", "/loop", ""])
def test_redirects_that_lead_nowhere_are_refused(little, opened, location):
    little.say(302, Location=location)
    with pytest.raises(ReplyError, match=r"redirect of /a; check settings\.base_url"):
        opened(little.url).get("a")
    assert len(little.asked) <= 2


def test_a_write_does_not_follow_a_redirect(little, opened):
    little.say(307, Location="/b")
    with pytest.raises(UnknownOutcome, match="answered with a redirect of /a; the write may or may not"):
        opened(little.url).post("a", json={}, writes=True)
    with pytest.raises(ReplyError, match="unexpected redirect"):
        opened(little.url).post("a", json={})
    assert [asked.path for asked in little.asked] == ["/a", "/a"]


def test_an_answer_beyond_the_limit_is_not_held(little, opened):
    little.say(200, b"[" + b" " * (3 << 20) + b"]")
    with pytest.raises(ReplyError, match="larger than 1 MiB; ask for smaller pages"):
        opened(little.url, max_body=1 << 20).get("a")
    assert len(little.asked) == 1


def test_a_small_answer_that_unpacks_to_a_large_one_is_not_held(little, opened):
    little.say(200, gzip.compress(b" " * (3 << 20)), Content_Encoding="gzip")
    with pytest.raises(ReplyError, match="larger than 1 MiB"):
        opened(little.url, max_body=1 << 20).get("a")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def test_an_address_where_nobody_listens_is_told_in_a_line(opened, time):
    with pytest.raises(BusyError) as raised:
        opened(f"http://127.0.0.1:{free_port()}").get("a")
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("(connection refused); check settings.base_url")
    assert len(time.waits) == 2


def test_an_unknown_host_is_told_in_a_line(opened, monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(BusyError) as raised:
        opened("https://nobody.invalid/api").get("a")
    said = "crm: cannot reach https://nobody.invalid:443 (unknown host); check settings.base_url"
    assert str(raised.value) == said


@pytest.mark.parametrize(
    "url",
    [
        *("api.hubapi.com", "ftp://host", "http://", "http://host:port", "http://[::1", ""),
        *("https://me:s3cret@host/api", "https://s3cret@host", "https://host/api?key=s3cret", "https://host/#s3cret"),
    ],
)
def test_a_base_url_that_is_none_is_told_before_anything_is_sent(opened, url):
    with pytest.raises(SettingsError, match=r"crm: settings\.base_url must be a whole address") as raised:
        opened(url)
    assert "s3cret" not in str(raised.value)


def test_a_link_with_a_user_in_it_is_refused(little, opened):
    little.say()
    with pytest.raises(ReplyError, match="another origin, an address with a user in it"):
        opened(little.url).get(little.url.replace("//", "//me:s3cret@") + "/a")
    assert little.asked == []


def test_neither_a_call_nor_a_reply_shows_its_query():
    call = Call("GET", "https://x/a?key=s3cret", params={"key": "s3cret"}, form={"key": "s3cret"})
    reply = Reply(200, {}, b"s3cret", "https://x/a?key=s3cret")
    assert f"{call!r} {reply!r}" == "Call(GET /a) Reply(200, 6 bytes)"


def test_no_query_comes_into_a_log(little, opened, caplog):
    little.say(200, b"[]")
    with caplog.at_level(logging.DEBUG):
        opened(little.url).get("a?key=s3cret")
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(("status", "said"), [(401, "the secret was refused"), (403, "lacks a right")])
@pytest.mark.parametrize(
    "auth", [Bearer(SecretStr(SECRET)), Basic("me", SecretStr(SECRET)), HeaderToken("X-Key", SecretStr(SECRET))]
)
def test_a_refused_secret_is_named_but_not_shown(little, opened, auth, status, said):
    little.say(status, SECRET.encode())
    with pytest.raises(AccessError, match=said) as raised:
        opened(little.url, auth=auth).get(f"a?key={SECRET}")
    shown = f"{raised.value!r} {raised.value} {auth!r} {raised.value.__cause__!r}"
    assert SECRET not in shown
    assert base64.b64encode(f"me:{SECRET}".encode()).decode() not in shown
    assert f"({status} at /a)" in str(raised.value)
    assert len(little.asked) == 1


@pytest.mark.parametrize("spoilt", [f"{SECRET}\n", f"{SECRET}\r\nX: y", f"{SECRET}→"])
@pytest.mark.parametrize("kind", [Bearer, lambda secret: HeaderToken("X-Key", secret)])
def test_a_secret_that_no_header_can_carry_is_not_shown(little, opened, kind, spoilt):
    little.say()
    with pytest.raises(AccessError, match="a line break in it") as raised:
        opened(little.url, auth=kind(SecretStr(spoilt))).get("a")
    assert SECRET not in str(raised.value)
    assert raised.value.__context__ is None
    assert little.asked == []


def test_neither_netrc_nor_a_proxy_of_the_surroundings_is_used(little, opened, monkeypatch, tmp_path: Path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    little.say()
    opened(little.url, auth=Bearer(SecretStr(SECRET))).get("a")
    assert little.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    opened(little.url).get("a")
    assert "Authorization" not in little.asked[1].headers


def test_a_refusal_carries_what_was_said(little, opened):
    little.say(422, b'{"message":"no"}')
    with pytest.raises(Refused) as raised:
        opened(little.url).get("a")
    assert (raised.value.status, raised.value.json()) == (422, {"message": "no"})
    assert len(little.asked) == 1


def test_a_body_that_is_no_json_is_told_as_such(little, opened):
    for body in (b"{", b"\xff\xfe", b"[" * 100):
        little.answers.clear()
        little.say(200, body)
        with pytest.raises(ReplyError, match=f"an answer of {len(body)} bytes is not JSON"):
            opened(little.url).get("a").json()


def test_a_value_that_no_json_can_carry_is_not_sent(little, opened):
    with pytest.raises(ConnectorError, match="cannot be made"):
        opened(little.url).post("a", json={"x": float("nan")}, writes=True)
    assert little.asked == []


def test_knows_the_clock_of_the_source(sandbox, http):
    http.get("crm/v3/owners")
    assert abs((http.date - sandbox.clock.now()).total_seconds()) < 5


def test_every_physical_request_is_charged(little, opened, time):
    little.say(503, Retry_After="0")
    little.say()
    http = opened(little.url, limits=(Limit(2, 10),))
    http.get("a")
    assert (time.waits, len(little.asked)) == ([0.0], 2)
    http.get("b")
    assert time.waits == [0.0, 10.0]


def test_a_token_that_ran_out_is_fetched_once_more(little, opened):
    tokens = iter(("old", "new"))
    little.say(401)
    little.say(200)
    opened(little.url, auth=Refreshed(lambda: (SecretStr(next(tokens)), 3600))).get("a")
    assert [asked.headers["Authorization"] for asked in little.asked] == ["Bearer old", "Bearer new"]


def test_a_fresh_token_that_is_refused_is_no_endless_loop(little, opened):
    little.say(401)
    with pytest.raises(AccessError, match=r"crm: a new token was refused too \(401 at /a\)"):
        opened(little.url, auth=Refreshed(lambda: (SecretStr(SECRET), 3600))).get("a")
    assert len(little.asked) == 2


GZIP = {"Content_Encoding": "gzip"}


def bomb() -> bytes:
    """Pack a gigabyte of blanks into a megabyte: one packed piece, again and again."""
    packer, blanks = zlib.compressobj(9, zlib.DEFLATED, 31), b" " * (1 << 24)
    head, piece = (packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return head + piece * 63 + packer.flush()


def test_a_megabyte_that_unpacks_to_a_gigabyte_is_refused_without_holding_it(little, opened):
    little.say(200, bomb(), **GZIP)
    http = opened(little.url, max_body=4 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(ReplyError, match="crm: an answer is larger than 4 MiB; ask for smaller pages"):
            http.get("a")
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"[1,2]"), gzip.compress(b"[1,") + gzip.compress(b"2]")], ids=["one", "two"]
)
def test_a_packed_answer_is_unpacked(little, opened, packed):
    little.say(200, packed, **GZIP)
    assert opened(little.url).get("a").json() == [1, 2]
    assert little.asked[0].headers["Accept-Encoding"] == "gzip"


def test_an_answer_packed_the_other_way_is_unpacked(little, opened):
    little.say(200, zlib.compress(b"[1,2]"), Content_Encoding="deflate")
    assert opened(little.url).get("a").json() == [1, 2]


def test_an_answer_packed_in_a_way_that_nobody_asked_for_is_refused_by_name(little, opened):
    little.say(200, b"\x0b\x02\x80[1,2]\x03", Content_Encoding="br")
    with pytest.raises(ReplyError, match="crm: an answer is packed as 'br', which was not asked for"):
        opened(little.url).get("a")
    with pytest.raises(UnknownOutcome):
        opened(little.url).post("a", json={}, writes=True)


def test_an_empty_answer_may_call_itself_packed(little, opened):
    little.say(200, b"", **GZIP)
    assert opened(little.url).get("a").body == b""


PACKED = gzip.compress(b'{"results":[' + b"1," * 5000 + b"1]}")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PACKED[:-20], GZIP),  # cut, and its length agrees
        (PACKED[:-1], GZIP),
        (PACKED[:-20], GZIP | {"Content_Length": str(len(PACKED)), "Connection": "close"}),
        (b"[1", {"Content_Length": "3", "Connection": "close"}),
        (b"no gzip at all", GZIP),
    ],
    ids=["packed", "packed by one byte", "packed, length", "length", "not packed"],
)
def test_half_an_answer_is_asked_for_again(little, opened, body, headers):
    little.say(200, body, **headers)
    little.say(200, b"[1]")
    assert opened(little.url).get("a").json() == [1]
    assert len(little.asked) == 2


def test_a_write_whose_answer_is_cut_is_unknown(little, opened):
    little.say(200, PACKED[:-20], **GZIP)
    with pytest.raises(UnknownOutcome):
        opened(little.url).post("a", json={}, writes=True)
    assert len(little.asked) == 1


def test_an_answer_nested_beyond_reason_is_refused_where_it_is_read(little, opened):
    little.say(200, b"[" * 200_000)
    with pytest.raises(ReplyError, match=r"the response \(200000 bytes\) is nested too deeply to be parsed"):
        opened(little.url).get("a").json()


def test_a_redirect_is_charged_as_a_request(little, opened, time):
    little.say(301, Location="/b")
    little.say(200)
    opened(little.url, limits=(Limit(1, 10),)).get("a")
    assert time.waits == [10.0]


def test_a_token_is_fetched_within_the_budget_and_without_a_token(little, opened, time):
    little.say(200, b'{"access_token":"fresh","expires_in":60}')
    little.say(200)
    auth = Refreshed(lambda: http.token("oauth/token", {"grant_type": "client_credentials"}))
    http = opened(little.url, auth=auth, limits=(Limit(1, 10),))
    http.get("a")
    assert time.waits == [10.0]
    assert [asked.path for asked in little.asked] == ["/oauth/token", "/a"]
    assert "Authorization" not in little.asked[0].headers
    assert little.asked[0].body == b"grant_type=client_credentials"
    assert little.asked[1].headers["Authorization"] == "Bearer fresh"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'"x"'])
def test_an_answer_without_a_token_is_no_access(little, opened, body):
    little.say(200, body)
    with pytest.raises(AccessError, match="crm: /oauth/token gave no token"):
        opened(little.url).token("oauth/token", {})


def test_what_the_vendor_says_slows_us_down(little, opened, time):
    little.say(200, X_Left="1", X_Most="100")
    http = opened(little.url, limits=(Limit(100, 10),), rates=(RateHeader("X-Left", 10, "X-Most"),))
    http.get("a")
    http.get("a")
    assert time.waits == []
    http.get("a")
    assert time.waits == [10.0]


@pytest.mark.parametrize(("status", "headers"), [(429, {}), (503, {"Retry-After": "7"}), (429, {"Retry-After": "7"})])
def test_a_refusal_holds_all_that_use_the_account(little, opened, time, tmp_path, status, headers):
    little.answers += [(status, headers, b""), (200, {}, b"")]
    first, second = opened(little.url), opened(little.url)
    paused = []
    for http in (first, second):
        http.share_rate_limit(tmp_path, "account")
    first._retrying.sleep = lambda seconds: (paused.append(seconds), second.get("b"))
    first.get("a")
    assert [asked.path for asked in little.asked] == ["/a", "/b", "/a"]
    assert time.waits == [round(paused[0], 3)]
    assert not headers or paused == [7.0]


def test_nothing_is_sent_before_the_end_of_a_long_wait_by_a_later_run_either(little, opened, time, tmp_path):
    little.say(429, Retry_After="3600")
    little.say()
    for wait, sent in ((0, 1), (1000, 1), (2500, 2)):
        time.at += wait
        http = opened(little.url)
        http.share_rate_limit(tmp_path, "account")
        with suppress(BusyError):
            http.get("a")
        assert len(little.asked) == sent
    assert time.waits == [100.0]


def test_a_write_that_met_a_fault_with_a_long_wait_is_unknown_and_holds(little, opened):
    little.say(503, Retry_After="3600")
    http = opened(little.url)
    with pytest.raises(UnknownOutcome):
        http.post("a", json={}, writes=True)
    with pytest.raises(BusyError, match="answered 503 at /a; the source asks to wait 3600 s; goes on at"):
        http.get("b")
    assert len(little.asked) == 1


def test_cookies_are_neither_kept_nor_sent(little, opened):
    little.say(200, Set_Cookie="session=1")
    http = opened(little.url)
    http.get("a")
    http.get("a")
    assert "Cookie" not in little.asked[1].headers


def test_connections_are_used_again(little, opened):
    little.say(200, gzip.compress(b"[1]"), **GZIP)
    http = opened(little.url)
    for _ in range(3):
        http.get("a")
    assert len({asked.port for asked in little.asked}) == 1
