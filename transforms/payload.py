"""Single paths of the records as the source sent them, read by the engine."""

import ibis.expr.types as ir


def at(raw: ir.Table, path: str) -> ir.JSONValue:
    """Give the JSON at a dotted path of the payload; null where the record has no such key."""
    value = raw._payload.try_cast("json")
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
