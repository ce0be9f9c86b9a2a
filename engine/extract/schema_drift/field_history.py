"""What is known of a stream's fields, brought up to date by a look at them: what is new, gone or retyped.

Compared is with the shape that was accepted last, not with that of the last run: what is open stays open, whatever
becomes of the run that noticed it first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from connectors.kit.base import SourceField
from engine.extract.schema_drift.json_fields import FieldObservation
from engine.storage.source_fields import FieldRecord

ALWAYS = 0.99  # a field that fewer of the records had may be missing in some
GONE_AFTER = 5  # records in a row without a field that nearly every one had before


@dataclass(frozen=True)
class Drift:
    """Name the fields of a stream that are not as they were accepted."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.retyped)

    def __str__(self) -> str:
        parts = (("new", self.new), ("gone", self.gone), ("retyped", self.retyped))
        return "; ".join(f"{word}: {', '.join(fields)}" for word, fields in parts if fields)


def drift(seen: Sequence[FieldRecord]) -> Drift:
    """Gather the open changes; of a retyped field, both types."""
    named = {change: [one for one in seen if one.change == change] for change in ("new", "gone", "retyped")}
    new, gone = (tuple(one.path for one in named[change]) for change in ("new", "gone"))
    return Drift(new, gone, tuple(f"{one.path} ({one.retyped_from} to {one.type})" for one in named["retyped"]))


def renewed(
    held: Sequence[FieldRecord], look: FieldObservation, connection: str, stream: str, is_used: Callable[[str], bool]
) -> list[FieldRecord]:
    """Bring sightings up to date; the first look at a stream is its accepted shape, and so is what is used."""
    known = {one.path: one for one in held}
    met = [
        _met(known[path], field, look, is_used(path))
        if path in known
        else _first(field, look, connection, stream, is_used(path) or not held)
        for path, field in look.fields.items()
    ]
    return [*met, *_missed([one for path, one in known.items() if path not in look.fields], look)]


def _first(field: SourceField, look: FieldObservation, connection: str, stream: str, is_accepted: bool) -> FieldRecord:
    about = (connection, stream, field.path, field.type[:50], field.label, field.is_custom, look.at, look.at)
    counts = (look.counts.get(field.path, 0), look.rows or 0)
    return FieldRecord(*about, change=None if is_accepted else "new", seen_in=counts[0], seen_of=counts[1])


def _met(one: FieldRecord, field: SourceField, look: FieldObservation, is_used: bool) -> FieldRecord:
    now = replace(
        one,
        label=field.label or one.label,
        is_custom=field.is_custom or one.is_custom,
        last_seen_at=look.at,
        seen_in=one.seen_in + look.counts.get(field.path, 0),
        seen_of=one.seen_of + one.missed + (look.rows or 0),
        missed=0,
        missed_at=None,
    )
    if one.is_gone:
        now = replace(now, is_gone=False, back_at=look.at, change=None if one.change == "gone" or is_used else "new")
        now = now if one.change == "gone" else replace(now, gone_at=None, back_at=None)
    if now.change == "new":
        now = replace(now, change=None if is_used else "new", type=field.type[:50] or now.type)
    return _typed(now, field.type[:50], is_by_records=look.rows is not None)


def _typed(one: FieldRecord, kind: str, *, is_by_records: bool) -> FieldRecord:
    """Compare the type with the accepted one; records that hold several kinds at once may hold any of them."""
    before = one.retyped_from or one.type
    if kind in ("", before) or not before or (is_by_records and before == "mixed"):
        change = None if one.change == "retyped" else one.change
        return replace(one, type=before or kind, retyped_from=None, change=change)
    if one.change == "new":
        return replace(one, type=kind)
    return replace(one, type=kind, retyped_from=before, change="retyped")


def _missed(missed: Sequence[FieldRecord], look: FieldObservation) -> Iterator[FieldRecord]:
    """Say what is gone; what went before anybody accepted it is forgotten."""
    for one in missed:
        now = _without(one, look)
        if one.is_gone:
            yield one
        elif look.rows is not None and not _is_gone(now):
            yield now
        elif one.change != "new":
            since = one.gone_at or now.missed_at or look.at
            yield replace(one, is_gone=True, gone_at=since, back_at=None, change="gone", missed=0, missed_at=None)


def _without(one: FieldRecord, look: FieldObservation) -> FieldRecord:
    """Add a look's records to those that have come without a field since it was seen last."""
    return replace(one, missed=one.missed + look.rows, missed_at=one.missed_at or look.at) if look.rows else one


def _is_gone(one: FieldRecord) -> bool:
    """Judge by records: nearly every one had the field, and the last ones, of one night or of many, have not.

    What is missed counts as such until the field is seen again: a field that vanishes slowly is not one that records
    may lack.
    """
    return one.seen_in > ALWAYS * one.seen_of and one.missed >= GONE_AFTER
