"""Which Zendesk fields feed which of our fields.

Source: Zendesk's developer documentation (organizations, tickets, ticket metrics, users, satisfaction ratings). An
organization has no tax number, phone or address of its own: they are custom fields, here under their usual keys.
"""

from datetime import timedelta

from connectors.kit.stream import Stream
from schemas.mapping import Constant, Field

LAG = timedelta(seconds=90)  # the exports leave out the last minute
STANDARD = (  # what every organization has, as documented; the rest are custom fields, which the API lists
    *("id", "url", "name", "external_id", "domain_names", "group_id", "details", "notes", "tags"),
    *("shared_tickets", "shared_comments", "created_at", "updated_at", "deleted_at"),
)
STREAMS = (
    Stream(
        "accounts",
        primary_key="id",
        table="accounts",
        object="organizations",
        cursor="updated_at",
        deletes="flag",
        deleted_values={"_is_deleted": ("true",)},
        lag=LAG,
        fields={
            "account_id": "id",
            "name": "name",
            "tax_id": "organization_fields.vat_number",
            "domain": "domain_names.0",
            "phone": "organization_fields.phone",
            "postal_code": "organization_fields.postcode",
            "country": "organization_fields.country",
            "link_id": "external_id",
            "is_active": (Field("_is_deleted", values={"true": "false"}), Constant("true")),
            "created_at": "created_at",
            "updated_at": "updated_at",
        },
        ignores=("tags", "url", "details", "notes", "group_id", "shared_tickets", "shared_comments"),
        has_schema_api=True,
    ),
    Stream(
        "tickets",
        primary_key="id",
        table="tickets",
        object="tickets",
        cursor="generated_timestamp",
        cursor_unit="epoch_s",
        deletes="flag",
        deleted_values={"status": ("deleted",)},
        lag=LAG,
        fields={
            "ticket_id": "id",
            "account_id": "organization_id",
            "subject": "subject",
            "owner_id": "assignee_id",
            "status": "status",
            "priority": "priority",
            "first_reply_minutes": "metric_set.reply_time_in_minutes.calendar",
            "resolution_minutes": "metric_set.full_resolution_time_in_minutes.calendar",
            "reopens": "metric_set.reopens",
            "solved_at": "metric_set.solved_at",
            "created_at": "created_at",
            "updated_at": "updated_at",
        },
        ignores=("requester_id", "tags", "type", "satisfaction_rating"),
    ),
    Stream(
        "owners",
        primary_key="id",
        table="owners",
        object="users",
        fields={
            "owner_id": "id",
            "name": "name",
            "email": "email",
            "role": Constant("other"),
            "is_active": "active",
            "updated_at": "updated_at",
        },
        deletes="sweep",
    ),
    Stream(
        "ratings",
        primary_key="id",
        table="ratings",
        object="satisfaction_ratings",
        cursor="updated_at",
        lag=LAG,
        lookback=timedelta(minutes=10),
        fields={
            "rating_id": "id",
            "ticket_id": "ticket_id",
            "kind": Constant("csat"),
            "score": Field("score", values={"good": "1", "bad": "0"}),
            "score_min": Constant("0"),
            "score_max": Constant("1"),
            "comment": "comment",
            "rated_at": ("updated_at", "created_at"),
            "updated_at": "updated_at",
        },
        ignores=("requester_id", "assignee_id", "group_id", "reason"),
    ),
)
