"""Requests made once and copied: the same as requests itself would make."""

import re
from functools import reduce

import pytest
import requests
from pydantic import SecretStr

from connectors.kit.errors import ReplyError
from connectors.kit.http.auth import Bearer
from connectors.kit.http.request import MOST_TEMPLATES, Call, Requests

BASE = "https://erp.example.com/api"


@pytest.fixture
def ours() -> Requests:
    return Requests("erp", BASE, {}, None)


QUERIES = [
    None,
    {},
    {"a": 1, "b": None, "c": "", "d": True},
    {"q": "ä ö&=+?#/%7E~-_.", "page[size]": 100},
    [("role[]", "agent"), ("role[]", "admin")],
    {"ids": ["1", "2"], "none": [None], "raw": b"x y"},
]


@pytest.mark.parametrize("path", ["customers", "/customers/1%2F2", "a b/ü", "customers?x=1", f"{BASE}/next?after=%3D"])
@pytest.mark.parametrize("query", QUERIES)
def test_an_address_is_spelt_as_requests_spells_it(ours, path, query):
    whole = path if "://" in path else f"{BASE}/{path.lstrip('/')}"
    for _ in range(2):
        made = ours.prepared(Call("GET", path, query))
        assert made.url == requests.Request("GET", whole, params=query).prepare().url


def test_commas_stay_as_they_are(ours):
    assert ours.prepared(Call("GET", "a", {"ids": "1,2", "b": "&,"})).url == f"{BASE}/a?ids=1,2&b=%26,"


@pytest.mark.parametrize("options", [{"json": {"a": [1, "ü"]}}, {"json": {}}, {"form": {"a": "ü &"}}, {}])
def test_a_body_has_its_type_and_its_length(ours, options):
    theirs = {"data" if name == "form" else name: value for name, value in options.items()}
    wanted = requests.Session().prepare_request(requests.Request("POST", f"{BASE}/a", **theirs))
    made = ours.prepared(Call("POST", "a", **options))
    assert made.headers.get("Content-Type") == wanted.headers.get("Content-Type")
    assert made.headers["Content-Length"] == str(len(made.body or b""))
    if "json" in options:
        assert requests.models.complexjson.loads(made.body) == options["json"]
    else:
        assert (made.body or b"") == (wanted.body or "").encode()


def test_one_request_leaves_nothing_in_the_next():
    ours = Requests("erp", BASE, {}, Bearer(SecretStr("token")))
    first = ours.prepared(Call("POST", "a", {"x": 1}, {"Range": "0-9"}, json={"a": 1}))
    second = ours.prepared(Call("POST", "a"))
    assert (first.headers["Range"], first.headers["Content-Length"]) == ("0-9", "7")
    assert (second.url, second.body, "Range" in second.headers) == (f"{BASE}/a", None, False)
    assert second.headers["Content-Length"] == "0"


def test_a_secret_is_not_kept_in_what_is_copied():
    ours = Requests("erp", BASE, {}, Bearer(SecretStr("token")))
    ours.prepared(Call("GET", "a"))
    assert all("Authorization" not in template.headers for template in ours._templates.values())
    assert "Authorization" not in ours.prepared(Call("GET", "a", bare=True)).headers


def test_many_addresses_do_not_fill_the_memory(ours):
    for number in range(3 * MOST_TEMPLATES):
        ours.prepared(Call("GET", f"customers/{number}"))
    assert len(ours._templates) <= MOST_TEMPLATES


@pytest.mark.parametrize("headers", [{"X": value} for value in ("a\r\nY: b", " a", "a\nb", "a\0", "→", b"a")])
def test_a_header_that_none_can_be_is_not_sent(ours, headers):
    with pytest.raises(ReplyError, match="a request to /api/a cannot be made"):
        ours.prepared(Call("GET", "a", headers=headers))


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}])
def test_a_body_that_none_can_be_is_not_sent(ours, body):
    with pytest.raises(ReplyError, match="a request to /api/a cannot be made"):
        ours.prepared(Call("POST", "a", json=body))


@pytest.mark.parametrize("path", ["a/\r\nX: y", "a\0", "a HTTP/1.1\r\n\r\nGET /b", "a?x=\r\ny", "a?→"])
def test_no_path_ends_a_request_early(ours, path):
    assert re.fullmatch(re.escape(BASE) + "/[!-~]+", ours.prepared(Call("GET", path)).url)


@pytest.mark.parametrize(
    "options",
    [
        {"params": {"q": "\ud800"}},
        {"form": {"q": "\ud800"}},
        {"json": reduce(lambda inner, _: [inner], range(99_999), [])},
    ],
)
def test_what_no_request_can_carry_is_not_sent(ours, options):
    with pytest.raises(ReplyError, match="a request to /api/a cannot be made"):
        ours.prepared(Call("POST", "a", **options))
