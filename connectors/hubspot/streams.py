"""Which HubSpot properties feed which of our fields.

Source: HubSpot CRM v3 OpenAPI files (objects, associations v4, owners); property names as in its standard objects.
"""

from datetime import timedelta

from connectors.kit.stream import Deletes, Stream
from schemas.mapping import Constant, Field, FieldMap

PREFIX = "properties."
OWNER = "properties.hubspot_owner_id"
STAMP = "properties.hs_lastmodifieddate"
LAG = timedelta(seconds=60)  # the search index follows writes by seconds
LOOKBACK = timedelta(minutes=10)
TITLE = "_contact_title"
DERIVED = (  # a new association moves no stamp, nor does a probability that follows its stage or a running clock
    "_company_id",
    "_contact_id",
    TITLE,
    "properties.hs_deal_stage_probability",
    "properties.time_to_first_agent_reply",
    "properties.time_to_close",
)
MEETING = {
    "SCHEDULED": "planned",
    "RESCHEDULED": "planned",
    "COMPLETED": "done",
    "NO_SHOW": "cancelled",
    "CANCELED": "cancelled",
}
TASK = {
    "COMPLETED": "done",
    "NOT_STARTED": "planned",
    "IN_PROGRESS": "planned",
    "WAITING": "planned",
    "DEFERRED": "planned",
}


def _stream(
    name: str,
    fields: FieldMap,
    *,
    table: str | None = None,
    kind: str = "",
    cursor: str = STAMP,
    deletes: Deletes = "list",
    ignores: tuple[str, ...] = (),
) -> Stream:
    return Stream(
        name,
        primary_key="id",
        fields=fields,
        table=table,
        object=kind or name,
        cursor=cursor,
        deletes=deletes,
        lag=LAG,
        lookback=LOOKBACK,
        uncursored_fields=DERIVED,
        merged_ids="properties.hs_merged_object_ids",
        ignores=("properties.hs_object_id", *ignores),
        has_schema_api=True,
    )


def _activity(kind: str, direction: Field | Constant, status: Field | Constant, subject: str) -> FieldMap:
    return {
        "activity_id": "id",
        "account_id": "_company_id",
        "contact_id": "_contact_id",
        "contact_title": TITLE,
        "owner_id": OWNER,
        "kind": Constant(kind),
        "direction": direction,
        "status": status,
        "subject": f"properties.{subject}",
        "happened_at": "properties.hs_timestamp",
        "updated_at": STAMP,
    }


