"""Keeps the history of a stream's fields: which are new, gone or retyped.

They are compared with the shape that was accepted last, not with that of the last run: a change stays reported until it
is accepted, whatever becomes of the run that noticed it first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from connectors.kit.base import SourceField
from engine.extract.schema_drift.json_fields import FieldObservation
from engine.storage.stores.source_fields import FieldRecord

ALWAYS = 0.99  # share of the records: a field that fewer of them had may be missing in some
GONE_AFTER = 5  # records in a row without a field that nearly every one had before


@dataclass(frozen=True)
class Drift:
    """The fields of a stream that differ from what was accepted."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.retyped)

    def __str__(self) -> str:
        parts = (("new", self.new), ("gone", self.gone), ("retyped", self.retyped))
        return "; ".join(f"{word}: {', '.join(fields)}" for word, fields in parts if fields)


def drift(records: Sequence[FieldRecord]) -> Drift:
    """Return the changes that are not accepted yet; for a retyped field with both types."""
    named = {change: [record for record in records if record.change == change] for change in ("new", "gone", "retyped")}
    new, vanished = (tuple(record.path for record in named[change]) for change in ("new", "gone"))
    return Drift(
        new, vanished, tuple(f"{record.path} ({record.retyped_from} to {record.type})" for record in named["retyped"])
    )


def renewed(
    records: Sequence[FieldRecord], look: FieldObservation, connection: str, stream: str, is_used: Callable[[str], bool]
) -> list[FieldRecord]:
    """Return the records of a stream's fields after an observation.

    The first observation of a stream is accepted as it is, and so are later fields that the project uses.
    """
    by_path = {record.path: record for record in records}
    met = [
        _met(by_path[path], field, look, is_used(path))
        if path in by_path
        else _first(field, look, connection, stream, is_used(path) or not records)
        for path, field in look.fields.items()
    ]
    return [*met, *_missed([record for path, record in by_path.items() if path not in look.fields], look)]


def _first(field: SourceField, look: FieldObservation, connection: str, stream: str, is_accepted: bool) -> FieldRecord:
    about = (connection, stream, field.path, field.type[:50], field.label, field.is_custom, look.at, look.at)
    counts = (look.counts.get(field.path, 0), look.rows or 0)
    return FieldRecord(*about, change=None if is_accepted else "new", seen_in=counts[0], seen_of=counts[1])


def _met(record: FieldRecord, field: SourceField, look: FieldObservation, is_used: bool) -> FieldRecord:
    now = replace(
        record,
        label=field.label or record.label,
        is_custom=field.is_custom or record.is_custom,
        last_seen_at=look.at,
        seen_in=record.seen_in + look.counts.get(field.path, 0),
        seen_of=record.seen_of + record.missed + (look.rows or 0),
        missed=0,
        missed_at=None,
    )
    if record.is_gone:
        now = replace(now, is_gone=False, back_at=look.at, change=None if record.change == "gone" or is_used else "new")
        now = now if record.change == "gone" else replace(now, gone_at=None, back_at=None)
    if now.change == "new":
        now = replace(now, change=None if is_used else "new", type=field.type[:50] or now.type)
    return _typed(now, field.type[:50], is_by_records=look.rows is not None)


def _typed(record: FieldRecord, kind: str, *, is_by_records: bool) -> FieldRecord:
    """Compare the type with the accepted one; a field that is `mixed` in the records may hold any kind."""
    before = record.retyped_from or record.type
    if kind in ("", before) or not before or (is_by_records and before == "mixed"):
        change = None if record.change == "retyped" else record.change
        return replace(record, type=before or kind, retyped_from=None, change=change)
    if record.change == "new":
        return replace(record, type=kind)
    return replace(record, type=kind, retyped_from=before, change="retyped")


def _missed(missed: Sequence[FieldRecord], look: FieldObservation) -> Iterator[FieldRecord]:
    """Mark fields that are gone; one that vanished before it was accepted is dropped."""
    for record in missed:
        now = _without(record, look)
        if record.is_gone:
            yield record
        elif look.rows is not None and not _is_gone(now):
            yield now
        elif record.change != "new":
            since = record.gone_at or now.missed_at or look.at
            yield replace(record, is_gone=True, gone_at=since, back_at=None, change="gone", missed=0, missed_at=None)


def _without(record: FieldRecord, look: FieldObservation) -> FieldRecord:
    """Add the observed records to those that came without the field since it was last there."""
    return (
        replace(record, missed=record.missed + look.rows, missed_at=record.missed_at or look.at)
        if look.rows
        else record
    )


def _is_gone(record: FieldRecord) -> bool:
    """Return whether nearly every record had the field, and the last ones, of one night or of many, had not.

    Records without it count as missed until it comes again, so that a field that vanishes slowly is noticed.
    """
    return record.seen_in > ALWAYS * record.seen_of and record.missed >= GONE_AFTER
