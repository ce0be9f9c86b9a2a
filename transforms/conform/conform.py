"""From raw rows to the columns of a table: the newest version of each record, typed, in our words."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from schemas.find import model
from schemas.mapping import Constant, Field, FieldMap, entries
from transforms.conform.casting import kind, read
from transforms.conform.cleaning import tidy
from transforms.conform.contract_rules import Terms
from transforms.conform.expressions import first
from transforms.conform.payload import is_structure, lacks, text_at

_GIVEN = ("connection", "stream")
_LISTS = ("merged_ids",)  # whose text may be a list
_KEPT = Terms()
_TRUTHS = ("true", "false", "t", "f", "yes", "no", "y", "n", "1", "0")


def newest(raw: ir.Table) -> ir.Table:
    """Keep the row of each key that counts, tombstones too.

    `raw` are the rows of the generations that count. Of several rows with one key the newest counts: by `_generation`,
    by cursor (without one by the time of extraction), by the time of extraction, by `_sequence`. A tombstone without a
    cursor yields to a later sighting of its record in the same generation. Rows without a key cannot be told apart by
    it: each of their distinct payloads stays, for the rules to refuse.
    """
    # Most keys have one row and need no window function, which is expensive.
    keyed = raw.mutate(_deleted=ibis.coalesce(raw._deleted, False))
    versions = raw.group_by("_key").agg(_versions=lambda rows: rows.count())
    several = versions.filter(versions._key.isnull() | (versions._versions > 1)).select(_several="_key")
    is_one = keyed._key.identical_to(several._several)
    return keyed.anti_join(several, is_one).union(_newest_of_several(keyed.semi_join(several, is_one)))


def latest(raw: ir.Table) -> ir.Table:
    """Keep the row of each key that counts (see `newest`), without the records whose row is a tombstone."""
    return newest(raw).filter(lambda table: ~table._deleted)


def conform(
    raw: ir.Table,
    *,
    connection: str,
    stream: str,
    table: str,
    fields: FieldMap,
    nulls: Iterable[str] = ("",),
    sparse: Collection[str] | None = None,
    terms: Terms = _KEPT,
) -> ir.Table:
    """Read every column of `table` from the rows of `latest(raw)`, as the field map says.

    Adds `_record_id`, `_cursor`, `_payload` and `_unreadable`: each text that could not be read as its column's
    type ("amount: not a decimal"), each text that holds a NUL, and what is against the `terms`; null where
    all is well. Where the terms discard values, `_discarded` names in the same words what was left out. Text is
    trimmed, empty text is null, and so are the words in `nulls` unless the field map translates them
    or the column is a yes or no. Columns that the map leaves out are null, the id column is the key.
    A path without a value in its column is looked up in the payload, because an older file may lack
    the column; `sparse` limits that to the paths that some file does lack, which saves the parsing.
    """
    types = _types(table)
    _refuse_unknown(fields, types, table)
    source = _Source(raw, tuple({"", *nulls}), sparse)
    schema = model(table).to_schema()
    id_column = str(schema.unique[-1])
    texts = {name: source.texts(fields, name, dtype) for name, dtype in types.items() if name not in _GIVEN}
    if not texts[id_column]:
        texts[id_column] = [(raw._key, Field(""))]
    faults = [fault for name, read_from in texts.items() for fault in _faults(raw, name, read_from, types[name], terms)]
    spared = [one for one in faults if terms.discards_values and schema.columns[one.column].nullable]
    refusals = [
        (source.carries(path), f"{path.replace(';', ',')}: new field, not accepted yet") for path in terms.refused
    ]
    typed = raw.select(
        connection=ibis.literal(connection),
        stream=ibis.literal(stream),
        **{name: _without(_first(read_from, types[name]), name, spared) for name, read_from in texts.items()},
        _payload=raw._payload,
        _record_id=raw._key,
        _cursor=raw._cursor,
        _unreadable=reasons([*((one.broken, one.words) for one in faults if one not in spared), *refusals]),
        **({"_discarded": reasons([(one.broken, one.words) for one in spared])} if terms.discards_values else {}),
    )
    return tidy(typed, table)


@dataclass(frozen=True, eq=False)
class _Fault:
    """Say of each row whether what feeds a column is at fault; `broken` is never null."""

    column: str
    broken: ir.BooleanValue
    words: str


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

    def carries(self, path: str) -> ir.BooleanValue:
        """Tell of each row whether its record has a value at a path."""
        text = text_at(self.raw, path).strip()
        return ibis.coalesce(text.notin([*self.nulls, "[]", "{}"]), False)

    def _text(self, entry: Field | Constant, dtype: dt.DataType) -> tuple[ir.StringValue, Field]:
        if isinstance(entry, Constant):
            return ibis.literal(entry.value), Field("")
        text = self._at(entry.path).strip()
        nulls = [word for word in self.nulls if not (dtype.is_boolean() and word.lower() in _TRUTHS)]
        value = text.isin([*nulls, *entry.nulls]).ifelse(ibis.null("string"), text)
        if entry.values is None:
            return value, entry
        otherwise = ibis.null("string") if entry.otherwise is None else ibis.literal(entry.otherwise)
        words = [(text == word, ibis.literal(ours)) for word, ours in entry.values.items()]
        return ibis.cases(*words, (value.notnull(), otherwise), else_=ibis.null("string")), entry

    def _at(self, path: str) -> ir.StringValue:
        if path not in self.raw.columns:
            return text_at(self.raw, path)
        text = self.raw[path].cast("string")
        if self.sparse is None or path in self.sparse:
            return ibis.coalesce(text, text_at(self.raw, path))
        return text


def _newest_of_several(raw: ir.Table) -> ir.Table:
    """Number the rows of each key and keep the first."""
    same = {"_group": raw._key, "_keyless": raw._key.isnull().ifelse(raw._payload, ibis.null("string"))}
    versions = raw.mutate(**same, _stamp=ibis.coalesce(raw._cursor, raw._extracted_at))
    within = ["_group", "_keyless", "_generation"]
    alive = versions._extracted_at.max(where=~versions._deleted).over(group_by=within)
    mistaken = ibis.coalesce(versions._deleted & versions._cursor.isnull() & (versions._extracted_at < alive), False)
    order = [ibis.desc(column) for column in ("_generation", "_stamp", "_extracted_at", "_sequence")]
    undoubted = versions.mutate(_mistaken=mistaken).filter(lambda table: ~table._mistaken)
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


def _without(value: ir.Value, column: str, spared: list[_Fault]) -> ir.Value:
    """Leave out the values of a column that are at fault, where that is the contract."""
    faults = [fault.broken for fault in spared if fault.column == column]
    return ibis.or_(*faults).ifelse(ibis.null(value.type()), value) if faults else value


def _faults(
    raw: ir.Table, name: str, read_from: list[tuple[ir.StringValue, Field]], dtype: dt.DataType, terms: Terms
) -> Iterator[_Fault]:
    """List what may be at fault with the texts that feed a column."""
    if not read_from:
        return
    if dtype.is_string():
        nul = ibis.or_(*(text.contains("\x00") for text, _ in read_from))
        yield _Fault(name, ibis.coalesce(nul, False), f"{name}: contains a NUL character")
        if name not in _LISTS:
            yield _Fault(name, _is_structured(raw, read_from), f"{name}: not text but an object or a list")
    else:
        has_text = ibis.or_(*(text.notnull() for text, _ in read_from))
        yield _Fault(name, has_text & _first(read_from, dtype).isnull(), f"{name}: not {kind(dtype)}")
    yield from _absences(raw, name, read_from, terms)


def _is_structured(raw: ir.Table, read_from: list[tuple[ir.StringValue, Field]]) -> ir.BooleanValue:
    """Tell whether the text that fills a column is really an object or a list; a text may well begin with a bracket."""
    earlier, is_structured = ibis.literal(False), ibis.literal(False)
    for text, entry in read_from:
        if entry.path and entry.values is None:
            begins = text.startswith("[") | text.startswith("{")
            is_structured |= ~earlier & ibis.cases((begins, is_structure(raw, entry.path)), else_=False)
        earlier |= text.notnull()
    return ibis.coalesce(is_structured, False)


def _absences(
    raw: ir.Table, name: str, read_from: list[tuple[ir.StringValue, Field]], terms: Terms
) -> Iterator[_Fault]:
    """List the fields of a column that were gone when a row was read, where no other field filled it."""
    empty = ibis.and_(*(text.isnull() for text, entry in read_from if entry.path))
    for entry in (entry for _, entry in read_from if entry.path in terms.absences):
        absence = terms.absences[entry.path]
        meanwhile = raw._extracted_at >= absence.since
        if absence.until:
            meanwhile &= raw._extracted_at < absence.until
        broken = ibis.cases((meanwhile & empty, lacks(raw, absence.field)), else_=False)
        yield _Fault(name, broken, f"{name}: field {entry.path} no longer exists at the source")


def reasons(faults: list[tuple[ir.BooleanValue, str]]) -> ir.StringValue:
    """Join the words of all faults that hold, separated by '; '; null where none does."""
    if not faults:
        return ibis.null("string")
    broken = ibis.or_(*(fault for fault, _ in faults))
    named = ibis.literal("").concat(*(fault.ifelse(f"; {words}", "") for fault, words in faults))
    return broken.ifelse(named.substr(2), ibis.null("string"))
