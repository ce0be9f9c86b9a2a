"""The registry of tables: what each reads comes from its function."""

import pytest

from engine.build.registry import Internal, Registry, RegistryError, Table, UnitTable
from engine.build.settings import build_settings
from engine.build.tables import TABLES
from schemas.find import tables as schemas
from tests.conftest import TODAY, opened


def accounts():
    """Stand for a table that reads nothing."""


def members(accounts, *, as_of):
    """Stand for an internal table."""


def customers(members, previous, *, roles):
    """Stand for a table that reads an internal one, and its own earlier rows."""


def scores(customers, previous_accounts):
    """Stand for a table that reads an earlier version of another."""


def small(*tables: Table) -> Registry:
    return Registry(tables, [Internal(members)])


def test_a_table_reads_what_its_parameters_name_also_through_internal_steps():
    registry = small(Table(accounts), Table(customers), Table(scores))
    assert registry.reads("customers") == {"accounts"}
    assert registry.reads("scores") == {"customers"}


def test_tables_are_made_in_the_listed_order_as_far_as_they_can():
    assert [*small(Table(scores), Table(customers), Table(accounts)).tables] == ["accounts", "customers", "scores"]
    assert [*TABLES.tables][:2] == ["fx_rates", "accounts"]


def test_what_is_up_and_down_the_stream_of_a_table():
    registry = small(Table(accounts), Table(customers), Table(scores))
    assert registry.downstream({"accounts"}) == {"customers", "scores"}
    assert registry.upstream("scores") == ("accounts", "customers")
    assert registry.upstream("scores", until={"customers"}) == ("customers",)


def test_a_name_that_is_nothing_is_an_error_that_names_it():
    with pytest.raises(RegistryError, match="customers reads members, which is no table and no internal step"):
        Registry([Table(accounts), Table(customers)])


def test_a_circle_is_an_error_that_names_its_tables():
    def one(two):
        """Stand for a table."""

    def two(one):
        """Stand for a table."""

    with pytest.raises(RegistryError, match="in a circle: (one -> two -> one|two -> one -> two)"):
        Registry([Table(one), Table(two)])


def test_every_setting_that_a_step_names_is_there(tmp_path):
    settings = build_settings(opened(tmp_path), TODAY).keys() | {"con", "fits", "flows"}
    steps = [*TABLES.internals.values(), *TABLES.tables.values()]
    keywords = {name for step in steps if not isinstance(step, UnitTable) for name in step.keywords.values()}
    assert keywords - {*TABLES.internals} <= settings
    assert not settings & {*TABLES.internals}


def test_every_table_has_a_schema_of_its_name():
    assert {*TABLES.tables} <= {*schemas()}


@pytest.mark.parametrize(
    ("table", "reads"),
    [
        ("accounts", set()),
        ("deals", {"fx_rates"}),
        ("customer_redirects", {"crosswalk"}),
        # what was paid later opens an invoice again
        ("retention", {"customers", "crosswalk", "orders", "invoices", "payments"}),
        ("satisfaction", {"customers", "crosswalk", "tickets", "ratings"}),
        ("customer_360", {"customers", "key_accounts", "score_history"}),
        ("score_alerts", {"customers", "score_history"}),
        (
            "regions",
            {*("customers", "crosswalk", "ownership", "invoices", "tickets", "activities")}
            | {*("retention", "satisfaction", "key_accounts")},
        ),
    ],
)
def test_what_a_table_reads_is_known_from_its_function(table, reads):
    assert TABLES.reads(table) == reads