ACCOUNTS: FieldMap = {
    "account_id": "id",
    "name": "properties.name",
    "tax_id": "properties.vat_number",
    "domain": ("properties.domain", "properties.website"),
    "phone": "properties.phone",
    "street": "properties.address",
    "postal_code": "properties.zip",
    "city": "properties.city",
    "region": "properties.state",
    "country": "properties.country",
    "industry": "properties.industry",
    "employees": "properties.numberofemployees",
    "owner_id": OWNER,
    "parent_id": "properties.hs_parent_company_id",
    "link_id": "properties.erp_id",
    "merged_ids": "properties.hs_merged_object_ids",
    "is_active": Field("archived", values={"true": "false", "false": "true"}),
    "created_at": "properties.createdate",
    "updated_at": STAMP,
}
CONTACTS: FieldMap = {  # kept raw only: no table, but what is not asked for does not come
    "contact_id": "id",
    "first_name": "properties.firstname",
    "last_name": "properties.lastname",
    "email": "properties.email",
    "phone": "properties.phone",
    "title": "properties.jobtitle",
    "owner_id": OWNER,
}
DEALS: FieldMap = {
    "deal_id": "id",
    "account_id": "_company_id",
    "name": "properties.dealname",
    "owner_id": OWNER,
    "status": (
        Field("properties.hs_is_closed_won", values={"true": "won"}),
        Field("properties.hs_is_closed", values={"true": "lost"}),
        Constant("open"),
    ),
    "stage": "properties.dealstage",
    "probability": "properties.hs_deal_stage_probability",
    "amount": "properties.amount",
    "currency": "properties.deal_currency_code",
    "lead_source": ("properties.lead_source", "properties.hs_analytics_source"),
    "kind": Field("properties.dealtype", values={"newbusiness": "new", "existingbusiness": "existing"}),
    "close_on": "properties.closedate",
    "created_at": "properties.createdate",
    "updated_at": STAMP,
}
TICKETS: FieldMap = {
    "ticket_id": "id",
    "account_id": "_company_id",
    "subject": "properties.subject",
    "owner_id": OWNER,
    "status": (Field("properties.closed_date", values={}, otherwise="closed"), Constant("open")),
    "priority": Field(
        "properties.hs_ticket_priority",
        values={"URGENT": "urgent", "HIGH": "high", "MEDIUM": "normal", "LOW": "low"},
    ),
    "first_reply_minutes": Field("properties.time_to_first_agent_reply", unit="milliseconds"),
    "resolution_minutes": Field("properties.time_to_close", unit="milliseconds"),
    "solved_at": "properties.closed_date",
    "created_at": "properties.createdate",
    "updated_at": STAMP,
}
OWNERS: FieldMap = {
    "owner_id": "id",
    "name": "_name",
    "email": "email",
    "role": "_role",
    "region": "_region",
    "is_active": Field("archived", values={"true": "false", "false": "true"}),
    "updated_at": "updatedAt",
}
DONE, BOTH = Constant("done"), Constant("both")
STREAMS = (
    _stream(
        "accounts",
        ACCOUNTS,
        table="accounts",
        kind="companies",
        ignores=("properties.annualrevenue", "properties.lifecyclestage"),
    ),
    _stream("contacts", CONTACTS, cursor="properties.lastmodifieddate"),
    _stream("deals", DEALS, table="deals", ignores=("properties.pipeline",)),
    _stream("tickets", TICKETS, table="tickets"),
    _stream(
        "calls",
        _activity(
            "call",
            Field("properties.hs_call_direction", values={"INBOUND": "inbound", "OUTBOUND": "outbound"}),
            DONE,
            "hs_call_title",
        ),
        table="activities",
    ),
    _stream(
        "emails",
        _activity(
            "email",
            Field("properties.hs_email_direction", values={"INCOMING_EMAIL": "inbound", "EMAIL": "outbound"}),
            DONE,
            "hs_email_subject",
        ),
        table="activities",
    ),
    _stream(
        "meetings",
        _activity("meeting", BOTH, Field("properties.hs_meeting_outcome", values=MEETING), "hs_meeting_title"),
        table="activities",
        deletes="none",
    ),
    _stream(
        "tasks",
        _activity("task", Constant("outbound"), Field("properties.hs_task_status", values=TASK), "hs_task_subject"),
        table="activities",
    ),
    _stream(
        "notes",
        _activity("note", Constant("outbound"), DONE, "hs_note_body"),
        table="activities",
        deletes="none",
    ),
    Stream("owners", "id", OWNERS, table="owners", object="owners", ignores=("userId", "createdAt")),
)
_COMPANY = {"companies": "company"}
_BOTH = {**_COMPANY, "contacts": "contact"}
ASSOCIATED = {
    "deals": _COMPANY,
    "tickets": _COMPANY,
    "calls": _BOTH,
    "emails": _BOTH,
    "meetings": _BOTH,
    "tasks": _BOTH,
    "notes": _BOTH,
}


def mapped_properties(stream: Stream) -> list[str]:
    """Name the properties that feed our fields, and the stamp."""
    wanted = [path for path in (*stream.paths, stream.cursor or "") if path.startswith(PREFIX)]
    return list(dict.fromkeys(path.removeprefix(PREFIX) for path in wanted))
