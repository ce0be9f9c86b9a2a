"""How systems hand out pages."""

import json

import pytest

from connectors.kit.errors import ReplyError
from connectors.kit.http.paging import (
    CursorInBody,
    KeySet,
    NextLink,
    NoPaging,
    Offset,
    PageNumber,
    Range,
    at,
    value_in,
    without,
)
from connectors.kit.http.response import Reply

URL = "https://erp.example.com/api/customers?page=1"


def reply(body: bytes = b"{}", **headers: str) -> Reply:
    return Reply(200, {name.replace("_", "-"): value for name, value in headers.items()}, body, URL)


def rows(count: int, first: int = 1) -> list[bytes]:
    return [b'{"id":%d}' % number for number in range(first, first + count)]


def test_everything_at_once_has_no_second_page():
    assert NoPaging().following({}, reply(), rows(1000)) is None


def test_a_token_in_the_answer_is_sent_back():
    paging = CursorInBody(kind="cursor", path="paging.next.after", param="after", size_param="limit", size=5)
    assert paging.ask({}) == ([("limit", "5")], {}, None)
    place = paging.following({}, reply(b'{"paging":{"next":{"after":17}}}'), rows(5))
    assert paging.ask(place) == ([("limit", "5"), ("after", "17")], {}, None)


@pytest.mark.parametrize("body", [b"{}", b'{"next":null}', b'{"next":""}', b'{"next":false}', b"[]"])
def test_no_token_is_the_end(body):
    assert CursorInBody(kind="cursor", path="next", param="after").following({}, reply(body), rows(5)) is None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://erp.example.com/api/x?page=2", "https://erp.example.com/api/x?page=2"),
        ("/api/customers?page=2", "https://erp.example.com/api/customers?page=2"),
        ("?page=2", "https://erp.example.com/api/customers?page=2"),
    ],
)
def test_a_link_is_followed_from_where_it_stands(link, expected):
    place = NextLink(kind="link", path="next").following({}, reply(f'{{"next":"{link}"}}'.encode()), rows(5))
    assert NextLink(kind="link").ask(place) == ([], {}, expected)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://x/2>; rel="next"', "https://x/2"),
        ("<https://x/2>; rel=next", "https://x/2"),
        ("<https://x/1>; rel='prev', <https://x/3>; rel='next'", "https://x/3"),
        ('<https://x/2?ids=1,2;3>; rel="next", <https://x/9>; rel="last"', "https://x/2?ids=1,2;3"),
        ('<https://x/9>; rel="last"', None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_a_link_in_the_header_is_read(header, expected):
    place = NextLink(kind="link").following({}, reply(Link=header), rows(5))
    assert (place or {}).get("link") == expected


@pytest.mark.parametrize("link", ["http://[", "//[x", "http://a℀/"])
def test_a_link_that_cannot_be_read_is_told(link):
    with pytest.raises(ReplyError, match="a link cannot be read"):
        NextLink(kind="link", path="next").following({}, reply(json.dumps({"next": link}).encode()), rows(5))


def test_pages_are_counted_until_one_is_not_full():
    paging = PageNumber(kind="page", size=2)
    assert paging.ask({}) == ([("page", "1"), ("per_page", "2")], {}, None)
    assert paging.following({}, reply(), rows(2)) == {"page": 2}
    assert paging.following({"page": 2}, reply(), rows(2)) == {"page": 3}
    assert paging.following({"page": 3}, reply(), rows(1)) is None
    assert PageNumber(kind="page", first=0, size_param=None).ask({}) == ([("page", "0")], {}, None)


def test_rows_are_counted_until_a_page_is_not_full():
    paging = Offset(kind="offset", size=2)
    assert paging.ask({}) == ([("offset", "0"), ("limit", "2")], {}, None)
    assert paging.following({"offset": 2}, reply(), rows(2)) == {"offset": 4}
    assert paging.following({"offset": 4}, reply(), rows(0)) is None


def test_an_overlap_asks_for_the_last_row_once_more_and_leaves_it_out():
    paging = Offset(kind="offset", size=3, overlap=True)
    place = paging.following({}, reply(), rows(3))
    assert place == {"offset": 2, "last": 3}
    assert paging.ask(place) == ([("offset", "2"), ("limit", "3")], {}, None)
    assert paging.fresh({}, rows(3)) == rows(3)
    assert paging.fresh(place, rows(3, first=3)) == rows(2, first=4)
    assert paging.following(place, reply(), rows(3, first=3)) == {"offset": 4, "last": 5}
    assert paging.following(place, reply(), rows(2, first=3)) is None


@pytest.mark.parametrize("page", [rows(3, first=4), rows(3, first=2), []])
def test_rows_that_moved_while_they_were_read_are_noticed(page):
    paging = Offset(kind="offset", size=3, overlap=True)
    with pytest.raises(ReplyError, match="rows moved while they were read: .* at 2; use paging of kind keyset"):
        paging.fresh({"offset": 2, "last": 3}, page)


def test_an_overlap_needs_room_for_more_than_itself():
    with pytest.raises(ValueError, match="overlap needs a size of 2 at least"):
        Offset(kind="offset", size=1, overlap=True)


def test_a_key_set_asks_for_what_is_behind_the_last_key():
    paging = KeySet(kind="keyset", param="starting_after", size=2)
    assert paging.ask({}) == ([("limit", "2")], {}, None)
    place = paging.following({}, reply(), rows(2))
    assert paging.ask(place) == ([("limit", "2"), ("starting_after", "2")], {}, None)
    assert paging.following(place, reply(), rows(1, first=3)) is None
    assert paging.following(place, reply(), []) is None
    nested = KeySet(kind="keyset", param="id_gt", key="data.uuid", size_param=None, size=1)
    assert nested.ask({}) == ([], {}, None)
    assert nested.following({}, reply(), [b'{"data":{"uuid":"x"}}']) == {"last": "x"}


@pytest.mark.parametrize("row", [b"{}", b'{"id":null}', b'{"id":""}', b'{"id":true}', b'{"id":[]}', b"5", b"{"])
def test_a_record_without_a_key_is_no_end(row):
    with pytest.raises(ReplyError, match="a record has no key at 'id'"):
        KeySet(kind="keyset", param="id_gt", size=1).following({}, reply(), [row])


def test_a_range_is_asked_for_by_header():
    paging = Range(kind="range", size=200)
    assert paging.ask({}) == ([], {"Range": "records=0-199"}, None)
    assert paging.ask({"offset": 200}) == ([], {"Range": "records=200-399"}, None)
    assert paging.total(reply(Content_Range="records 0-199/1234")) == 1234
    assert paging.total(reply(Content_Range="records 0-199/*")) is None
    assert paging.total(reply()) is None
    assert paging.total(reply(Content_Range=f"records 0-1/{'9' * 5_000}")) is None


def test_another_range_than_was_asked_for_is_no_answer():
    with pytest.raises(ReplyError, match="a range from 0 was answered where one from 2 was asked for"):
        Range(kind="range", size=2).following({"offset": 2}, reply(Content_Range="records 0-1/4"), rows(2))


def test_a_range_ends_with_the_count_and_does_not_ask_behind_it():
    paging = Range(kind="range", size=2)
    assert paging.following({}, reply(Content_Range="records 0-1/4"), rows(2)) == {"offset": 2}
    assert paging.following({"offset": 2}, reply(Content_Range="records 2-3/4"), rows(2)) is None
    assert paging.following({}, reply(Content_Range="records 0-1/*"), rows(2)) == {"offset": 2}
    assert paging.following({}, reply(), rows(1)) is None
    assert paging.following({}, reply(Content_Range="records */4"), rows(0)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":{"b":{"0":"x","c":5}}}',
        b'{"a":{"b":["x"]},"records":[{"a":1}]}',
        b'{"a":{"b":null}}',
        b'{"a":null,"a":{"b":{"0":[1.5,"\\u00e9"]}}}',
        b'{"a":{"b":{"0":{"deep":{}}}}}',
        b'{"a":[]}',
        b'{"a":7}',
        b"[1]",
        b"{}",
        b"null",
    ],
)
def test_what_an_answer_tells_is_found_as_if_it_were_read_whole(body):
    answer = reply(body)
    assert value_in(answer, "a.b.0") == at(answer.json(), "a.b.0")


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b'{"x":' * 2000])
def test_an_answer_that_is_no_json_tells_nothing(body):
    with pytest.raises(ReplyError, match="is not JSON|is nested too deeply"):
        value_in(reply(body), "a")


