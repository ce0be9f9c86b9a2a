"""The difference between the desired and the current state of a target, field by field.

Values are compared with what the target holds now, never with what was sent earlier.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from transforms.delivery.value_equality import is_same, plain

Row = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """How one field of the target is written.

    `policy`: overwrite always writes; fill_empty writes empty fields only; owner writes the value of `owner` unless
    somebody changed the target since both sides were equal. `on_conflict` applies where the policy does not decide:
    keep_target, keep_ours, newest or ask. A number that differs by at most `tolerance` is not rewritten, unless the
    field `along` changes too. Without `clears`, an empty value leaves the target's value alone. `only_new` fields are
    set when a record is created and never changed afterwards.
    """

    field: str
    policy: str = "overwrite"
    on_conflict: str = "keep_target"
    tolerance: float = 0.0
    along: str | None = None
    clears: bool = False
    owner: str | None = None
    only_new: bool = False


@dataclass(frozen=True)
class Wanted:
    """The desired state of one record; without a `record_id` it is created once, identified by its `key`.

    `changed` has the time of the last change of our value, by field, where it is known.
    """

    record_id: str | None
    customer_id: str
    values: Mapping[str, Any]
    key: str | None = None
    changed: Mapping[str, datetime | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CurrentRecord:
    """The current state of one record of the target, and the time of its last change."""

    values: Mapping[str, Any]
    changed_at: datetime | None = None


@dataclass(frozen=True)
class SyncedValue:
    """A value that both sides had at the same time: as we sent it, and as the target stores it."""

    ours: Any
    target_value: Any


@dataclass(frozen=True)
class Decision:
    """A person's decision about a value that we want; with a `target_value` it holds against that value only."""

    wanted: Any
    verdict: str
    by: str
    target_value: Any = None

    def is_about(self, current: Any, wanted: Any) -> bool:
        """Return whether the decision applies to the current and the wanted value."""
        is_any = plain(self.target_value) is None
        return is_same(self.wanted, wanted) and (is_any or is_same(self.target_value, current))


@dataclass(frozen=True)
class SyncHistory:
    """Synced values and decisions of earlier runs, by record id and field."""

    agreed: Mapping[tuple[str, str], SyncedValue] = field(default_factory=dict)
    decided: Mapping[tuple[str, str], Sequence[Decision]] = field(default_factory=dict)


def changes(
    wanted: Iterable[Wanted],
    current: Mapping[str, CurrentRecord],
    rules: Sequence[Rule],
    past: SyncHistory | None = None,
) -> Iterator[Row]:
    """Yield the changes that bring each record to its desired state, and the conflicts.

    Each row is one field of one record. `action` is update or create, or conflict or ask, which are listed but not
    written. `before` and `after` are JSON. A record that no longer exists in the target is one conflict as a whole.
    Each change appears once, and the order of the rows does not depend on the order of the input.
    """
    history = past or SyncHistory()
    ordered_rules = sorted(rules, key=lambda rule: rule.along is not None)
    for want in sorted(wanted, key=lambda want: (want.record_id or "", want.key or "")):
        if want.record_id is None:
            yield from _created(want, rules)
        elif want.record_id not in current:
            yield _row(want, Rule("*"), "conflict", None, None, "the record no longer exists in the target")
        else:
            yield from _changed(want, current[want.record_id], ordered_rules, history)


def agreements(
    wanted: Iterable[Wanted], current: Mapping[str, CurrentRecord], rules: Sequence[Rule], past: SyncHistory
) -> Iterator[tuple[str, str, SyncedValue]]:
    """Yield the fields with policy owner whose values are equal on both sides now, unless that is stored already."""
    owned = [rule for rule in rules if rule.policy == "owner"]
    for want in wanted:
        record = current.get(want.record_id or "")
        if record is None:
            continue
        for rule in owned:
            ours, theirs = (plain(side.get(rule.field)) for side in (want.values, record.values))
            last = past.agreed.get((str(want.record_id), rule.field))
            if ours is not None and is_same(theirs, ours) and not (last and is_same(last.ours, ours)):
                yield str(want.record_id), rule.field, SyncedValue(ours, theirs)


