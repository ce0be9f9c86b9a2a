"""Reason codes as JSON text: a list of {code, text, points}, written by the engine."""

from collections.abc import Sequence

import ibis.expr.types as ir

from transforms.conform.expressions import as_text


def reason(code: ir.StringValue | str, text: ir.StringValue | str, points: ir.NumericValue) -> ir.StringValue:
    """Write one reason; the texts are ours, so they need no escaping. A missing number counts 0."""
    number = points.coalesce(0.0).round(2).cast("float64")
    return as_text('{"code":"') + code + '","text":"' + text + '","points":' + number.cast("string") + "}"


def listed(reasons: Sequence[ir.StringValue]) -> ir.StringValue:
    """Write a list of reasons."""
    joined = reasons[0]
    for item in reasons[1:]:
        joined = joined + "," + item
    return as_text("[") + joined + "]"


def whole(number: ir.NumericValue) -> ir.StringValue:
    """Write a number without decimals."""
    return number.round(0).cast("int64").cast("string").coalesce("no")
