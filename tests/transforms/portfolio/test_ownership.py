"""Who looked after a customer, over time."""

from datetime import date, timedelta
from typing import Any

import ibis
import pytest

from transforms.customers.owner_roles import holders
from transforms.portfolio.ownership import owned_on, ownership

FIRST = date(2026, 1, 1)
Spells = list[tuple[str | None, date, date | None]]


@pytest.fixture
def history(con, rows):
    """Run builds one after the other, each of (days after the first, manager seen), and list the manager's spells."""

    def run(*builds: tuple[int, str | None]) -> Any:
        table = rows("ownership")
        for days, name in builds:
            observed_rows = {
                "customer_id": "C1",
                "role": "account_manager",
                "owner_key": name,
                "owner": name,
                "valid_from": FIRST,
            }
            stored = rows("ownership", *([observed_rows] if name else [])).drop("valid_from", "valid_to")
            result = ownership(
                rows("customers", {"customer_id": "C1"}), stored, table, as_of=FIRST + timedelta(days=days)
            )
            table = con.create_table("spells", result.to_pyarrow(), temp=True, overwrite=True)
        return table

    return run


def managers(table: Any) -> Spells:
    result = table.filter(table.role == "account_manager").order_by("valid_from").to_pyarrow().to_pylist()
    return [(row["owner"], row["valid_from"], row["valid_to"]) for row in result]


def day(days: int) -> date:
    return FIRST + timedelta(days=days)


def test_a_spell_lasts_while_the_same_person_is_seen(history):
    assert managers(history((0, "Mia"), (1, "Mia"), (2, "Mia"))) == [("Mia", FIRST, None)]


def test_a_spell_ends_where_another_begins(history):
    assert managers(history((0, "Mia"), (1, "Bob"))) == [("Mia", FIRST, day(1)), ("Bob", day(1), None)]


def test_a_time_without_a_manager_is_a_spell_as_well(history):
    result = managers(history((0, "Mia"), (1, None), (2, None), (3, "Mia")))
    assert result == [("Mia", FIRST, day(1)), (None, day(1), day(3)), ("Mia", day(3), None)]


def test_a_second_build_of_the_same_day_replaces_the_first(history):
    assert managers(history((0, "Mia"), (1, "Bob"), (1, "Mia"))) == [("Mia", FIRST, None)]


def test_a_build_of_an_earlier_day_leaves_later_spells_alone(history):
    result = managers(history((0, "Mia"), (9, "Bob"), (5, "Eve")))
    assert result == [("Mia", FIRST, day(5)), ("Eve", day(5), day(9)), ("Bob", day(9), None)]


def test_who_looked_after_a_customer_on_a_day(history):
    table = history((0, "Mia"), (5, "Bob"))

    def on(days: int) -> list[str]:
        result = owned_on(table, day(days), "account_manager").to_pyarrow().to_pylist()
        return [row["owner"] for row in result]

    assert [on(-30), on(0), on(4), on(5), on(99)] == [["Mia"], ["Mia"], ["Mia"], ["Bob"], ["Bob"]]


def test_a_persons_ids_in_all_systems_are_found_by_mail(con, rows):
    fields = {"stream": "owners", "email": "Mia@acme.com", "is_active": True}
    owners = rows(
        "owners",
        {"connection": "hubspot", "owner_id": "5", "name": "Mia", "region": "North", **fields},
        {"connection": "odoo", "owner_id": '7"', **fields},
        {"connection": "odoo", "owner_id": "1", **fields, "is_active": False},
    )
    account, deals = rows("accounts", {"connection": "odoo", "account_id": "1", "owner_id": '7"'}), rows("deals")
    stored = (table.mutate(customer_id=ibis.literal("C1")) for table in (account, deals))
    (row,) = holders(*stored, owners, {"odoo": "erp"}).to_pyarrow().to_pylist()
    assert (row["owner"], row["owner_email"], row["owner_region"]) == ("Mia", "mia@acme.com", "North")
    assert row["owner_ids"] == '{"hubspot":"5","odoo":"7\\""}'
