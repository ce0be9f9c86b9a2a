"""Which properties a HubSpot portal knows, standard and custom."""

from typing import Any

from sandbox.hubspot.values import Invalid, taken
from sandbox.world.hubspot import Portal

DEFAULTS = {
    "companies": ("name", "domain", "createdate", "hs_lastmodifieddate"),
    "deals": (
        "dealname",
        "amount",
        "closedate",
        "pipeline",
        "dealstage",
        "createdate",
        "hs_lastmodifieddate",
    ),
    "contacts": ("firstname", "lastname", "email", "createdate", "lastmodifieddate"),
    "tickets": ("subject", "createdate", "hs_lastmodifieddate"),
    "tasks": ("hs_createdate", "hs_lastmodifieddate"),
}
STANDARD = {
    "companies": "name domain website phone address city state zip country industry numberofemployees annualrevenue hubspot_owner_id lifecyclestage type createdate hs_lastmodifieddate hs_object_id hs_merged_object_ids hs_parent_company_id notes_last_contacted",
    "contacts": "firstname lastname email jobtitle phone createdate lastmodifieddate hs_object_id hubspot_owner_id hs_merged_object_ids",
    "deals": "dealname amount deal_currency_code dealstage pipeline closedate createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_is_closed hs_is_closed_won hs_deal_stage_probability dealtype hs_analytics_source hs_merged_object_ids",
    "tickets": "subject content hs_pipeline hs_pipeline_stage hs_ticket_priority createdate closed_date hs_lastmodifieddate hs_object_id hubspot_owner_id time_to_close time_to_first_agent_reply first_agent_reply_date hs_ticket_category hs_merged_object_ids",
    "calls": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_call_title hs_call_direction hs_call_status",
    "emails": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_email_subject hs_email_direction",
    "meetings": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_meeting_title hs_meeting_outcome",
    "tasks": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_task_subject hs_task_status hs_task_priority hs_task_type hs_task_body",
    "notes": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_note_body",
}
SCORES = {
    "customer_id": "string",
    "retention_score": "number",
    "retention_band": "string",
    "satisfaction_score": "number",
    "satisfaction_band": "string",
    "key_account_score": "number",
    "key_account_tier": "string",
}
CUSTOM = {
    "companies": {
        "erp_id": "string",
        "vat_number": "string",
        "payment_state": "enumeration",
        "credit_limit": "number",
        "last_invoice_on": "date",
        **{f"belvedere_{name}": kind for name, kind in SCORES.items()},
    },
    "deals": {"lead_source": "string"},
    "tasks": {"belvedere_key": "string"},
}
UNIQUE = {("companies", "erp_id"), ("contacts", "email"), ("tasks", "belvedere_key")}
OPTIONS = {
    "payment_state": ("paid", "open", "overdue"),
    "hs_task_status": ("NOT_STARTED", "IN_PROGRESS", "WAITING", "COMPLETED", "DEFERRED"),
    "hs_task_priority": ("NONE", "LOW", "MEDIUM", "HIGH"),
    "hs_task_type": ("TODO", "CALL", "EMAIL", "LINKED_IN", "MEETING"),
}
READ_ONLY = {
    "createdate",
    "hs_createdate",
    "hs_lastmodifieddate",
    "lastmodifieddate",
    "hs_object_id",
    "hs_merged_object_ids",
    "hs_is_closed",
    "hs_is_closed_won",
}
NUMBERS = {
    "numberofemployees",
    "annualrevenue",
    "amount",
    "hs_deal_stage_probability",
    "time_to_close",
    "time_to_first_agent_reply",
}
DATES = {
    "createdate",
    "hs_createdate",
    "hs_lastmodifieddate",
    "lastmodifieddate",
    "closedate",
    "hs_timestamp",
    "closed_date",
}

FIELD_TYPES = {
    "number": "number",
    "datetime": "date",
    "date": "date",
    "enumeration": "select",
    "bool": "booleancheckbox",
}


class Properties:
    """Know a portal's properties by kind."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.defined = {kind: {name: _standard(kind, name) for name in STANDARD[kind].split()} for kind in STANDARD}
        for kind, custom in CUSTOM.items():
            for name, type_ in custom.items():
                self.defined[kind][name] = _property(name, type_, is_unique=(kind, name) in UNIQUE)

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """List the definitions."""
        return [self.defined[kind][name] for name in sorted(self.defined.get(kind, ()))]

    def add(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Define a custom property."""
        definition = _property(values["name"], values["type"], bool(values.get("hasUniqueValue")))
        definition |= {"label": values.get("label", values["name"]), "options": values.get("options", [])}
        self.defined[kind][values["name"]] = definition
        return self.defined[kind][values["name"]]

    def unique(self, kind: str) -> list[str]:
        """Name the properties whose values must be unique."""
        return [name for name, definition in self.defined[kind].items() if definition["hasUniqueValue"]]

    def taken(self, kind: str, values: dict[str, Any]) -> dict[str, str | None]:
        """Give values as they will be held; raises Invalid for those that cannot be written."""
        return {name: self._taken(kind, name, value) for name, value in values.items()}

    def _taken(self, kind: str, name: str, value: Any) -> str | None:
        if name not in self.defined[kind]:
            raise Invalid(name, f'Property "{name}" does not exist', "PROPERTY_DOESNT_EXIST")
        if not isinstance(value, str):
            raise Invalid(name, f"value of {name} must be a string", "INVALID_JSON")
        if name in READ_ONLY:
            raise Invalid(name, f"{name} is a read only property", "READ_ONLY_VALUE")
        return taken(self.defined[kind][name], value, self.portal.owners)


def _standard(kind: str, name: str) -> dict[str, Any]:
    type_ = "number" if name in NUMBERS else "datetime" if name in DATES else "string"
    type_ = "enumeration" if name in OPTIONS else type_
    return _property(name, type_, (kind, name) in UNIQUE) | {"hubspotDefined": True}


def _property(name: str, type_: str, is_unique: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": type_,
        "fieldType": FIELD_TYPES.get(type_, "text"),
        "options": [{"value": value, "label": value.capitalize()} for value in OPTIONS.get(name, ())],
        "groupName": "companyinformation",
        "hasUniqueValue": is_unique,
        "hubspotDefined": False,
        "modificationMetadata": {
            "readOnlyValue": name in READ_ONLY,
            "archivable": True,
            "readOnlyDefinition": False,
        },
    }
