"""What a source sends is read in time that grows with its length, not with its square.

At these sizes the square would take from minutes to days, so that the timeout tells, on any machine.
"""

import pytest

from connectors.kit.errors import BusyError, SettingsError
from connectors.kit.http.paging import NextLink
from connectors.kit.http.response import Reply
from connectors.odoo.rpc import Rpc
from connectors.odoo.values import as_value
from tests.connectors.script import HEAD

MANY = 1_000_000
pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("header", ["<" * MANY, "<>" * MANY, '<a>; rel="' * MANY, ";=" * MANY, "," * MANY, '"' * MANY])
def test_a_link_header(header):
    assert NextLink(kind="link").following({}, Reply(200, {"Link": header}, b"{}", "https://x/a"), []) is None


@pytest.mark.parametrize("part", ["<", "< ", "<a", "</p", "<br ", "<br" + " " * 9, "&", "&#", "</p>", "&#1"])
def test_a_text_with_markup(part):
    as_value(part * MANY, "html")


def test_a_tag_without_end_stays_as_it_is():
    assert as_value("<p>a &lt; b</p><p>c < d", "html") == "a < b\nc < d"


def test_a_reference_beyond_all_numbers_stays_as_it_is():
    text = "&#" + "9" * MANY + ";"
    assert as_value(f"<p>{text}</p>", "html") == text


@pytest.mark.parametrize(("ending", "is_one"), [("", False), ('x" does not exist', True)])
def test_an_error_of_a_database(ending, is_one):
    rpc = Rpc("erp", None, "sandbox", "me", None)
    error = rpc._error("read", {"data": {"message": 'database "' * MANY + ending}}, writes=False)
    assert isinstance(error, SettingsError) == is_one


@pytest.mark.parametrize("name", [b'Content-Type: multipart/x; a="', b"X: "])
def test_the_head_of_a_response(scripted, opened, name):
    """The mail parser that http.client uses takes the square of such a field: 20 s for 64 KiB."""
    script = scripted(HEAD + name + b";" * 60_000 + b"\r\nContent-Length: 2\r\n\r\n[]", None)
    with pytest.raises(BusyError, match="no whole answer"):
        opened(script.url, attempts=1).get("a")
