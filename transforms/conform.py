"""From raw rows to the columns of a table: the newest version of each record, typed, in our words."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from schemas.find import model
from schemas.mapping import Constant, Field, FieldMap, entries
from transforms.first import first
from transforms.reading import kind, read
from transforms.tidy import tidy

_GIVEN = ("connection", "stream")
_TRUTHS = ("true", "false", "t", "f", "yes", "no", "y", "n", "1", "0")


def latest(raw: ir.Table) -> ir.Table:
    """Keep the newest version of each record, by cursor, then by the time of extraction, then by payload.

    A record whose newest version is a tombstone is left out. Rows without a key cannot be told apart
    by it: each of their distinct payloads stays, for the rules to refuse.
    """
    return _newest(raw).filter(lambda table: ~table._deleted)


def deleted(raw: ir.Table) -> ir.Table:
    """List the records whose newest version is a tombstone."""
    return _newest(raw).filter(lambda table: table._deleted)


def conform(
    raw: ir.Table,
    *,
    connection: str,
    stream: str,
    table: str,
    fields: FieldMap,
    nulls: Iterable[str] = ("",),
    sparse: Collection[str] | None = None,
) -> ir.Table:
    """Read every column of `table` from the rows of `latest(raw)`, as the field map says.

    Adds `_record_id`, `_cursor`, `_payload` and `_unreadable`: each text that could not be read as its column's
    type ("amount: not a decimal"), and each text that holds a NUL; null where all is well. Text is
    trimmed, empty text is null, and so are the words in `nulls` unless the field map translates them
    or the column is a yes or no. Columns that the map leaves out are null, the id column is the key.
    A path without a value in its column is looked up in the payload, because an older file may lack
    the column; `sparse` limits that to the paths that some file does lack, which saves the parsing.
    """
    types = _types(table)
    _refuse_unknown(fields, types, table)
    source = _Source(raw, tuple({"", *nulls}), sparse)
    id_column = str(model(table).to_schema().unique[-1])
    texts = {name: source.texts(fields, name, dtype) for name, dtype in types.items() if name not in _GIVEN}
    if not texts[id_column]:
        texts[id_column] = [(raw._key, Field(""))]
    typed = raw.select(
        connection=ibis.literal(connection),
        stream=ibis.literal(stream),
        **{name: _first(read_from, types[name]) for name, read_from in texts.items()},
        _payload=raw._payload,
        _record_id=raw._key,
        _cursor=raw._cursor,
        _unreadable=_unreadable(texts, types),
    )
    return tidy(typed, table)


class _Source:
    """Find the texts of one stream's records."""

    def __init__(self, raw: ir.Table, nulls: tuple[str, ...], sparse: Collection[str] | None) -> None:
        self.raw = raw
        self.nulls = nulls
        self.sparse = sparse

    def texts(self, fields: FieldMap, column: str, dtype: dt.DataType) -> list[tuple[ir.StringValue, Field]]:
        """List the texts that may fill a column, in order, each with its entry of the map."""
        if column not in fields:
            return []
        return [self._text(entry, dtype) for entry in entries(fields[column])]

    def _text(self, entry: Field | Constant, dtype: dt.DataType) -> tuple[ir.StringValue, Field]:
        if isinstance(entry, Constant):
            return ibis.literal(entry.value), Field("")
        text = self._at(entry.path).strip()
        nulls = [word for word in self.nulls if not (dtype.is_boolean() and word.lower() in _TRUTHS)]
        known = text.isin(nulls).ifelse(ibis.null("string"), text)
        if entry.values is None:
            return known, entry
        otherwise = ibis.null("string") if entry.otherwise is None else ibis.literal(entry.otherwise)
        words = [(text == word, ibis.literal(ours)) for word, ours in entry.values.items()]
        return ibis.cases(*words, (known.notnull(), otherwise), else_=ibis.null("string")), entry

    def _at(self, path: str) -> ir.StringValue:
        if path not in self.raw.columns:
            return _from_payload(self.raw, path)
        text = self.raw[path].cast("string")
        if self.sparse is None or path in self.sparse:
            return ibis.coalesce(text, _from_payload(self.raw, path))
        return text


def _newest(raw: ir.Table) -> ir.Table:
    """Number the versions of each record and keep the first.

    A tombstone without a cursor stands at the time it was noticed; if the record was seen alive by a
    later extraction, the tombstone was a mistake.
    """
    same = {"_group": raw._key, "_keyless": raw._key.isnull().ifelse(raw._payload, ibis.null("string"))}
    is_deleted = ibis.coalesce(raw._deleted, False)
    seen = raw.mutate(**same, _deleted=is_deleted, _stamp=ibis.coalesce(raw._cursor, raw._extracted_at))
    alive = seen._extracted_at.max(where=~seen._deleted).over(group_by=["_group", "_keyless"])
    mistaken = ibis.coalesce(seen._deleted & seen._cursor.isnull() & (seen._extracted_at < alive), False)
    order = [ibis.desc(column) for column in ("_stamp", "_extracted_at", "_deleted", "_payload")]
    undoubted = seen.mutate(_mistaken=mistaken).filter(lambda table: ~table._mistaken)
    return first(undoubted, ["_group", "_keyless"], order).select(raw.columns)


def _types(table: str) -> dict[str, dt.DataType]:
    columns = model(table).to_schema().columns
    return {str(name): column.dtype.type for name, column in columns.items()}


def _refuse_unknown(fields: FieldMap, types: dict[str, dt.DataType], table: str) -> None:
    for name in fields:
        if name not in types or name in _GIVEN:
            near = get_close_matches(name, types, n=3) or sorted(set(types) - set(_GIVEN))
            raise ValueError(f"{table} has no column {name!r} to map; choices: {', '.join(near)}")


def _first(texts: list[tuple[ir.StringValue, Field]], dtype: dt.DataType) -> ir.Value:
    if not texts:
        return ibis.null(dtype)
    return ibis.coalesce(*(read(text, dtype, entry.unit) for text, entry in texts)).cast(dtype)


def _unreadable(texts: dict[str, list[tuple[ir.StringValue, Field]]], types: dict[str, dt.DataType]) -> ir.StringValue:
    faults = []
    for name, read_from in texts.items():
        if not read_from:
            continue
        if types[name].is_string():
            fault = ibis.or_(*(text.contains("\x00") for text, _ in read_from))
            faults.append((ibis.coalesce(fault, False), f"{name}: NUL character"))
        else:
            given = ibis.or_(*(text.notnull() for text, _ in read_from))
            faults.append((given & _first(read_from, types[name]).isnull(), f"{name}: not {kind(types[name])}"))
    return reasons(faults)


def reasons(faults: list[tuple[ir.BooleanValue, str]]) -> ir.StringValue:
    """Join the words of all faults that hold, separated by '; '; null where none does."""
    if not faults:
        return ibis.null("string")
    broken = ibis.or_(*(fault for fault, _ in faults))
    named = ibis.literal("").concat(*(fault.ifelse(f"; {words}", "") for fault, words in faults))
    return broken.ifelse(named.substr(2), ibis.null("string"))


def _from_payload(raw: ir.Table, path: str) -> ir.StringValue:
    """Read one path of the record's JSON as text, as the connectors do: strings without their quotes."""
    value = raw._payload.try_cast("json")
    for step in path.split("."):
        value = value[int(step) if step.isdecimal() else step]
    return ibis.coalesce(value.str, value.cast("string").nullif("null"))
