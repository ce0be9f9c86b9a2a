"""The way that one reading has taken through its pages."""

import pytest

from connectors.kit.errors import ReplyError
from connectors.kit.http.loop_guard import BYTES, PaginationGuard


@pytest.mark.parametrize(
    ("start", "places"),
    [
        ({}, [{"cursor": "a"}, {"cursor": "a"}]),
        ({"last": 2}, [{"last": 2}]),
        ("", ["a", "b", "c", "a"]),
        ("a", ["b", "a"]),
    ],
)
def test_a_place_that_was_asked_for_before_is_no_progress(start, places):
    trail, *before = PaginationGuard("crm accounts", start), *places[:-1]
    assert [trail.on(place) for place in before] == before
    with pytest.raises(ReplyError) as told:
        trail.on(places[-1])
    assert str(told.value) == f"crm accounts: paging makes no progress after {places[-1]}: it leads back there"


def test_a_link_is_named_without_its_query():
    trail = PaginationGuard("crm accounts", {})
    link = {"link": "https://x/2?api_key=s3cret"}
    trail.on(link)
    with pytest.raises(ReplyError, match="makes no progress after /2: it leads back there"):
        trail.on(link)
    trail.came([b"1"], {})
    with pytest.raises(ReplyError, match="a page came twice, at /2$"):
        trail.came([b"1"], link)


def test_places_that_only_look_alike_are_two():
    trail = PaginationGuard("crm accounts", {})
    assert [trail.on(place) for place in (5, "5", {"last": 5}, {"last": "5"}, "\ud800")]


def test_the_end_is_no_place():
    trail = PaginationGuard("crm accounts", None)
    assert trail.on(None) is trail.on(None) is None


def test_a_page_that_came_before_is_no_progress_however_far_the_place_has_moved():
    trail = PaginationGuard("crm accounts", {})
    for number, rows in enumerate([[b"1", b"2"], [b"3"], [], []]):
        trail.came(rows, {"page": number})
    with pytest.raises(ReplyError, match=r"crm accounts: paging makes no progress: a page came twice, at {'page': 4}"):
        trail.came([b"1", b"2"], {"page": 4})


def test_a_long_way_is_remembered_in_a_few_bytes_a_page():
    trail = PaginationGuard("crm accounts", {})
    trail.on({"cursor": "x" * 10_000})
    trail.came([b"x" * 10_000], {})
    assert {len(held) for held in trail._been} == {BYTES}
