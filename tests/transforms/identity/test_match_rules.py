"""What joins two accounts by which rule, and what proves nothing."""

from typing import Any

import ibis
import pyarrow as pa
import pytest

from engine.storage.backend.backend import keep
from transforms.identity.match_keys import MOST_PER_CONNECTION, match_keys
from transforms.identity.match_rules import RULES, groups, judged, nodes

SAME = pa.schema([("left", pa.string()), ("right", pa.string())])
POSTAL = {"name": "Müller GmbH", "postal_code": "10115"}


def account(node: str, **fields: Any) -> dict[str, Any]:
    connection, account_id = node.split("/")
    return {"connection": connection, "account_id": account_id, "name": f"Acme {node}", **fields}


@pytest.fixture
def joins(rows, con):
    """List what joins: the rule and the nodes of each group."""

    def find(
        *accounts: dict[str, Any], same: Any = (), probable: Any = (), links: Any = None
    ) -> list[tuple[str, list[str]]]:
        table = rows("accounts", *accounts)
        likely, pairs = (
            ibis.memtable(pa.Table.from_pylist([{"left": a, "right": b} for a, b in fields], schema=SAME))
            for fields in (probable, same)
        )
        keys, links = keep(con, match_keys(table)), {"crm": "erp"} if links is None else links
        gathered: dict[tuple[int, str], list[str]] = {}
        for result in (groups(table, keys, nodes(table), likely, links), judged(pairs, nodes(table))):
            for row in result.to_pyarrow().to_pylist():
                gathered.setdefault((row["rank"], row["value"]), []).append(row["node"])
        return sorted((RULES[rank], sorted(members)) for (rank, _), members in gathered.items())

    return find


def test_a_stored_link_joins_where_its_target_is_known(joins):
    result = joins(
        account("crm/1", link_id="9"),
        account("erp/9"),
        account("crm/2", link_id="404"),
        account("crm/3", link_id="404"),
        account("help/1", link_id="9"),
    )
    assert result == [("link", ["crm/1", "erp/9"])]


def test_ids_merged_at_the_source_join_their_winner(joins):
    assert joins(account("crm/1", merged_ids="2; 3;"), account("crm/3"), links={}) == [
        ("redirect", ["crm/1", "crm/2"]),
        ("redirect", ["crm/1", "crm/3"]),
    ]


def test_a_link_may_point_at_an_id_that_was_merged_away(joins):
    result = joins(account("erp/1", merged_ids="2"), account("crm/1", link_id="2"))
    assert result == [("link", ["crm/1", "erp/2"]), ("redirect", ["erp/1", "erp/2"])]


def test_judgements_join_known_accounts(joins):
    result = joins(account("crm/1"), account("erp/1"), same=[("erp/1", "crm/1"), ("crm/1", "erp/404")])
    assert result == [("judgement", ["crm/1", "erp/1"])]


def test_tax_numbers_join_however_they_are_written(joins):
    result = joins(
        account("crm/1", tax_id="DE 136 695 976"),
        account("erp/1", tax_id="136695976", country="DE"),
        account("help/1", tax_id="136.695.976"),
        account("erp/2", tax_id="n/a"),
        account("crm/2", tax_id="n/a"),
    )
    assert result == [("tax_id", ["crm/1", "erp/1", "help/1"])]


def test_equal_tax_numbers_of_two_countries_join_within_each_only(joins):
    result = joins(
        account("crm/1", tax_id="13-6695976", country="US"),
        account("erp/1", tax_id="136695976", country="US"),
        account("erp/2", tax_id="136695976", country="CA"),
        account("help/1", tax_id="136695976"),
    )
    assert result == [("tax_id", ["crm/1", "erp/1"])]


def test_phones_join_across_spellings(joins):
    result = joins(account("crm/1", phone="030 2244667", country="DE"), account("help/1", phone="+49 (0)30 22 44 667"))
    assert result == [("phone", ["crm/1", "help/1"])]


def test_a_phone_of_two_companies_with_their_own_tax_numbers_proves_nothing(joins):
    result = joins(
        account("erp/1", name="Acme", phone="+49 30 2244667", tax_id="DE136695976"),
        account("erp/2", name="Acme", phone="+49 30 2244667", tax_id="DE129273398"),
        account("crm/1", name="Acme", phone="+49 30 2244667"),
    )
    assert result == []


def test_a_phone_of_accounts_in_two_countries_joins_within_each_only(joins):
    result = joins(
        account("crm/1", name="Acme", phone="+49 30 2244667", country="DE"),
        account("erp/1", name="Acme", phone="+49 30 2244667", country="DE"),
        account("erp/2", name="Acme", phone="+49 30 2244667", country="AT"),
    )
    assert result == [("phone", ["crm/1", "erp/1"])]


def test_a_phone_joins_names_that_begin_alike(joins):
    result = joins(
        account("crm/1", name="Acme Berlin GmbH", phone="+49 30 2244667"),
        account("erp/1", name="ACME", phone="+49 30 2244667"),
        account("erp/2", name="Beta", phone="+49 30 2244667"),
    )
    assert result == []
    result = joins(
        account("crm/1", name="Acme Berlin GmbH", phone="+49 30 2244667"),
        account("erp/1", name="ACME", phone="+49 30 2244667"),
        account("help/2", name="Beta", phone="+49 30 2244667"),
    )
    assert result == [("phone", ["crm/1", "erp/1"])]


