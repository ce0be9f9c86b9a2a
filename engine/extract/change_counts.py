"""What a run brought: how many records are new, changed, unchanged or deleted, by what feeds our fields."""

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from engine.extract.stored_stream import StoredStream, newest
from engine.storage.manifest import Written
from schemas.mapping import paths

if TYPE_CHECKING:
    import ibis.expr.types as ir

APART, NOTHING = "\x1f", "\x1e"


def news(held: StoredStream, landed: Sequence[Written]) -> tuple[int, int, int, int]:
    """Count new, changed, unchanged and deleted records among those that landed, stamps apart."""
    if not landed:
        return 0, 0, 0, 0
    if not held.before:
        return held.count_alive_in(landed), 0, 0, 0
    import ibis

    touched = held.read(landed).select("_key").filter(ibis._._key.notnull()).distinct()
    old, now = (_signed(held, files, touched) for files in (held.before, held.files_now()))
    both = now.left_join(old, "_key")
    is_gone, was_there = both._deleted, ibis.coalesce(~both._deleted_right, False)
    counts = both.agg(
        new=(~is_gone & ~was_there).sum(),
        changed=(~is_gone & was_there & (both.sign != both.sign_right)).sum(),
        unchanged=(~is_gone & was_there & (both.sign == both.sign_right)).sum(),
        deleted=(is_gone & was_there).sum(),
    )
    row = counts.to_pyarrow().to_pylist()[0]
    return row["new"] or 0, row["changed"] or 0, row["unchanged"] or 0, row["deleted"] or 0


def _signed(held: StoredStream, files: Sequence[Written], touched: "ir.Table") -> "ir.Table":
    rows = newest(held.read(files).semi_join(touched, "_key"))
    fields = [path for path in paths(held.stream.fields) if path in rows.columns and path != held.stream.cursor]
    values = [rows[path].fill_null(NOTHING) for path in fields] or [rows._key]
    return rows.select("_key", "_deleted", sign=reduce(lambda left, right: left + APART + right, values))
