"""A customer that is new to a system gets all that is owed to it in the night it is created: the next one is quiet."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.build.run import build
from engine.config.delivery import DeliveryConfig
from engine.config.delivery_order import followers, in_order
from engine.config.project import Project
from engine.deliver.apply import apply
from engine.deliver.plan import plan
from engine.extract.run import extract
from sandbox.server import Sandbox
from tests.conftest import TODAY, only, opened

ERP_STREAMS = ["accounts", "orders", "invoices", "payments", "owners"]
TO_CRM = {  # a customer of the ERP becomes a company in the CRM, once
    "table": "customers",
    "target": {"connection": "hubspot", "stream": "accounts"},
    "match": "upsert",
    "key": {"field": "belvedere_key", "from": "customer_id"},
    "create_where": "name = 'Kolk Werft'",
    "fields": {
        "name": {"from": "name", "owner": "erp", "policy": "fill_empty"},
        "city": {"from": "city", "owner": "erp", "policy": "fill_empty"},
    },
    "guards": {"max_creates": 50},
}


@dataclass
class Story:
    """Run nights, and approve by hand, after each of them, the delivery that waits for it."""

    project: Project
    sandbox: Sandbox
    manual: str | None
    writes: list[list[dict[str, Any]]] = field(default_factory=list)

    def night(self, day: int) -> None:
        before = len(self.sandbox.writes)
        name = f"night-{len(self.writes)}"
        for connection in self.project.connections:
            assert {result.status for result in extract(self.project, connection, name)} == {"done"}
        for _ in build(self.project, TODAY + timedelta(days=day), name):
            pass
        for delivery in self.project.deliveries:
            self.deliver(delivery, name)
        if self.manual:
            self.approve(self.manual)
        self.writes.append(self.sandbox.writes[before:])

    def deliver(self, delivery: str, run_id: str) -> None:
        made = plan(self.project, delivery, run_id)
        assert not made.violations
        if delivery != self.manual:
            assert apply(self.project, delivery, run_id).counts.keys() <= {"applied", "unchanged"}

    def approve(self, delivery: str) -> None:
        """Do what `belvedere apply` does: apply the plan, then deliver what others owe to what it created."""
        apply(self.project, delivery, "by-hand")
        for other in followers(self.project.deliveries, self.project.roles(), delivery):
            self.deliver(other, "by-hand")

    def win(self, company: str) -> str:
        """Win the first deal of a new company, and make a partner that the CRM does not have; tells the partner."""
        deal = {"dealname": "First", "amount": "9000", "deal_currency_code": "EUR", "dealstage": "closedwon"}
        deal |= {"pipeline": "default", "hs_is_closed": "true", "hs_is_closed_won": "true"}
        made = self.sandbox.create("hubspot", "deals", deal | {"closedate": f"{TODAY}T08:00:00.000Z"})
        self.sandbox.associate("hubspot", "deals", made, "companies", company)
        return str(
            self.sandbox.create("odoo", "res.partner", {"name": "Kolk Werft", "city": "Kiel", "is_company": True})
        )

    def written(self, system: str, action: str) -> list[dict[str, Any]]:
        return [one for one in self.writes[-1] if (one["system"], one["action"]) == (system, action)]


@pytest.fixture(params=[None, "partners_to_odoo"])
def story(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Story]:
    with Sandbox(customers=12, seed=3, today=TODAY) as running:
        monkeypatch.setenv("SANDBOX_URL", running.url)
        unique = {"name": "belvedere_key", "type": "string", "hasUniqueValue": True}
        running.hubspot.properties.add("companies", unique)
        project = only(opened(tmp_path), hubspot=["accounts", "deals", "owners"], odoo=ERP_STREAMS)
        project.deliveries["companies_to_hubspot"] = DeliveryConfig.model_validate(TO_CRM)
        del project.deliveries["reminders_to_hubspot"]
        project.deliveries = in_order(project.deliveries, project.roles())
        for connection in project.connections.values():
            connection.max_quarantine_share = 1.0
        for delivery in project.deliveries.values():
            delivery.guards.max_change_pct, delivery.guards.max_blanks = None, 999
        for system, prefix in (("hubspot", ""), ("odoo", "x_")):
            # Rightly another one the next night: the CRM knows the customer then, and that it has no deals.
            del project.deliveries[f"scores_to_{system}"].fields[f"{prefix}belvedere_key_account_score"]
        told = Story(project, running, request.param)
        told.night(0)
        yield told


def test_the_night_after_a_create_in_each_direction_writes_nothing(story: Story):
    company = story.sandbox.create("hubspot", "companies", {"name": "Nordlicht Optik", "city": "Husum"})
    partner = story.win(company)
    story.sandbox.clock.advance(7200)
    story.night(1)
    created = {system: story.written(system, "create") for system in ("hubspot", "odoo")}
    assert {system: len(some) for system, some in created.items()} == {"hubspot": 1, "odoo": 1}
    (new_company,), (new_partner,) = (created[system] for system in ("hubspot", "odoo"))
    fields = {(one["system"], str(one["id"])): set() for one in story.writes[-1]}
    for one in story.writes[-1]:
        fields[one["system"], str(one["id"])] |= set(one["after"])
    assert {"erp_id", "belvedere_customer_id"} <= fields["hubspot", str(new_company["id"])]
    assert "x_belvedere_customer_id" in fields["odoo", str(new_partner["id"])]
    assert "erp_id" in fields["hubspot", company]
    assert "x_belvedere_customer_id" in fields["odoo", partner]
    story.sandbox.clock.advance(7200)
    story.night(1)
    assert story.writes[-1] == []
