"""Fields that Odoo's models do not have, and deliveries want: external ids, country codes, and tasks as activities.

Source: Odoo's models res.partner, res.country and mail.activity. An activity names its record by model and number; it
is done by `action_feedback`, after which it is archived, or gone, by version.
"""

from collections.abc import Collection, Iterable, Mapping
from threading import Lock
from typing import Any

from connectors.kit.base import Change, SourceField
from connectors.kit.errors import RecordError
from connectors.kit.stream import Stream
from connectors.odoo.record_names import Search
from connectors.odoo.values import Ref

PARTNER, ACTIVITY = "res.partner", "mail.activity"
EXTERNAL_ID, COUNTRY_CODE, PARTNER_ID, IS_DONE = "external_id", "country_code", "partner_id", "is_done"
TASKS = Stream("tasks", "id", {}, object=ACTIVITY, has_schema_api=True)
PARTNERS, TO_DO = Ref("base.model_res_partner"), Ref("mail.mail_activity_data_todo")
_KEY = SourceField(EXTERNAL_ID, "char", "External id, given when the record is created", is_unique=True)
_FIELDS = {
    PARTNER: (SourceField(COUNTRY_CODE, "char", "Country by its two letters"),),
    ACTIVITY: (
        SourceField(PARTNER_ID, "integer", "The partner that the activity is about"),
        SourceField(IS_DONE, "boolean", "Marked as done"),
    ),
}
_COLUMNS = {COUNTRY_CODE: ("country_id",), PARTNER_ID: ("res_id", "res_model"), IS_DONE: ("active",)}
Row = Mapping[str, Any]


def virtual_fields(model: str) -> dict[str, SourceField]:
    """Describe the fields that a model has here and not there."""
    return {field.path: field for field in (_KEY, *_FIELDS.get(model, ()))}


def columns(model: str, names: Iterable[str], described: Collection[str]) -> list[str]:
    """Name what to read of a model for some fields."""
    mine, wanted = virtual_fields(model), list[str]()
    for name in names:
        wanted += [column for column in _COLUMNS.get(name, ()) if column in described] if name in mine else [name]
    return list(dict.fromkeys(wanted))


class Virtual:
    """Give these fields their values, and write them as what they stand for."""

    def __init__(self, search: Search) -> None:
        self._search, self._lock = search, Lock()
        self._countries: dict[int, str | None] = {}

    def country(self, number: int | None) -> str | None:
        """Tell a country's code."""
        return self._known_countries().get(number) if number else None

    def value(self, model: str, name: str, row: Row) -> Any:
        """Tell the value of a virtual field of a row, other than its external id."""
        if name == COUNTRY_CODE:
            return self.country(number_of(row.get("country_id")))
        if name == PARTNER_ID:
            return row.get("res_id") or None if row.get("res_model", PARTNER) == PARTNER else None
        return row.get("active") is False

    def real(self, model: str, change: Change) -> dict[str, Any]:
        """Give what a change asks for in fields that the model has; only `is_done` stays.

        Raises RecordError for what cannot be written.
        """
        values = {name: value for name, value in change.after.items() if name != EXTERNAL_ID}
        if change.action == "update" and _differs(change, EXTERNAL_ID):
            raise RecordError("an external id can be set only when a record is created")
        if model == PARTNER and COUNTRY_CODE in values:
            values["country_id"] = self._number_of_country(values.pop(COUNTRY_CODE))
        return self._activity(change, values) if model == ACTIVITY else values

    def _activity(self, change: Change, values: dict[str, Any]) -> dict[str, Any]:
        if IS_DONE in values and not values[IS_DONE]:
            values.pop(IS_DONE)
            if change.before.get(IS_DONE):
                raise RecordError("a completed activity cannot be reopened")
        if PARTNER_ID in values:
            values["res_id"] = values.pop(PARTNER_ID)
        if change.action != "create":
            return values
        if not values.get("res_id") or IS_DONE in values:
            raise RecordError("an activity needs a partner_id and cannot be created as done")
        return values | {"res_model_id": PARTNERS, "activity_type_id": values.get("activity_type_id") or TO_DO}

    def _number_of_country(self, code: Any) -> int | None:
        if code is None or code == "":
            return None
        spelt = str(code).strip().upper()
        for number, country_code in self._known_countries().items():
            if country_code == spelt:
                return number
        raise RecordError(f"Odoo has no country with the code {spelt!r}")

    def _known_countries(self) -> dict[int, str | None]:
        with self._lock:
            if not self._countries:
                self._countries = {row["id"]: row.get("code") for row in self._search("res.country", [], ["code"])}
            return self._countries


def number_of(value: Any) -> int | None:
    """Take the id of a relation, which is read as [id, name], as a bare id, or as false."""
    number = value[0] if isinstance(value, list) and value else value
    return number if isinstance(number, int) and number else None


def _differs(change: Change, name: str) -> bool:
    return name in change.after and str(change.after[name]) != str(change.before.get(name))
