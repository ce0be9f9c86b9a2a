"""What the ERP holds of the world: partners, orders, invoices, payments, leads, users."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from sandbox.world import names
from sandbox.world.company import Customer, Order, Person, at

MODELS = [
    "res.partner",
    "res.users",
    "res.country",
    "res.currency",
    "crm.stage",
    "sale.order",
    "account.move",
    "account.payment",
    "crm.lead",
    "mail.activity",
    "ir.model",
    "mail.activity.type",
    "ir.model.data",
]
ACTIVITY_TYPES = (
    ("Email", "email", "default"),
    ("Call", "call", "phonecall"),
    ("Meeting", "meeting", "meeting"),
    ("To-Do", "todo", "default"),
)
RATE = {"EUR": 1.0, "USD": 1.12, "GBP": 0.86}  # units for one euro: Odoo's books are in euro
Row = dict[str, Any]


class Tables:
    """Hold rows by model and id; many2one values are bare ids, empty is False."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, Row]] = {model: {} for model in MODELS}
        self._next: dict[str, int] = dict.fromkeys(MODELS, 0)

    def add(self, model: str, values: Row, created: datetime, written: datetime) -> Row:
        """Create a row with its stamps."""
        row = {"id": self.number(model), "create_date": created, "write_date": written, **values}
        self.rows[model][row["id"]] = row
        return row

    def number(self, model: str) -> int:
        """Give a model's next id."""
        self._next[model] += 1
        return self._next[model]


def fill(
    customers: Iterable[Customer], staff: list[Person], random: Random, today: date, truth: dict[int, Any]
) -> Tables:
    """Put the world into tables; `truth` learns the ids."""
    tables = Tables()
    before = datetime.combine(today, datetime.min.time()).replace(tzinfo=at(today, random).tzinfo)
    long_ago = before - timedelta(days=1500)
    for code, (name, *_) in names.COUNTRIES.items():
        tables.add("res.country", {"code": code, "name": name}, long_ago, long_ago)
    for code in ("EUR", "USD", "GBP"):
        tables.add("res.currency", {"name": code, "active": True}, long_ago, long_ago)
    for stage, (name, is_won) in enumerate((("New", False), ("Proposition", False), ("Won", True))):
        tables.add("crm.stage", {"name": name, "sequence": stage, "is_won": is_won}, long_ago, long_ago)
    for model in MODELS:
        tables.add("ir.model", {"model": model, "name": model}, long_ago, long_ago)
    _types(tables, long_ago)
    user_of = {person.number: _user(tables, person, long_ago)["id"] for person in staff}
    country_of = {row["code"]: row["id"] for row in tables.rows["res.country"].values()}
    currency_of = {row["name"]: row["id"] for row in tables.rows["res.currency"].values()}
    for customer in customers:
        if customer.kind == "prospect" or random.random() < 0.07:
            continue
        partner = _partner(tables, customer, user_of, country_of, random, before)
        truth[customer.number].setdefault("odoo", []).append(str(partner["id"]))
        for order in customer.orders:
            _order(tables, customer, order, partner, user_of, currency_of, random, before)
        if customer.kind != "churned" and random.random() < 0.25:
            _lead(tables, customer, partner, user_of, random, before)
        if random.random() < 0.2:
            _activity(tables, customer, partner, user_of, random, before)
    return tables


def _types(tables: Tables, long_ago: datetime) -> None:
    """Bring the types of activities; and what Odoo's own modules bring, by its external ids."""
    for name, _, category in ACTIVITY_TYPES:
        values = {"name": name, "category": category, "res_model": False, "active": True}
        tables.add("mail.activity.type", values, long_ago, long_ago)
    _name(tables, long_ago)


def _name(tables: Tables, long_ago: datetime) -> None:
    """Give what Odoo's own modules bring the external ids that they have everywhere."""
    named = [("base", row["code"].lower(), "res.country", row["id"]) for row in tables.rows["res.country"].values()]
    named += [("base", row["name"], "res.currency", row["id"]) for row in tables.rows["res.currency"].values()]
    models = ((row["model"].replace(".", "_"), row["id"]) for row in tables.rows["ir.model"].values())
    named += [("base", f"model_{model}", "ir.model", number) for model, number in models]
    types = enumerate((word for _, word, _ in ACTIVITY_TYPES), start=1)
    named += [("mail", f"mail_activity_data_{word}", "mail.activity.type", number) for number, word in types]
    for module, name, model, number in named:
        values = {"module": module, "name": name, "model": model, "res_id": number, "noupdate": True}
        tables.add("ir.model.data", values, long_ago, long_ago)


def _user(tables: Tables, person: Person, long_ago: datetime) -> Row:
    values = {"name": f"{person.first} {person.last}", "login": person.email, "email": person.email}
    return tables.add("res.users", values | {"active": person.is_active, "share": False}, long_ago, long_ago)


