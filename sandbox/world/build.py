"""Assemble the world: fill the systems, link them as well as companies do, and spoil a few per cent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any

from sandbox.world import hubspot, odoo, plain, zendesk
from sandbox.world.company import Customer, customers, people


@dataclass
class World:
    """Hold the systems and the truth that no system knows."""

    portal: hubspot.Portal
    tables: odoo.Tables
    desk: zendesk.Desk
    plain: plain.Rows
    truth: dict[int, dict[str, Any]]
    dirty: list[dict[str, str]] = field(default_factory=list)


def build(count: int, seed: int, today: date) -> World:
    """Build the same world for the same arguments."""
    random = Random(seed)
    staff = people(random)
    companies = customers(count, random, today, staff)
    truth: dict[int, dict[str, Any]] = {
        company.number: {"name": company.name, "kind": company.kind} for company in companies
    }
    world = World(
        portal=hubspot.fill(companies, staff, random, today, truth),
        tables=odoo.fill(companies, staff, random, today, truth),
        desk=zendesk.fill(companies, staff, random, today, truth),
        plain=plain.fill(companies, today),
        truth=truth,
    )
    for customer in companies:
        _link(world, customer, random)
    _spoil(world, random)
    return world


def _link(world: World, customer: Customer, random: Random) -> None:
    """Store some ids of one system in another, as a person or an earlier integration did."""
    ids = world.truth[customer.number]
    company = next(iter(ids.get("hubspot", ())), None)
    partner = next(iter(ids.get("odoo", ())), None)
    if company and partner and random.random() < 0.55:
        world.portal.objects["companies"][company]["properties"]["erp_id"] = partner
    organization = next(iter(ids.get("zendesk", ())), None)
    if company and organization and random.random() < 0.5:
        world.desk.rows["organizations"][int(organization)]["external_id"] = company


def _spoil(world: World, random: Random) -> None:
    companies, deals = world.portal.objects["companies"], world.portal.objects["deals"]
    moves, payments = world.tables.rows["account.move"], world.tables.rows["account.payment"]
    tickets = world.desk.rows["tickets"]
    spoil = _Spoiler(world, random)
    spoil("hubspot", "companies", companies, 0.004, "no name", lambda row: row["properties"].update(name=""))
    spoil(
        "hubspot",
        "companies",
        companies,
        0.007,
        "malformed domain",
        lambda row: row["properties"].update(domain="not a domain"),
    )
    spoil(
        "hubspot",
        "companies",
        companies,
        0.007,
        "country is no country",
        lambda row: row["properties"].update(country="Atlantis"),
    )
    spoil(
        "hubspot",
        "deals",
        deals,
        0.008,
        "amount is no number",
        lambda row: row["properties"].update(amount="N/A"),
    )
    spoil(
        "hubspot",
        "deals",
        deals,
        0.008,
        "unknown currency",
        lambda row: row["properties"].update(deal_currency_code="EURO"),
    )
    spoil(
        "hubspot",
        "deals",
        deals,
        0.006,
        "absurd amount",
        lambda row: row["properties"].update(amount="99999999999999"),
    )
    spoil("hubspot", "deals", _closed(deals), 0.006, "closed before it was created", _closed_early)
    spoil(
        "odoo",
        "account.move",
        moves,
        0.006,
        "due before it was issued",
        lambda row: row.update(invoice_date_due="2020-01-01"),
    )
    spoil(
        "odoo",
        "account.move",
        moves,
        0.005,
        "no partner",
        lambda row: row.update(partner_id=False, commercial_partner_id=False),
    )
    spoil("odoo", "account.move", moves, 0.003, "no date", lambda row: row.update(invoice_date=False))
    spoil(
        "odoo",
        "account.payment",
        payments,
        0.006,
        "negative amount",
        lambda row: row.update(amount=-row["amount"]),
    )
    spoil("zendesk", "tickets", tickets, 0.008, "negative reply time", _negative_reply)
    spoil("zendesk", "tickets", tickets, 0.006, "unknown priority", lambda row: row.update(priority="P1"))


def _closed(deals: dict[str, Any]) -> dict[str, Any]:
    return {number: row for number, row in deals.items() if row["properties"]["hs_is_closed"] == "true"}


def _closed_early(row: dict[str, Any]) -> None:
    row["properties"].update(closedate="2019-03-01T10:00:00.000Z")


def _negative_reply(row: dict[str, Any]) -> None:
    row["metric_set"]["reply_time_in_minutes"]["calendar"] = -5


class _Spoiler:
    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random
        self.used: set[tuple[str, str, str]] = set()

    def __call__(
        self,
        system: str,
        kind: str,
        rows: dict[Any, Any],
        share: float,
        what: str,
        how: Callable[[Any], None],
    ) -> None:
        alive = [
            key for key in sorted(rows) if (system, kind, str(key)) not in self.used and not rows[key].get("archived")
        ]
        for key in self.random.sample(alive, min(len(alive), max(1, round(len(alive) * share)))):
            how(rows[key])
            self.used.add((system, kind, str(key)))
            self.world.dirty.append({"system": system, "object": kind, "id": str(key), "kind": what})
