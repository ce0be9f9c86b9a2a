"""Answers and records that are nested without end: the stream stops with a reason, or the record lands."""

import json

import pytest

from connectors.hubspot.responses import Listed
from connectors.hubspot.responses import parsed as parsed_by_hubspot
from connectors.kit.errors import ReplyError
from connectors.kit.http.paging import value_in
from connectors.kit.http.response import Reply, parsed
from connectors.kit.raw_rows import cut
from connectors.rest.config import untagged

LEVELS = 100_000
BOMBS = {
    "lists": b"[" * LEVELS,
    "closed lists": b"[" * LEVELS + b"]" * LEVELS,
    "objects": b'{"a":' * LEVELS,
    "in a record": b'{"results":[{"id":1,"x":' + b"[" * LEVELS + b"]" * LEVELS + b"}]}",
    "beside the records": b'{"x":' + b"[" * LEVELS + b"]" * LEVELS + b',"results":[]}',
}
WAYS = {
    "whole": parsed,
    "cut": lambda body: cut(body, "results"),
    "looked up": lambda body: value_in(Reply(200, {}, body, ""), "next"),
    "by HubSpot": lambda body: parsed_by_hubspot(Listed, body, "crm"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
def test_an_answer_nested_without_end_is_refused_with_its_reason(way, body):
    with pytest.raises(ReplyError, match="nested too deeply|has no list|does not have the documented form"):
        way(body)


@pytest.mark.parametrize("kind", ["in a record", "beside the records"])
def test_a_page_with_one_deep_value_names_the_depth_as_the_reason(kind):
    with pytest.raises(
        ReplyError, match=rf"the response \({len(BOMBS[kind])} bytes\) is nested too deeply to be parsed"
    ):
        cut(BOMBS[kind], "results")


@pytest.mark.parametrize(
    "body", [b"[" * 500 + b"]" * 500, b"[" + b"[]," * 5000 + b"[]]", json.dumps(["[{" * 5000, '"[' * 5000]).encode()]
)
def test_what_is_flat_passes_however_many_brackets_it_has(body):
    assert parsed(body) == json.loads(body)


def test_a_tagged_record_nested_without_end_is_refused():
    value = []
    for _ in range(LEVELS):
        value = [value]
    with pytest.raises(ReplyError, match="a record is nested too deeply"):
        untagged(value)
