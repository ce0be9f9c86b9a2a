"""What HubSpot holds in records now: by id, by the value of a property, or as they were extracted."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.hubspot.batch import Batch
from connectors.hubspot.responses import Record
from connectors.hubspot.tasks import COMPANY, FIELD
from connectors.hubspot.values import as_value
from connectors.hubspot.writer import Fields
from connectors.kit.base import TargetRecord
from connectors.kit.repair import UNREADABLE, read_json


class _Extracted(Record):
    """A record as it was extracted, with the company that was found for it."""

    company: str | msgspec.UnsetType | None = msgspec.field(name="_company_id", default=msgspec.UNSET)


_EXTRACTED = msgspec.json.Decoder(_Extracted)


class RecordReader:
    """Ask for what records hold; values are told by the types of their properties."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def fetch(self, kind: str, ids: Sequence[str], names: Sequence[str], fields: Fields) -> dict[str, TargetRecord]:
        """Read by id."""
        rows = self._batch.read(kind, ids, _properties(names, fields))
        return {record.record_id: record for record in self._as_records(kind, rows, names, fields)}

    def find(
        self, kind: str, key: str, values: Sequence[str], names: Sequence[str], fields: Fields
    ) -> dict[str, list[TargetRecord]]:
        """Find by a property: by a batch read where it is unique, which lags behind nothing, else by search."""
        properties, wanted = _properties({*names, key}, fields), set(values)
        field = fields.get(key)
        if field and field.is_unique:
            rows = self._batch.read(kind, values, properties, key)
        else:
            rows = list(self._batch.search(kind, key, values, properties))
        records: dict[str, list[TargetRecord]] = {}
        for row, record in zip(rows, self._as_records(kind, rows, names, fields), strict=True):
            value = str((row.properties or {}).get(key))
            if value in wanted:
                records.setdefault(value, []).append(record)
        return records

    def _as_records(
        self, kind: str, rows: Sequence[Record], names: Iterable[str], fields: Fields
    ) -> list[TargetRecord]:
        ids = [row.id for row in rows] if any(_is_company(name, fields) for name in names) else []
        companies = self._batch.associated(kind, "companies", ids)
        return [_of(row, names, fields, companies.get(row.id)) for row in rows]


def record_in_payload(payload: bytes, names: Sequence[str], fields: Fields) -> TargetRecord | None:
    """Read a record as it was extracted; None where it lacks one of the fields, or is none."""
    try:
        row: _Extracted = read_json(payload, _EXTRACTED)
    except UNREADABLE:
        return None
    present = set(row.properties or ())
    if not all(name in present or (_is_company(name, fields) and row.company is not msgspec.UNSET) for name in names):
        return None
    return _of(row, names, fields, row.company or None)


def _of(row: Record, names: Iterable[str], fields: Fields, company: str | None) -> TargetRecord:
    properties: Mapping[str, Any] = row.properties or {}
    values = {
        name: company if _is_company(name, fields) else as_value(properties.get(name), _type(name, fields))
        for name in names
    }
    return TargetRecord(row.id, values, row.updatedAt, row.changed_at)


def _properties(names: Iterable[str], fields: Fields) -> list[str]:
    return sorted({name for name in names if not _is_company(name, fields)})


def _is_company(name: str, fields: Fields) -> bool:
    """Tell whether a field is the one that no property holds, but an association."""
    return name == COMPANY and fields.get(name) is FIELD


def _type(name: str, fields: Fields) -> str:
    return fields[name].type if name in fields else ""
