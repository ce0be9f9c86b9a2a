"""What Odoo holds in records now: by id, by the value of a field, or as they were extracted."""

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.kit.base import SourceField, TargetRecord
from connectors.kit.repair import UNREADABLE, read_json
from connectors.kit.write import chunks
from connectors.odoo.record_names import Names, Search
from connectors.odoo.values import as_value, instant
from connectors.odoo.virtual_fields import EXTERNAL_ID, Virtual, columns, virtual_fields

READ = 500
Fields = Mapping[str, SourceField]
Row = dict[str, Any]


class RecordReader:
    """Ask one database for what records hold; `search` sees archived records, `search_live` does not."""

    def __init__(self, search: Search, search_live: Search, virtual: Virtual, names: Names) -> None:
        self._search, self._search_live, self._virtual, self._names = search, search_live, virtual, names

    def fetch(
        self, model: str, numbers: Sequence[int], wanted: Sequence[str], fields: Fields
    ) -> dict[str, TargetRecord]:
        """Read by id; archived ones are there, too."""
        read = [*columns(model, wanted, fields), "write_date"]
        rows = [
            row for chunk in chunks(numbers, READ) for row in self._search(model, [["id", "in", list(chunk)]], read)
        ]
        return {str(row["id"]): record for row, record in self._as_records(model, rows, wanted, fields)}

    def find(
        self, model: str, key: str, values: Sequence[str], wanted: Sequence[str], fields: Fields, within: Sequence[Any]
    ) -> dict[str, list[TargetRecord]]:
        """Find by external id, archived ones too, for it stays theirs; or live ones by another field."""
        if key == EXTERNAL_ID:
            numbers = self._names.records(model, values)
            records = self.fetch(model, list(numbers.values()), wanted, fields)
            return {value: [records[str(record)]] for value, record in numbers.items() if str(record) in records}
        kind, read = fields[key].type if key in fields else "", [*columns(model, [*wanted, key], fields), "write_date"]
        matches: dict[str, list[TargetRecord]] = {}
        for chunk in chunks(list(dict.fromkeys(values)), READ):
            domain = [*within, [key, "in", [_as_search_value(value, kind) for value in chunk]]]
            for row, record in self._as_records(model, self._search_live(model, domain, read), wanted, fields):
                if (value := str(as_value(row.get(key), kind))) in chunk:
                    matches.setdefault(value, []).append(record)
        return matches

    def current_record(self, model: str, payload: bytes, wanted: Sequence[str], fields: Fields) -> TargetRecord | None:
        """Read a record as it was extracted; None where it lacks one of the fields, or is none."""
        try:
            row = read_json(payload)
        except UNREADABLE:
            return None
        if not isinstance(row, dict) or "id" not in row or EXTERNAL_ID in wanted:
            return None
        lacking = {*columns(model, wanted, fields)} - row.keys() - {"res_model"}
        return None if lacking else self._as_record(model, row, wanted, fields, {})

    def _as_records(
        self, model: str, rows: Sequence[Row], wanted: Sequence[str], fields: Fields
    ) -> list[tuple[Row, TargetRecord]]:
        numbers = [row["id"] for row in rows] if EXTERNAL_ID in wanted else []
        named = self._names.values(model, numbers) if numbers else {}
        return [(row, self._as_record(model, row, wanted, fields, named)) for row in rows]

    def _as_record(
        self, model: str, row: Row, wanted: Sequence[str], fields: Fields, named: Mapping[int, str]
    ) -> TargetRecord:
        values = {name: self._value(model, row, name, fields) for name in wanted}
        if EXTERNAL_ID in values:
            values[EXTERNAL_ID] = named.get(row["id"])
        written = row.get("write_date") or None
        return TargetRecord(str(row["id"]), values, written and str(written), instant(written))

    def _value(self, model: str, row: Row, name: str, fields: Fields) -> Any:
        if name in virtual_fields(model):
            return self._virtual.value(model, name, row)
        return as_value(row.get(name), fields[name].type if name in fields else "")


def _as_search_value(value: str, kind: str) -> Any:
    """Ask for a number as a number."""
    return int(value) if kind in ("integer", "many2one") and value.isdecimal() else value