def test_neither_phone_nor_domain_joins_across_postal_codes(joins):
    result = joins(
        account("crm/1", name="Acme", phone="+49 30 2244667", domain="acme.de", postal_code="10115"),
        account("erp/1", name="Acme", phone="+49 30 2244667", domain="acme.de", postal_code="80331"),
        account("help/1", name="Acme", phone="+49 30 2244667", domain="acme.de"),
    )
    assert result == []


def test_a_switchboard_joins_equal_names_alone(joins):
    result = joins(
        account("crm/1", name="Ritz Café", phone="+49 30 2244667"),
        account("crm/2", name="Ritz Bar", phone="+49 30 2244667"),
        account("erp/1", name="Ritz Café", phone="+49 30 2244667"),
        account("erp/2", name="Ritz Ballroom", phone="+49 30 2244667"),
    )
    assert result == [("phone", ["crm/1", "erp/1"])]


@pytest.mark.parametrize("count", [5, 6, MOST_PER_CONNECTION, MOST_PER_CONNECTION + 1])
@pytest.mark.parametrize(
    ("rule", "same"),
    [
        ("phone", {"name": "Acme", "phone": "+49 30 2244667"}),
        ("tax_id", {"tax_id": "DE136695976"}),
        ("name_postcode", POSTAL),
        ("domain", {"name": "Acme", "domain": "acme.de"}),
    ],
)
def test_one_duplicate_more_in_a_system_splits_nobody(joins, count, rule, same):
    many = [account(f"crm/{n}", **same) for n in range(count)]
    assert joins(*many) == [(rule, sorted(f"crm/{n}" for n in range(count)))]


def test_a_number_without_check_digits_that_very_many_share_is_a_placeholder(joins):
    many = [account(f"crm/{n}", tax_id="US 35-2918437", country="US") for n in range(MOST_PER_CONNECTION + 1)]
    assert joins(*many) == []
    assert joins(*many[1:]) == [("tax_id", sorted(row["connection"] + "/" + row["account_id"] for row in many[1:]))]


def test_two_kinds_of_number_do_not_prove_two_companies(joins):
    """A German company has a VAT number and a Steuernummer; its CRM may hold one, its ERP the other."""
    same = {"name": "Acme GmbH", "country": "DE", "domain": "acme.de"}
    result = joins(account("crm/1", tax_id="DE136695976", **same), account("erp/1", tax_id="12/345/67891", **same))
    assert result == [("domain", ["crm/1", "erp/1"])]


def test_name_and_postcode_join_together_but_not_alone(joins):
    result = joins(
        account("crm/1", **POSTAL),
        account("erp/1", name="Mueller AG", postal_code="D-10115"),
        account("erp/2", name="Müller", postal_code="99999"),
        account("erp/3", name="Test", postal_code="10115"),
        account("crm/3", name="test", postal_code="10115"),
    )
    assert result == [("name_postcode", ["crm/1", "erp/1"])]


def test_a_mistyped_tax_number_joins_nobody(joins):
    assert joins(account("crm/1", tax_id="DE136695977"), account("erp/1", tax_id="DE 136 695 977")) == []


def test_a_domain_joins_with_the_name_or_the_postal_code_but_not_alone(joins):
    result = joins(
        account("crm/1", name="Acme GmbH", domain="www.acme.co.uk"),
        account("erp/1", name="ACME AG", email="office@shop.acme.co.uk"),
        account("crm/2", domain="beta.de", postal_code="10115"),
        account("erp/2", domain="beta.de", postal_code="D-10115"),
        account("crm/3", domain="gamma.de"),
        account("erp/3", domain="gamma.de", postal_code="99999"),
        account("crm/4", name="Delta", email="delta@gmail.com"),
        account("erp/4", name="Delta", email="delta@gmail.com"),
    )
    assert result == [("domain", ["crm/1", "erp/1"]), ("domain", ["crm/2", "erp/2"])]


def test_a_domain_that_very_many_of_one_system_share_joins_no_neighbours(joins):
    many = [account(f"crm/{n + 10}", domain="stadtnetz.de") for n in range(MOST_PER_CONNECTION)]
    pair = [account(node, domain="stadtnetz.de", postal_code="10115") for node in ("crm/9", "erp/9")]
    assert joins(*many, *pair) == []
    assert joins(*many[1:], *pair) == [("domain", ["crm/9", "erp/9"])]


def test_what_is_very_probable_joins(joins):
    result = joins(account("crm/1"), account("erp/1"), probable=[("crm/1", "erp/1"), ("crm/1", "erp/404")])
    assert result == [("probabilistic", ["crm/1", "erp/1"])]


def test_one_account_alone_is_no_group(joins):
    assert joins(account("crm/1", tax_id="DE136695976", phone="+49 30 2244667", **POSTAL)) == []
