"""Which fields Odoo's models have: name -> (type, related model)."""

_STAMPS = {"id": ("integer", ""), "create_date": ("datetime", ""), "write_date": ("datetime", "")}
_SCORES = {
    "x_belvedere_customer_id": ("char", ""),
    "x_belvedere_retention_score": ("float", ""),
    "x_belvedere_retention_band": ("char", ""),
    "x_belvedere_satisfaction_score": ("float", ""),
    "x_belvedere_satisfaction_band": ("char", ""),
    "x_belvedere_key_account_score": ("float", ""),
    "x_belvedere_key_account_tier": ("char", ""),
}
_MONEY = (
    "amount_untaxed",
    "amount_tax",
    "amount_total",
    "amount_residual",
    "amount_untaxed_signed",
    "amount_total_signed",
    "amount_residual_signed",
)


def _chars(names: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(names.split(), ("char", ""))


_PARTNER = {"partner_id": ("many2one", "res.partner"), "commercial_partner_id": ("many2one", "res.partner")}
_CURRENCY = {"currency_id": ("many2one", "res.currency")}
_ACTIVE = {"active": ("boolean", "")}
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "res.partner": {
        **_STAMPS,
        **_ACTIVE,
        **_SCORES,
        **_chars("name ref vat city zip street email phone website x_hubspot_id type"),
        "is_company": ("boolean", ""),
        "parent_id": ("many2one", "res.partner"),
        "commercial_partner_id": ("many2one", "res.partner"),
        "country_id": ("many2one", "res.country"),
        "state_id": ("many2one", "res.country"),
        "user_id": ("many2one", "res.users"),
        "industry_id": ("many2one", "res.country"),
        "customer_rank": ("integer", ""),
        "credit_limit": ("float", ""),
    },
    "res.users": {**_STAMPS, **_ACTIVE, **_chars("name login email"), "share": ("boolean", "")},
    "res.country": {**_STAMPS, **_chars("name code")},
    "res.currency": {**_STAMPS, **_ACTIVE, **_chars("name")},
    "crm.stage": {**_STAMPS, **_chars("name"), "sequence": ("integer", ""), "is_won": ("boolean", "")},
    "ir.model": {**_STAMPS, **_chars("name model")},
    "sale.order": {
        **_STAMPS,
        **_PARTNER,
        **_CURRENCY,
        **_chars("name state invoice_status"),
        "user_id": ("many2one", "res.users"),
        "opportunity_id": ("many2one", "crm.lead"),
        "date_order": ("datetime", ""),
        "amount_untaxed": ("monetary", ""),
        "amount_total": ("monetary", ""),
    },
    "account.move": {
        **_STAMPS,
        **_PARTNER,
        **_CURRENCY,
        **_chars("name ref move_type state payment_state"),
        **dict.fromkeys(_MONEY, ("monetary", "")),
        "invoice_user_id": ("many2one", "res.users"),
        "partner_shipping_id": ("many2one", "res.partner"),
        "invoice_date": ("date", ""),
        "invoice_date_due": ("date", ""),
    },
    "account.payment": {
        **_STAMPS,
        **_CURRENCY,
        "partner_id": ("many2one", "res.partner"),
        **_chars("name state payment_type partner_type"),
        "amount": ("monetary", ""),
        "date": ("date", ""),
        "reconciled_invoice_ids": ("many2many", "account.move"),
    },
    "crm.lead": {
        **_STAMPS,
        **_ACTIVE,
        "partner_id": ("many2one", "res.partner"),
        **_chars("name type won_status"),
        "user_id": ("many2one", "res.users"),
        "stage_id": ("many2one", "crm.stage"),
        "expected_revenue": ("monetary", ""),
        "probability": ("float", ""),
        "date_deadline": ("date", ""),
        "date_closed": ("datetime", ""),
        "company_currency": ("many2one", "res.currency"),
    },
    "mail.activity": {
        **_STAMPS,
        **_ACTIVE,
        **_chars("res_model summary"),
        "note": ("html", ""),
        "res_model_id": ("many2one", "ir.model"),
        "res_id": ("integer", ""),
        "date_deadline": ("date", ""),
        "user_id": ("many2one", "res.users"),
        "activity_type_id": ("many2one", "mail.activity.type"),
    },
    "mail.activity.type": {**_STAMPS, **_ACTIVE, **_chars("name category res_model")},
    "ir.model.data": {**_STAMPS, **_chars("module name model"), "res_id": ("integer", ""), "noupdate": ("boolean", "")},
}
READ_ONLY = {"id", "create_date", "write_date", "commercial_partner_id"}
LABELS = {"x_belvedere_retention_score": "Retention score", "vat": "Tax ID"}
