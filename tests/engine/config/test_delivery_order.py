"""Deliveries that create accounts run before those that owe something to an account just created."""

from typing import Any

import pytest

from connectors.kit.errors import SettingsError
from engine.config.delivery import DeliveryConfig
from engine.config.delivery_order import chain_lengths, followers, in_order, predecessors

ROLES = {"hubspot": "crm", "odoo": "erp"}
LINK = {"erp_id": {"from": "account_id", "owner": "erp"}}


def delivery(connection: str, *, creates: bool = False, **more: Any) -> DeliveryConfig:
    settings: dict[str, Any] = {"target": {"connection": connection}, "fields": {"score": {"from": "retention_score"}}}
    if creates:
        settings |= {"match": "upsert", "key": {"field": "key", "from": "customer_id"}}
    return DeliveryConfig.model_validate(settings | more)


def test_creates_run_before_scores_and_links():
    deliveries = {
        "a_scores": delivery("odoo"),
        "b_links": delivery("hubspot", fields=LINK),
        "c_scores": delivery("hubspot"),
        "z_creates": delivery("odoo", creates=True),
    }
    assert predecessors(deliveries, ROLES) == {
        "a_scores": ["z_creates"],
        "b_links": ["z_creates"],
        "c_scores": [],
        "z_creates": [],
    }
    assert followers(deliveries, ROLES, "z_creates") == ["a_scores", "b_links"]
    assert chain_lengths(deliveries, ROLES) == {"a_scores": 0, "b_links": 0, "c_scores": 0, "z_creates": 1}


def test_tasks_of_an_account_run_after_it_is_created():
    tasks = {
        "target": {"connection": "hubspot", "stream": "tasks"},
        "match": "create_only",
        "key": {"field": "key", "from": "reminder_id"},
        "fields": {"company_id": {"from": "account_id", "owner": "hubspot"}},
    }
    deliveries = {"a_tasks": DeliveryConfig.model_validate(tasks), "creates": delivery("hubspot", creates=True)}
    assert list(in_order(deliveries, ROLES)) == ["creates", "a_tasks"]


def test_after_wins_and_of_two_in_a_cycle_the_first_by_name_runs_first():
    crm = {"crm_id": {"from": "account_id", "owner": "crm"}}
    deliveries = {
        "b": delivery("hubspot", creates=True, fields=LINK),
        "a": delivery("odoo", creates=True, fields=crm),
        "c": delivery("hubspot"),
    }
    assert list(in_order(deliveries, ROLES)) == ["a", "b", "c"]
    deliveries["a"].after = ["b"]
    assert list(in_order(deliveries, ROLES)) == ["b", "a", "c"] or list(in_order(deliveries, ROLES)) == ["b", "c", "a"]
    deliveries["b"].after = ["c"]
    assert list(in_order(deliveries, ROLES)) == ["c", "b", "a"]


def test_a_wrong_after_is_refused():
    with pytest.raises(SettingsError, match="no delivery 'b'"):
        in_order({"a": delivery("odoo", after=["b"])}, ROLES)
    with pytest.raises(SettingsError, match="`after` forms a cycle: "):
        in_order({"a": delivery("odoo", after=["b"]), "b": delivery("odoo", after=["a"])}, ROLES)