def _created(want: Wanted, rules: Sequence[Rule]) -> Iterator[Row]:
    for rule in rules:
        if (value := plain(want.values.get(rule.field))) is not None:
            yield _row(want, rule, "create", None, value, "the target has no such record yet")


def _changed(want: Wanted, current: CurrentRecord, rules: Sequence[Rule], past: SyncHistory) -> Iterator[Row]:
    """Compare field by field; a field that others follow (`along`) comes before them."""
    updated: set[str] = set()
    for rule in rules:
        exact = replace(rule, tolerance=0.0) if rule.along in updated else rule
        row = _field_change(want, current, exact, past)
        if row:
            if row["action"] == "update":
                updated.add(rule.field)
            yield row


def _field_change(want: Wanted, current: CurrentRecord, rule: Rule, past: SyncHistory) -> Row | None:
    old, new = plain(current.values.get(rule.field)), plain(want.values.get(rule.field))
    record_field = (str(want.record_id), rule.field)
    if rule.only_new or (new is None and not rule.clears) or is_same(old, new, rule.tolerance):
        return None
    agreed = past.agreed.get(record_field)
    if agreed and is_same(agreed.ours, new, rule.tolerance) and is_same(agreed.target_value, old):
        return None  # the target stores our value in its own form (a phone number, for one)
    for decision in past.decided.get(record_field, ()):
        if decision.is_about(old, new):
            is_ours = decision.verdict == "keep_ours"
            return _row(want, rule, "update", old, new, f"decided by {decision.by}") if is_ours else None
    if reason := _by_policy(rule, old, new, agreed):
        return _row(want, rule, "update", old, new, reason)
    return _in_conflict(want, current, rule, old, new)


def _by_policy(rule: Rule, old: Any, new: Any, agreed: SyncedValue | None) -> str | None:
    """Return the reason why the policy allows the write, or None."""
    is_touched = agreed is not None and not is_same(agreed.target_value, old)
    if rule.policy == "overwrite" or (old is None and not (rule.policy == "owner" and is_touched)):
        return "emptied" if new is None else "filled" if old is None else "changed"
    if rule.policy == "owner" and agreed and not is_touched:
        return f"changed by its owner{f' {rule.owner}' if rule.owner else ''}"
    return None


def _in_conflict(want: Wanted, current: CurrentRecord, rule: Rule, old: Any, new: Any) -> Row:
    """Resolve a conflict by `on_conflict`; what stays open is listed."""
    reason = {
        "fill_empty": "the field is not empty, and policy fill_empty writes empty fields only",
        "owner": "somebody set another value in the target",
    }.get(rule.policy, "the target has another value")
    ours, theirs = want.changed.get(rule.field), current.changed_at
    if rule.on_conflict == "keep_ours":
        return _row(want, rule, "update", old, new, f"{reason}; our value wins")
    if rule.on_conflict == "newest" and ours and theirs:
        if ours > theirs:
            return _row(want, rule, "update", old, new, f"{reason}; our value is newer")
        return _row(want, rule, "conflict", old, new, f"{reason}; the target's value is newer and stays")
    if rule.on_conflict == "keep_target":
        return _row(want, rule, "conflict", old, new, f"{reason}; the target's value stays")
    return _row(want, rule, "ask", old, new, f"{reason}; decide with: belvedere conflicts decide")


def _row(want: Wanted, rule: Rule, action: str, before: Any, after: Any, reason: str) -> Row:
    return {
        "record_id": want.record_id,
        "customer_id": want.customer_id,
        "key": want.key,
        "field": rule.field,
        "action": action,
        "before": as_json(before),
        "after": as_json(after),
        "policy": rule.policy,
        "owner": rule.owner,
        "reason": reason,
    }


def as_json(value: Any) -> str | None:
    """Return a value as JSON, the form of the plan and the audit log; None for an empty value."""
    plain_value = plain(value)
    return None if plain_value is None else msgspec.json.encode(plain_value).decode()


def from_json(text: str | None) -> Any:
    """Return the value that `as_json` wrote."""
    return None if text is None else msgspec.json.decode(text)
