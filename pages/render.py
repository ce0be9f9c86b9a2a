"""Render a page as text for a terminal or as one self-contained HTML file."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from pages.customer import CustomerPage
from pages.visible import visible


def _finalized(value: object) -> object:
    return visible(value) if isinstance(value, str) else value


_TEXT = Environment(  # noqa: S701 - plain text; the HTML environment below escapes
    loader=PackageLoader("pages", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_finalized,
)
_HTML = Environment(
    loader=PackageLoader("pages", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def as_text(page: CustomerPage) -> str:
    """Render the customer page for a terminal."""
    return _TEXT.get_template("customer.txt").render(page=page, number=_number)


def as_html(page: CustomerPage) -> str:
    """Render the customer page as one self-contained, escaped HTML document."""
    return _HTML.get_template("customer.html").render(page=page, number=_number)


def _number(value: object, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
