"""A handful of changes at the sources, as a working day brings them."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sandbox.hubspot.api import HubSpot
from sandbox.odoo.api import Odoo
from sandbox.world.build import World
from sandbox.zendesk.api import Zendesk

Told = list[dict[str, str]]


def change(world: World, hubspot: HubSpot, odoo: Odoo, zendesk: Zendesk) -> Told:
    """Make the changes and tell what was done, in plain words."""
    messages: Told = []

    def tell(system: str, kind: str, number: Any, what: str) -> None:
        messages.append({"system": system, "object": kind, "id": str(number), "what": what})

    spoilt = {entry["id"] for entry in world.dirty if entry["object"] == "companies"}
    companies = [row for key, row in hubspot.objects["companies"].items() if not row["archived"] and key not in spoilt]
    if len(companies) < 8:
        raise ValueError(f"{len(companies)} companies are too few to change; run the sandbox with more customers")
    apart = min(8, (len(companies) - 4) // 4)
    renamed, called, bought, merged, loser = (companies[3 + apart * position] for position in range(5))
    hubspot.edit("companies", renamed["id"], {"name": f"{renamed['properties']['name']} Holding"})
    tell("hubspot", "companies", renamed["id"], "renamed")
    hubspot.edit("companies", called["id"], {"phone": "+49 30 5550100"})
    tell("hubspot", "companies", called["id"], "phone number corrected")
    _won(hubspot, bought["id"], tell)
    hubspot.merge("companies", merged["id"], loser["id"])
    tell("hubspot", "companies", loser["id"], f"merged into {merged['id']}")
    with suppress(StopIteration):  # a small world may hold nothing that fits: it is left out
        _repaired(world, hubspot, tell)
    steps: list[Callable[[], None]] = [
        lambda: _lost(hubspot, tell),
        lambda: _billed(odoo, tell),
        lambda: _paid(odoo, tell),
        lambda: _solved(zendesk, tell),
    ]
    for step in steps:
        with suppress(StopIteration):
            step()
    return messages


def _lost(hubspot: HubSpot, tell: Any) -> None:
    deal = next(
        row
        for row in hubspot.objects["deals"].values()
        if not row["archived"] and row["properties"]["dealstage"] == "closedlost"
    )
    hubspot.delete("deals", deal["id"])
    tell("hubspot", "deals", deal["id"], "archived")


def _won(hubspot: HubSpot, company: str, tell: Any) -> None:
    now = hubspot.clock.now()
    values = {
        "dealname": "New frame order",
        "amount": "48000.00",
        "deal_currency_code": "EUR",
        "pipeline": "default",
    }
    values |= {
        "dealstage": "closedwon",
        "hs_is_closed": "true",
        "hs_is_closed_won": "true",
        "hs_deal_stage_probability": "1.0",
    }
    stamp = f"{now:%Y-%m-%dT%H:%M:%S}.000Z"
    deal = hubspot.portal.add(
        "deals", values | {"closedate": stamp, "dealtype": "existingbusiness"}, now - timedelta(hours=2), now
    )
    hubspot.touched["deals", deal["id"]] = now
    hubspot.portal.link(("deals", deal["id"]), ("companies", company), 5, "Primary")
    tell("hubspot", "deals", deal["id"], "won, 48,000 EUR")


def _repaired(world: World, hubspot: HubSpot, tell: Any) -> None:
    row = next(entry for entry in world.dirty if entry["object"] == "deals" and entry["kind"] == "amount is no number")
    hubspot.edit("deals", row["id"], {"amount": "12500.00"})
    tell("hubspot", "deals", row["id"], "amount repaired, it was no number")


def _billed(odoo: Odoo, tell: Any) -> None:
    now = odoo.clock.now()
    model = next(
        row for row in odoo.tables["account.move"].values() if row["move_type"] == "out_invoice" and row["partner_id"]
    )
    fresh = {name: value for name, value in model.items() if name not in ("id", "create_date", "write_date")}
    fresh |= {
        "invoice_date": now.date().isoformat(),
        "invoice_date_due": (now.date() + timedelta(days=30)).isoformat(),
    }
    fresh |= {
        "amount_untaxed": 7300.0,
        "amount_tax": 1387.0,
        "amount_total": 8687.0,
        "amount_residual": 8687.0,
    }
    fresh |= {"payment_state": "not_paid", "name": f"INV/{now.year}/999999"}
    move = odoo.data.add("account.move", fresh, now, now)
    tell("odoo", "account.move", move["id"], "new invoice, 7,300 net")


def _paid(odoo: Odoo, tell: Any) -> None:
    now = odoo.clock.now()
    move = next(
        row for row in odoo.tables["account.move"].values() if row["payment_state"] == "not_paid" and row["partner_id"]
    )
    values = {
        "name": f"PAY/{move['id']:06d}",
        "amount": move["amount_residual"],
        "date": now.date().isoformat(),
        "state": "paid",
    }
    values |= {"payment_type": "inbound", "partner_type": "customer", "currency_id": move["currency_id"]}
    values |= {"partner_id": move["partner_id"], "reconciled_invoice_ids": [move["id"]]}
    odoo.data.add("account.payment", values, now, now)
    odoo.edit(
        "account.move",
        move["id"],
        {"payment_state": "paid", "amount_residual": 0.0, "amount_residual_signed": 0.0},
    )
    tell("odoo", "account.move", move["id"], "paid")


def _solved(zendesk: Zendesk, tell: Any) -> None:
    now = zendesk.clock.now()
    ticket = next(
        row for row in zendesk.tables["tickets"].values() if row["status"] in ("open", "pending", "new", "hold")
    )
    stamp = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    metrics = ticket["metric_set"] | {
        "solved_at": stamp,
        "full_resolution_time_in_minutes": {"calendar": 4321, "business": None},
    }
    zendesk.edit(
        "tickets",
        ticket["id"],
        {"status": "solved", "metric_set": metrics, "satisfaction_rating": {"score": "bad"}},
    )
    values = {"score": "bad", "comment": "Took far too long.", "reason": None, "ticket_id": ticket["id"]}
    values |= {"requester_id": ticket["requester_id"], "assignee_id": ticket["assignee_id"], "group_id": None}
    zendesk.desk.add("satisfaction_ratings", values, now, now)
    tell("zendesk", "tickets", ticket["id"], "solved and rated bad")