def _partner(
    tables: Tables,
    customer: Customer,
    user_of: dict[int, int],
    country_of: dict[str, int],
    random: Random,
    before: datetime,
) -> Row:
    created = at(customer.born, random, before)
    written = min(before, created + timedelta(days=random.randint(0, max(1, (before - created).days))))
    name = f"{customer.base} {customer.forms[1]}"
    values = {
        "name": name.upper() if random.random() < 0.2 else name,
        "ref": f"K{10000 + customer.number}",
        "is_company": True,
        "parent_id": False,
        "vat": customer.vat if random.random() < 0.85 else False,
        "country_id": country_of[customer.country],
        "state_id": False,
        "city": customer.city,
        "zip": customer.zip,
        "street": customer.street,
        "email": f"office@{customer.domain}",
        "phone": customer.phone if random.random() < 0.8 else False,
        "website": f"http://{customer.domain}" if random.random() < 0.5 else False,
        "user_id": user_of[customer.manager.number],
        "industry_id": False,
        "customer_rank": len(customer.orders),
        "credit_limit": round(customer.scale * 20000, -3),
        "active": not (customer.kind == "churned" and random.random() < 0.15),
    }
    partner = tables.add("res.partner", values, created, written)
    partner["commercial_partner_id"] = partner["id"]
    child = {
        "is_company": False,
        "parent_id": partner["id"],
        "commercial_partner_id": partner["id"],
        "active": True,
    }
    for first, last, _ in customer.contacts[:1]:
        values = {
            "name": f"{first} {last}",
            "email": f"{first}.{last}@{customer.domain}".lower(),
            "type": "contact",
        }
        tables.add("res.partner", child | values, created, created)
    if random.random() < 0.15:
        abroad = random.choice([code for code in country_of if code != customer.country])
        values = {"name": f"{customer.base} warehouse", "country_id": country_of[abroad], "type": "delivery"}
        partner["ship_to"] = tables.add("res.partner", child | values, created, created)["id"]
    return partner


def _order(
    tables: Tables,
    customer: Customer,
    order: Order,
    partner: Row,
    user_of: dict[int, int],
    currency_of: dict[str, int],
    random: Random,
    before: datetime,
) -> None:
    moment = at(order.on, random, before)
    currency = currency_of[customer.currency]
    gross = round(order.amount * 1.19, 2)
    shared = {"partner_id": partner["id"], "commercial_partner_id": partner["id"], "currency_id": currency}
    number = len(tables.rows["account.move"]) + 1
    if order.kind == "out_invoice":
        values = {"name": f"S{number:06d}", "state": "sale", "date_order": moment, "amount_total": gross}
        values |= {
            "user_id": user_of[customer.manager.number],
            "amount_untaxed": order.amount,
            "invoice_status": "invoiced",
        }
        tables.add("sale.order", shared | values | {"opportunity_id": False}, moment, moment)
    billed = min(order.on + timedelta(days=2), before.date())
    open_ = 0.0 if order.paid_on or order.kind == "out_refund" else gross
    sign = -1 if order.kind == "out_refund" else 1
    rate = RATE[customer.currency]
    values = {
        "name": f"{'RINV' if sign < 0 else 'INV'}/{billed.year}/{number:06d}",
        "move_type": order.kind,
        "state": "posted",
        "payment_state": "paid" if not open_ else "not_paid",
        "invoice_user_id": user_of[customer.manager.number],
        "partner_shipping_id": partner.get("ship_to")
        if random.random() < 0.3 and partner.get("ship_to")
        else partner["id"],
        "amount_untaxed": order.amount,
        "amount_tax": round(gross - order.amount, 2),
        "amount_total": gross,
        "amount_residual": open_,
        "amount_untaxed_signed": round(sign * order.amount / rate, 2),
        "amount_total_signed": round(sign * gross / rate, 2),
        "amount_residual_signed": round(sign * open_ / rate, 2),
        "invoice_date": billed.isoformat(),
        "invoice_date_due": (billed + timedelta(days=order.terms)).isoformat(),
        "ref": False,
    }
    written = at(max(billed, order.paid_on or billed), random, before)
    move = tables.add("account.move", shared | values, at(billed, random, before), written)
    if order.paid_on and sign > 0:
        values = {
            "name": f"PAY/{number:06d}",
            "amount": gross,
            "date": max(order.paid_on, billed).isoformat(),
            "state": "paid",
        }
        values |= {
            "payment_type": "inbound",
            "partner_type": "customer",
            "currency_id": currency,
            "partner_id": partner["id"],
        }
        tables.add("account.payment", values | {"reconciled_invoice_ids": [move["id"]]}, written, written)


def _lead(
    tables: Tables,
    customer: Customer,
    partner: Row,
    user_of: dict[int, int],
    random: Random,
    before: datetime,
) -> None:
    moment = before - timedelta(days=random.randint(1, 90), hours=3)
    lost = random.random() < 0.3
    values = {
        "name": f"{customer.base} service contract",
        "type": "opportunity",
        "partner_id": partner["id"],
        "user_id": user_of[customer.manager.number],
        "stage_id": random.choice((1, 2)),
        "expected_revenue": round(random.uniform(1e3, 2e4), 2),
        "probability": 0.0 if lost else random.choice((10.0, 30.0, 60.0)),
        "date_deadline": (before.date() + timedelta(days=random.randint(10, 150))).isoformat(),
        "date_closed": moment if lost else False,
        "won_status": "lost" if lost else "pending",
        "company_currency": 1,
        "active": not lost,
    }
    tables.add("crm.lead", values, moment - timedelta(days=10), moment)


def _activity(
    tables: Tables,
    customer: Customer,
    partner: Row,
    user_of: dict[int, int],
    random: Random,
    before: datetime,
) -> None:
    moment = before - timedelta(days=random.randint(1, 20))
    values = {
        "res_model": "res.partner",
        "res_model_id": 1,
        "res_id": partner["id"],
        "summary": "Check credit limit",
        "note": "",
        "date_deadline": (moment.date() + timedelta(days=random.randint(1, 60))).isoformat(),
        "user_id": user_of[customer.manager.number],
        "activity_type_id": 4,
        "active": True,
    }
    tables.add("mail.activity", values, moment, moment)