def test_a_path_leads_through_lists():
    assert at({"a": [{"b": 1}]}, "a.0.b") == 1
    assert at({"a": []}, "a.0.b") is None
    assert at("text", "a") is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('<https://x/2>; title="a=b"; rel="next"', "https://x/2"),
        ('<https://x/2>; title="a<b"; rel="next"', "https://x/2"),
        ('<https://x/2>; rel="last next"', "https://x/2"),
        ('<https://x/2>; REL=Next, <https://x/3>; rel="last"', "https://x/2"),
        ('<https://x/2>; title="next"', None),
        ('rel="next"', None),
    ],
)
def test_a_link_header_is_read_with_whatever_stands_beside_the_relation(header, expected):
    place = NextLink(kind="link").following({}, reply(Link=header), rows(5))
    assert (place or {}).get("link") == expected


def test_a_link_beyond_what_servers_take_is_refused():
    with pytest.raises(ReplyError, match="a link of 20,001 characters is too long"):
        NextLink(kind="link", path="next").following({}, reply(b'{"next":"/%b"}' % (b"." * 20_000)), rows(5))


@pytest.mark.parametrize(
    ("link", "pairs", "expected"),
    [
        ("https://x/a?key=s&page=2", [("key", "s")], ("https://x/a?page=2", {"key"})),
        ("https://x/a?page=2&key=s%20t&key=u", [("key", "s t")], ("https://x/a?page=2&key=u", {"key"})),
        ("https://x/a?key=s", [("key", "s")], ("https://x/a", {"key"})),
        ("https://x/a?q=%2F&b=a+b", [("key", "s")], ("https://x/a?q=%2F&b=a+b", set())),
        ("https://x/a", [("key", "s")], ("https://x/a", set())),
    ],
)
def test_parameters_that_we_sent_are_taken_out_of_a_link(link, pairs, expected):
    assert without(link, pairs) == expected
