"""What a target should hold, minus what it holds: field by field, by value and not by memory."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Rule:
    """Say how one field of the target is filled: its policy, and how near a number may stay."""

    field: str
    policy: str = "overwrite"
    tolerance: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """Hold what one record of the target should hold."""

    record_id: str
    customer_id: str
    values: Mapping[str, Any]


Row = dict[str, Any]


def changes(wanted: Sequence[Wanted], held: Mapping[str, Mapping[str, Any]], rules: Sequence[Rule]) -> Iterator[Row]:
    """Yield one row for each field that differs: `update` is to be written, `conflict` only listed.

    A record that the target does not hold any more is a conflict too. An empty wish changes nothing unless the policy
    is `overwrite`; then it is a blank, which a guard counts.
    """
    for want in sorted(wanted, key=lambda one: (one.record_id, one.customer_id)):
        if want.record_id not in held:
            yield _row(want, rules[0].field, "conflict", None, None, "the target holds no such record any more")
            continue
        for rule in rules:
            before, after = held[want.record_id].get(rule.field), want.values.get(rule.field)
            if not is_same(before, after, rule.tolerance):
                yield _row(want, rule.field, *_judged(rule, before, after))


def is_same(before: Any, after: Any, tolerance: float = 0.0) -> bool:
    """Compare as people do: 71.30 is 71.3, an empty text is nothing, a number within the tolerance is the same."""
    left, right = plain(before), plain(after)
    if left is None or right is None:
        return left is right
    numbers = _number(left), _number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) <= Decimal(str(tolerance))
    return str(left) == str(right)


def plain(value: Any) -> Any:
    """Give a value as it may be sent and kept: nothing for NaN and empty text, dates as ISO text, Decimals as numbers."""
    if value is None or value == "" or (isinstance(value, float) and not isfinite(value)):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _judged(rule: Rule, before: Any, after: Any) -> tuple[str, Any, Any, str]:
    old, new = plain(before), plain(after)
    if rule.policy == "fill_empty" and old is not None:
        return "conflict", old, new, "held already; the policy fills empty fields only"
    if rule.policy == "owner" and old is not None:
        return "conflict", old, new, "people own this field and filled it differently"
    if new is None:
        return "update", old, new, "to be emptied"
    return "update", old, new, "filled" if old is None else "changed"


def _row(want: Wanted, field: str, action: str, before: Any, after: Any, reason: str) -> Row:
    return {
        "record_id": want.record_id,
        "customer_id": want.customer_id,
        "field": field,
        "action": action,
        "before": None if before is None else json.dumps(before, ensure_ascii=False),
        "after": None if after is None else json.dumps(after, ensure_ascii=False),
        "reason": reason,
    }


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
