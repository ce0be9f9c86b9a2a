"""Which properties a HubSpot portal knows, standard and custom."""

from typing import Any

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
}
STANDARD = {
    "companies": "name domain website phone address city state zip country industry numberofemployees annualrevenue hubspot_owner_id lifecyclestage type createdate hs_lastmodifieddate hs_object_id hs_merged_object_ids hs_parent_company_id notes_last_contacted",
    "contacts": "firstname lastname email jobtitle phone createdate lastmodifieddate hs_object_id hubspot_owner_id hs_merged_object_ids",
    "deals": "dealname amount deal_currency_code dealstage pipeline closedate createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_is_closed hs_is_closed_won hs_deal_stage_probability dealtype hs_analytics_source hs_merged_object_ids",
    "tickets": "subject content hs_pipeline hs_pipeline_stage hs_ticket_priority createdate closed_date hs_lastmodifieddate hs_object_id hubspot_owner_id time_to_close time_to_first_agent_reply first_agent_reply_date hs_ticket_category hs_merged_object_ids",
    "calls": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_call_title hs_call_direction hs_call_status",
    "emails": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_email_subject hs_email_direction",
    "meetings": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_meeting_title hs_meeting_outcome",
    "tasks": "hs_timestamp hs_createdate hs_lastmodifieddate hs_object_id hubspot_owner_id hs_task_subject hs_task_status hs_task_priority hs_task_body",
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
        **{f"belvedere_{name}": kind for name, kind in SCORES.items()},
    },
    "deals": {"lead_source": "string"},
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


class Properties:
    """Know a portal's properties by kind."""

    def __init__(self, portal: Portal) -> None:
        self.defined = {kind: {name: _standard(name) for name in STANDARD[kind].split()} for kind in STANDARD}
        for kind, custom in CUSTOM.items():
            for name, type_ in custom.items():
                self.defined[kind][name] = _property(name, type_, is_unique=name == "erp_id")

    def names(self, kind: str) -> set[str]:
        """List the names."""
        return set(self.defined[kind])

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """List the definitions."""
        return [self.defined[kind][name] for name in sorted(self.defined.get(kind, ()))]

    def add(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        """Define a custom property."""
        made = _property(given["name"], given["type"], bool(given.get("hasUniqueValue")))
        self.defined[kind][given["name"]] = made | {"label": given.get("label", given["name"])}
        return self.defined[kind][given["name"]]

    def unique(self, kind: str) -> list[str]:
        """Name the properties whose values must be unique."""
        return [name for name, made in self.defined[kind].items() if made["hasUniqueValue"]]

    def wrong(self, kind: str, given: dict[str, Any]) -> str | None:
        """Say what is wrong with values to be written."""
        for name, value in given.items():
            if name not in self.defined[kind]:
                return f'Property values were not valid: [{{"isValid":false,"message":"Property \\"{name}\\" does not exist"}}]'
            if not isinstance(value, str):
                return f"Invalid input JSON: value of {name} must be a string"
            if name in READ_ONLY:
                return f'Property values were not valid: "{name}" is a read only property'
            if self.defined[kind][name]["type"] == "number" and value and not _is_number(value):
                return f'Property values were not valid: {value} was not a valid number for "{name}"'
        return None


def _standard(name: str) -> dict[str, Any]:
    type_ = "number" if name in NUMBERS else "datetime" if name in DATES else "string"
    return _property(name, type_) | {"hubspotDefined": True}


def _property(name: str, type_: str, is_unique: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "type": type_,
        "fieldType": {"number": "number", "datetime": "date"}.get(type_, "text"),
        "groupName": "companyinformation",
        "hasUniqueValue": is_unique,
        "hubspotDefined": False,
        "modificationMetadata": {
            "readOnlyValue": name in READ_ONLY,
            "archivable": True,
            "readOnlyDefinition": False,
        },
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
