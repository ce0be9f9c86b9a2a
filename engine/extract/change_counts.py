"""How many records a run found new, changed, unchanged or deleted, judged by the fields that are mapped."""

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from engine.extract.stored_stream import StoredStream, newest
from engine.storage.manifest import Written
from schemas.mapping import paths

if TYPE_CHECKING:
    import ibis.expr.types as ir

SEPARATOR, NULL = "\x1f", "\x1e"  # control characters that no field of a source contains


def count_changes(stored: StoredStream, landed: Sequence[Written]) -> tuple[int, int, int, int]:
    """Count the new, changed, unchanged and deleted records among those in the files that landed.

    A record whose cursor alone moved is unchanged.
    """
    if not landed:
        return 0, 0, 0, 0
    if not stored.before:
        return stored.count_alive_in(landed), 0, 0, 0
    import ibis

    touched = stored.read(landed).select("_key").filter(ibis._._key.notnull()).distinct()
    old, now = (_with_signature(stored, files, touched) for files in (stored.before, stored.files_now()))
    both = now.left_join(old, "_key")
    is_deleted, was_alive = both._deleted, ibis.coalesce(~both._deleted_right, False)
    counts = both.agg(
        new=(~is_deleted & ~was_alive).sum(),
        changed=(~is_deleted & was_alive & (both.signature != both.signature_right)).sum(),
        unchanged=(~is_deleted & was_alive & (both.signature == both.signature_right)).sum(),
        deleted=(is_deleted & was_alive).sum(),
    )
    row = counts.to_pyarrow().to_pylist()[0]
    return row["new"] or 0, row["changed"] or 0, row["unchanged"] or 0, row["deleted"] or 0


def _with_signature(stored: StoredStream, files: Sequence[Written], touched: "ir.Table") -> "ir.Table":
    """Return the counting row of each touched record, its mapped fields joined to one text."""
    rows = newest(stored.read(files).semi_join(touched, "_key"))
    fields = [path for path in paths(stored.stream.fields) if path in rows.columns and path != stored.stream.cursor]
    values = [rows[path].fill_null(NULL) for path in fields] or [rows._key]
    return rows.select("_key", "_deleted", signature=reduce(lambda left, right: left + SEPARATOR + right, values))
