"""What a target should hold, minus what it holds: field by field, by value and not by memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from transforms.delivery.value_equality import is_same, plain

Row = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """Say how one field of the target is filled.

    `policy`: overwrite, it is ours; fill_empty, only what is empty; owner, it belongs to `owner`, whose value is
    written wherever nobody has changed the target since both were the same. `on_conflict` says what happens where the
    policy does not decide: keep_target, keep_ours, newest, ask. A number nearer than `tolerance` is not rewritten,
    unless the field `along` is. Without `clears` an empty value says nothing, and what is held stays. `only_new` fields
    are given to records that are created, and never touched after.
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
    """Hold what one record of the target should hold; without a `record_id` it is to be created, once, by its `key`.

    `changed` tells when our values changed, by field, where it is known.
    """

    record_id: str | None
    customer_id: str
    values: Mapping[str, Any]
    key: str | None = None
    changed: Mapping[str, datetime | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CurrentRecord:
    """Hold what one record of the target holds now, and when anybody last changed it."""

    values: Mapping[str, Any]
    changed_at: datetime | None = None


@dataclass(frozen=True)
class SyncedValue:
    """Remember a value that both sides had: what was ours, and the form in which the target keeps it."""

    ours: Any
    held: Any


@dataclass(frozen=True)
class Decided:
    """Remember what a person decided about a value that we want; where `held` is given, only against that value."""

    wanted: Any
    verdict: str
    by: str
    held: Any = None

    def is_about(self, held: Any, wanted: Any) -> bool:
        """Tell whether the decision still is about what is held and wanted now."""
        return is_same(self.wanted, wanted) and (plain(self.held) is None or is_same(self.held, held))


@dataclass(frozen=True)
class SyncHistory:
    """Hold what is known of earlier nights, by record and field."""

    agreed: Mapping[tuple[str, str], SyncedValue] = field(default_factory=dict)
    decided: Mapping[tuple[str, str], Sequence[Decided]] = field(default_factory=dict)


def changes(
    wanted: Iterable[Wanted], held: Mapping[str, CurrentRecord], rules: Sequence[Rule], past: SyncHistory | None = None
) -> Iterator[Row]:
    """List what must change so that each record holds what it should, and what stands against it.

    Every row is a field with `action` update or create, or conflict: listed, not written. `before` and `after` are
    JSON. A record that the target does not hold any more is a conflict as a whole. Nothing is listed twice, and the
    order does not depend on the order of arrival.
    """
    known = past or SyncHistory()
    in_turn = sorted(rules, key=lambda one: one.along is not None)
    for want in sorted(wanted, key=lambda one: (one.record_id or "", one.key or "")):
        if want.record_id is None:
            yield from _created(want, rules)
        elif want.record_id not in held:
            yield _row(want, Rule("*"), "conflict", None, None, "the target holds no such record any more")
        else:
            yield from _changed(want, held[want.record_id], in_turn, known)


def agreements(
    wanted: Iterable[Wanted], held: Mapping[str, CurrentRecord], rules: Sequence[Rule], past: SyncHistory
) -> Iterator[tuple[str, str, SyncedValue]]:
    """List where both sides are the same now, of the fields that have an owner, unless it is known already."""
    owned = [rule for rule in rules if rule.policy == "owner"]
    for want in wanted:
        there = held.get(want.record_id or "")
        for rule in owned if there else ():
            ours, theirs = (plain(side.get(rule.field)) for side in (want.values, there.values))  # type: ignore[union-attr]
            last = past.agreed.get((str(want.record_id), rule.field))
            if ours is not None and is_same(theirs, ours) and not (last and is_same(last.ours, ours)):
                yield str(want.record_id), rule.field, SyncedValue(ours, theirs)


def _created(want: Wanted, rules: Sequence[Rule]) -> Iterator[Row]:
    for rule in rules:
        if (value := plain(want.values.get(rule.field))) is not None:
            yield _row(want, rule, "create", None, value, "the target has no such record")


def _changed(want: Wanted, holding: CurrentRecord, rules: Sequence[Rule], past: SyncHistory) -> Iterator[Row]:
    """Judge field by field; those that others go along with come first."""
    moved: set[str] = set()
    for rule in rules:
        exact = replace(rule, tolerance=0.0) if rule.along in moved else rule
        row = _judged(want, holding, exact, past)
        if row:
            if row["action"] == "update":
                moved.add(rule.field)
            yield row


def _judged(want: Wanted, holding: CurrentRecord, rule: Rule, past: SyncHistory) -> Row | None:
    old, new = plain(holding.values.get(rule.field)), plain(want.values.get(rule.field))
    place = (str(want.record_id), rule.field)
    if rule.only_new or (new is None and not rule.clears) or is_same(old, new, rule.tolerance):
        return None
    agreed = past.agreed.get(place)
    if agreed and is_same(agreed.ours, new, rule.tolerance) and is_same(agreed.held, old):
        return None  # the target keeps our value in a form of its own
    for decision in past.decided.get(place, ()):
        if decision.is_about(old, new):
            is_ours = decision.verdict == "keep_ours"
            return _row(want, rule, "update", old, new, f"decided by {decision.by}") if is_ours else None
    if reason := _by_policy(rule, old, new, agreed):
        return _row(want, rule, "update", old, new, reason)
    return _in_conflict(want, holding, rule, old, new)


def _by_policy(rule: Rule, old: Any, new: Any, agreed: SyncedValue | None) -> str | None:
    """Say why the policy lets us write; nothing where it does not."""
    is_touched = bool(agreed) and not is_same(agreed.held, old)  # type: ignore[union-attr]
    if rule.policy == "overwrite" or (old is None and not (rule.policy == "owner" and is_touched)):
        return "to be emptied" if new is None else "filled" if old is None else "changed"
    if rule.policy == "owner" and agreed and not is_touched:
        return f"changed by its owner{f' {rule.owner}' if rule.owner else ''}"
    return None


def _in_conflict(want: Wanted, holding: CurrentRecord, rule: Rule, old: Any, new: Any) -> Row:
    """Resolve as configured; what stays open is listed."""
    why = {
        "fill_empty": "held already; the policy fills empty fields only",
        "owner": "somebody filled it differently at the target",
    }.get(rule.policy, "held differently")
    ours, theirs = want.changed.get(rule.field), holding.changed_at
    if rule.on_conflict == "keep_ours":
        return _row(want, rule, "update", old, new, f"{why}; ours is kept")
    if rule.on_conflict == "newest" and ours and theirs:
        if ours > theirs:
            return _row(want, rule, "update", old, new, f"{why}; ours is newer")
        return _row(want, rule, "conflict", old, new, f"{why}; the target's is newer and stays")
    if rule.on_conflict == "keep_target":
        return _row(want, rule, "conflict", old, new, f"{why}; the target's stays")
    return _row(want, rule, "ask", old, new, f"{why}; a person has to decide")


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
    """Write a value as the plan and the audit log keep it; nothing for nothing."""
    given = plain(value)
    return None if given is None else msgspec.json.encode(given).decode()


def from_json(text: str | None) -> Any:
    """Read a value that `as_json` wrote."""
    return None if text is None else msgspec.json.decode(text)
