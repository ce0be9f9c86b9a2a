"""Odoo's values by the types of its fields: as they are written, as `load` takes them, and as they are read.

Source: Odoo's external API documentation and its converters (ir.fields.converter). An empty value is `false`, an
instant has no zone and is UTC, a relation is read as [id, name], a text with markup is wrapped into paragraphs.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from html import escape, unescape
from math import isfinite
from typing import Any

_MANY = ("one2many", "many2many")
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|li)>\s*", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")


class Ref(str):
    """Name a record by its external id: Odoo looks it up itself, whatever the login may read."""

    __slots__ = ()


def as_sent(value: Any, kind: str) -> Any:
    """Write a value as `create` and `write` take it in a field of this type."""
    if value is None:
        return False
    write = _WRITE.get(kind)
    sent = write(value) if write else value
    return float(sent) if isinstance(sent, Decimal) else sent


def as_cell(value: Any, kind: str) -> str:
    """Write a value as a cell of `load`, where everything is a text and the empty one is nothing."""
    cell = [as_sent(member, "many2one") for member in value] if kind in _MANY and value else as_sent(value, kind)
    if isinstance(cell, list):
        return ",".join(map(str, cell))
    return "" if cell is False else str(cell)


def column(name: str, kind: str, value: Any = None) -> str:
    """Name a column of `load`: a relation is given by its id in the database, or by its external id."""
    if isinstance(value, Ref):
        return f"{name}/id"
    return f"{name}/.id" if kind == "many2one" or kind in _MANY else name


def as_value(value: Any, kind: str) -> Any:
    """Read a value so that it compares with what is sent; 0 is nothing, for a number that was never set reads so."""
    if kind == "boolean":
        return bool(value)
    if isinstance(value, list) and kind not in _MANY:
        value = value[0] if value else None
    read = _READ.get(kind) if isinstance(value, str) else None
    return (read(value) if read else value) or None


def stamp(moment: datetime) -> str:
    """Write an instant as Odoo has it: whole seconds of UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def instant(text: Any) -> datetime | None:
    """Read an instant, or a date's midnight; UTC where no zone is named."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _as_instant(value: Any) -> Any:
    moment = instant(value.isoformat() if isinstance(value, date) else value)
    return stamp(moment) if moment else value


def _as_date(value: Any) -> Any:
    moment = instant(value.isoformat() if isinstance(value, date) else value)
    return moment.date().isoformat() if moment else value


def _as_id(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _as_whole(value: Any) -> Any:
    is_whole = isinstance(value, float | Decimal) and isfinite(value) and value == int(value)
    return int(value) if is_whole else _as_id(value)


def _as_ids(value: Any) -> Any:
    return [[6, 0, [_as_id(member) for member in value]]] if isinstance(value, list | tuple) else value


def _as_markup(value: Any) -> str:
    return escape(str(value), quote=False).replace("\n", "<br>")


def _plain(markup: str) -> str:
    # behind the last ">" is no tag: to look for one from every "<" would take the square of the time
    tagged, end, text = _BREAK.sub("\n", markup).rpartition(">")
    bare = _TAG.sub("", tagged + end) + text
    try:
        return unescape(bare).strip()
    except ValueError:  # a reference of more digits than Python reads
        return bare.strip()


def _iso(text: str) -> str:
    moment = instant(text)
    return moment.isoformat() if moment else text


_WRITE: dict[str, Callable[[Any], Any]] = {
    "datetime": _as_instant,
    "date": _as_date,
    "html": _as_markup,
    "integer": _as_whole,
    "many2one": _as_id,
    "many2one_reference": _as_id,
    "one2many": _as_ids,
    "many2many": _as_ids,
}
_READ: dict[str, Callable[[str], Any]] = {"datetime": _iso, "html": _plain}
