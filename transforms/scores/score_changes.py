"""Why a score is another one than on an earlier day: by reason, by hand, or because the model changed."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import as_text, once

KEY = ("customer_id", "score")
LABELS = {
    "BASE": "Average of this portfolio",
    "PATTERN": "How often it orders",
    "SILENCE": "Time since the last order",
    "CSAT": "Ratings",
    "NPS": "Recommendation (NPS)",
    "CES": "Effort (CES)",
    "SLA_FIRST": "First replies in time",
    "SLA_RESOLUTION": "Tickets solved in time",
    "REOPEN": "Tickets reopened",
    "BACKLOG": "Open tickets beyond their target",
}
LEAST = 0.005  # points that are worth a word


def parts_of(reasons: ir.StringValue) -> ir.StringValue:
    """Boil a list of reasons down to {code: points}; a list that only says NO_DATA has no parts."""
    bare = reasons.re_replace('","text":"[^"]*","points":', '":')
    for old, new in (('{"code":', ""), ("}", ""), ("[", "{"), ("]", "}")):
        bare = bare.replace(old, new)
    return ibis.ifelse(reasons.contains('"NO_DATA"'), ibis.null("string"), bare)


def with_changes(today: ir.Table, compared: ir.Table, labels: Mapping[str, str], most: int) -> ir.Table:
    """Put the day compared with beside a day's scores: its band, the change, and what the change is made of.

    The parts, `most` at the most, are compared code by code. What is left is the model's where it is another version,
    else rounding. Where not even the codes are the same, all of it is the model's.
    """
    columns = ("as_of", "band", "value", "value_effective", "model_version", "parts")
    old = compared.select(*KEY, **{f"then_{name}": compared[name] for name in columns})
    t = today.left_join(old, KEY).select(*today.columns, *(f"then_{name}" for name in columns))
    delta = (t.value_effective - t.then_value_effective).round(4)
    t = t.mutate(delta=delta, forced=(_by_hand(t, "") - _by_hand(t, "then_")).round(4))
    t = once(t, **_split(t))
    t = once(t, **{f"move_{index}": _move(t, index) for index in range(most)})
    moved = sum((t[f"move_{index}"] for index in range(most)), ibis.literal(0.0))
    t = t.mutate(rest=(t.delta - t.forced - moved).round(4))
    return t.select(
        *today.columns,
        "delta",
        compared_on=t.then_as_of,
        band_before=t.then_band,
        changes=ibis.ifelse(t.delta.isnull(), None, _listed(t, labels, most)),
    )


def _by_hand(t: ir.Table, when: str) -> ir.NumericValue:
    """Tell how much of the value that counts is an override's."""
    return (t[f"{when}value_effective"] - t[f"{when}value"]).coalesce(0.0)


def _split(t: ir.Table) -> dict[str, ir.Value]:
    """Cut the parts of both days into lists; empty ones where the codes are not the same."""
    same = (_codes(t.parts) == _codes(t.then_parts)).coalesce(False)
    return {
        name: ibis.ifelse(same, parts.replace("}", "").substr(1), "").split(",")
        for name, parts in (("now_list", t.parts), ("then_list", t.then_parts))
    }


def _codes(parts: ir.StringValue) -> ir.StringValue:
    return parts.re_replace(":[^,}]*", "")


def _move(t: ir.Table, index: int) -> ir.NumericValue:
    return (_points(t.now_list[index]) - _points(t.then_list[index])).round(4).coalesce(0.0)


def _points(part: ir.StringValue) -> ir.NumericValue:
    return part.split(":")[1].nullif("").cast("float64")


def _listed(t: ir.Table, labels: Mapping[str, str], most: int) -> ir.StringValue:
    """Write what counts as JSON, in the order of the parts."""
    items = as_text("")
    for index in range(most):
        points, code = t[f"move_{index}"], t.now_list[index].split('"')[1]
        items = items + ibis.ifelse(points.abs() >= LEAST, _item(code, _label(code, labels), points), "")
    items = items + ibis.ifelse(
        t.forced.abs() >= LEAST, _item(as_text("OVERRIDE"), as_text("Set by hand"), t.forced), ""
    )
    is_new = (t.model_version != t.then_model_version).coalesce(False)
    model = as_text("The model changed (") + t.then_model_version + " to " + t.model_version + ")"
    rounding = as_text("Rounding, and changes that affect all customers")
    items = items + ibis.cases(
        (is_new, _item(as_text("MODEL"), model, t.rest)),
        (t.rest.abs() >= LEAST, _item(as_text("ROUNDING"), rounding, t.rest)),
        else_="",
    )
    return as_text("[") + items.substr(1) + "]"


def _item(code: ir.StringValue, text: ir.StringValue, points: ir.NumericValue) -> ir.StringValue:
    number = points.cast("decimal(18, 4)").cast("string")
    return as_text(',{"code":"') + code + '","text":"' + text + '","points":' + number + "}"


def _label(code: ir.StringValue, labels: Mapping[str, str]) -> ir.StringValue:
    words = code.lower().replace("_", " ")
    return ibis.cases(*((code == name, label) for name, label in labels.items()), else_=words) if labels else words
