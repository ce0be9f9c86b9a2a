"""Which Odoo fields feed which of our fields, by model.

Source: Odoo's external API documentation and the fields of its models (res.partner, crm.lead, sale.order,
account.move, account.payment, mail.activity, res.users), versions 16 to 19.
"""

from datetime import timedelta

from connectors.kit.stream import Deletes, Stream
from schemas.mapping import Constant, Field, FieldMap

NULLS = ("false", "")  # an empty value is `false`, whatever its type
LOOKED_UP = {  # whose partner or country is looked up: what a document names may be a contact or a delivery address
    "res.partner": "country_id",
    "crm.lead": "partner_id",
    "sale.order": "partner_id",
    "account.move": "partner_shipping_id",
    "account.payment": "partner_id",
    "mail.activity": "res_id",
}
DOMAINS: dict[str, list[list[object] | str]] = {
    "res.partner": ["|", ["is_company", "=", True], ["parent_id", "=", False]],
    "crm.lead": [["type", "=", "opportunity"]],
    "account.move": [["move_type", "in", ["out_invoice", "out_refund"]]],
    "mail.activity": [["res_model", "=", "res.partner"]],
    "account.payment": [["partner_type", "=", "customer"]],
    "res.users": [["share", "=", False]],  # portal users are customers, who own nothing
}
DERIVED = (  # looked up in another record, or worked out from others: this record's own stamp need not move
    "_account_id",
    "_country_code",
    "_ship_to_country",
    "amount_residual",
    "commercial_partner_id.0",
    "reconciled_invoice_ids.0",
)
ACCOUNTS: FieldMap = {
    "account_id": "id",
    "name": "name",
    "tax_id": "vat",
    "domain": ("website", "email"),
    "email": "email",
    "phone": "phone",
    "street": "street",
    "postal_code": "zip",
    "city": "city",
    "region": "state_id.1",
    "country": "_country_code",
    "industry": "industry_id.1",
    "owner_id": "user_id.0",
    "parent_id": "parent_id.0",
    "credit_limit_amount": Field("credit_limit", nulls=("0", "0.0")),  # nobody set one
    "link_id": "x_hubspot_id",
    "is_active": "active",
    "created_at": "create_date",
    "updated_at": "write_date",
}
DEALS: FieldMap = {
    "deal_id": "id",
    "account_id": ("_account_id", "partner_id.0"),
    "name": "name",
    "owner_id": "user_id.0",
    "status": (  # pending says nothing of a deal that was put away: old versions lose deals by archiving them
        Field("won_status", values={"won": "won", "lost": "lost"}),
        Field("active", values={"false": "lost"}),
        Field("probability", values={"100.0": "won", "100": "won"}),
        Constant("open"),
    ),
    "stage": "stage_id.1",
    "probability": Field("probability", unit="percent"),
    "amount": "expected_revenue",
    "currency": "company_currency.1",
    "close_on": ("date_closed", "date_deadline"),
    "created_at": "create_date",
    "updated_at": "write_date",
}
ORDERS: FieldMap = {
    "order_id": "id",
    "account_id": ("_account_id", "partner_id.0"),
    "number": "name",
    "owner_id": "user_id.0",
    "status": Field(
        "state",
        values={
            "draft": "draft",
            "sent": "draft",
            "sale": "confirmed",
            "done": "confirmed",
            "cancel": "cancelled",
        },
    ),
    "amount": "amount_untaxed",
    "currency": "currency_id.1",
    "ordered_on": "date_order",
    "updated_at": "write_date",
}
INVOICES: FieldMap = {
    "invoice_id": "id",
    "account_id": "commercial_partner_id.0",
    "number": "name",
    "owner_id": "invoice_user_id.0",
    "kind": Field("move_type", values={"out_invoice": "invoice", "out_refund": "credit_note"}),
    "status": Field("state", values={"draft": "draft", "posted": "posted", "cancel": "cancelled"}),
    "net_amount": "amount_untaxed",
    "total_amount": "amount_total",
    "open_amount": "amount_residual",
    "currency": "currency_id.1",
    "ship_to_country": "_ship_to_country",
    "invoice_on": ("invoice_date", "date"),  # a draft has no date of its own yet
    "due_on": "invoice_date_due",
    "updated_at": "write_date",
}
PAYMENTS: FieldMap = {
    "payment_id": "id",
    "account_id": ("_account_id", "partner_id.0"),
    "invoice_id": "reconciled_invoice_ids.0",
    "kind": Field("payment_type", values={"inbound": "inbound", "outbound": "outbound"}),
    "status": Field(
        "state",
        values={
            "draft": "draft",
            "in_process": "posted",
            "posted": "posted",
            "paid": "posted",
            "cancel": "cancelled",
            "canceled": "cancelled",
            "rejected": "cancelled",
        },
    ),
    "amount": "amount",
    "currency": "currency_id.1",
    "paid_on": "date",
    "updated_at": "write_date",
}
ACTIVITIES: FieldMap = {
    "activity_id": "id",
    "account_id": ("_account_id", "res_id"),
    "owner_id": "user_id.0",
    "kind": (Field("activity_category", values={"phonecall": "call", "meeting": "meeting"}), Constant("task")),
    "direction": Constant("outbound"),
    "status": (Field("active", values={"false": "done"}), Constant("planned")),  # done ones are archived, or gone
    "subject": "summary",
    "happened_at": ("date_done", "date_deadline"),
    "updated_at": "write_date",
}
OWNERS: FieldMap = {
    "owner_id": "id",
    "name": "name",
    "email": ("email", "login"),
    "is_active": "active",
    "updated_at": "write_date",
}


def _stream(
    name: str, model: str, fields: FieldMap, *, deletes: Deletes = "sweep", ignores: tuple[str, ...] = ()
) -> Stream:
    return Stream(
        name,
        primary_key="id",
        fields=fields,
        table=name,
        object=model,
        cursor="write_date",
        deletes=deletes,
        lookback=timedelta(minutes=10),
        uncursored_fields=DERIVED,
        nulls=NULLS,
        ignores=ignores,
        has_schema_api=True,
    )


STREAMS = (
    _stream("accounts", "res.partner", ACCOUNTS, ignores=("ref", "customer_rank", "country_id.0")),
    _stream("deals", "crm.lead", DEALS),
    _stream("orders", "sale.order", ORDERS),
    _stream("invoices", "account.move", INVOICES, ignores=("partner_shipping_id.0",)),
    _stream("payments", "account.payment", PAYMENTS),
    _stream("activities", "mail.activity", ACTIVITIES),
    _stream("owners", "res.users", OWNERS),
)
