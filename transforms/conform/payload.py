"""Single paths of the records as the source sent them, read by the engine."""

import ibis.expr.types as ir

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_WHOLE = rf"(\\[^u]|{_HIGH}{_LOW})"
_MARK = "\x01"  # is in no JSON


def at(raw: ir.Table, path: str) -> ir.JSONValue:
    """Give the JSON at a dotted path of the payload; null where the record has no such key."""
    value = _readable(raw._payload).try_cast("json")
    for step in path.split("."):
        value = value[int(step) if step.isdecimal() else step]
    return value


def text_at(raw: ir.Table, path: str) -> ir.StringValue:
    """Read one path as text, as the connectors do: strings without their quotes, the JSON of all else."""
    value = at(raw, path)
    return value.str.coalesce(value.cast("string").nullif("null"))


def lacks(raw: ir.Table, path: str) -> ir.BooleanValue:
    """Tell of each row whether its record has no such key at all; an empty value is there."""
    return at(raw, path).isnull()


def is_structure(raw: ir.Table, path: str) -> ir.BooleanValue:
    """Tell of each row whether an object or a list lies at a path."""
    value = at(raw, path)
    return value.notnull() & value.str.isnull() & value.cast("string").re_search(r"^\s*[\[{]")


def _readable(payload: ir.StringValue) -> ir.StringValue:
    """Put a question mark for each half of a surrogate pair, as the connectors do: no engine reads JSON that has one.

    Engines cannot look ahead, so what is whole is marked behind, and what is not gives way to the mark alone.
    """
    marked = payload.re_replace(rf"{_WHOLE}|{_HIGH}|{_LOW}", rf"\1{_MARK}")
    whole = marked.re_replace(f"{_WHOLE}{_MARK}", r"\1").replace(_MARK, "?")
    return (payload.contains(r"\ud") | payload.contains(r"\uD")).ifelse(whole, payload)
