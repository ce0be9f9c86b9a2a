"""Customers: who they are, and that they stay who they are."""

import random
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.find import model
from transforms.check import check_result
from transforms.identity import crosswalk, match_suggestions

DAY1, DAY2, DAY3 = (date(2026, 1, day) for day in (1, 2, 3))
SIDES = ("left_connection", "left_account_id", "right_connection", "right_account_id")
JUDGED = pa.schema([(name, pa.string()) for name in (*SIDES, "verdict")])


def account(node: str, tax: int | None = None, **given: Any) -> dict[str, Any]:
    connection, account_id = node.split("/")
    tax_id = f"DE13669597{tax}" if tax is not None else None
    return {"connection": connection, "account_id": account_id, "name": node, "tax_id": tax_id, **given}


def minted(node: str, digits: int = 12) -> str:
    return "C" + sha256(node.encode()).hexdigest()[:digits]


def judged(*verdicts: tuple[str, str, str]) -> Any:
    rows = [
        dict(zip(JUDGED.names, (*left.split("/"), *right.split("/"), verdict), strict=True))
        for left, verdict, right in verdicts
    ]
    return ibis.memtable(pa.Table.from_pylist(rows, schema=JUDGED))


@pytest.fixture(scope="module")
def build(rows):
    """Build a crosswalk; gives its rows by node."""

    def make(
        accounts: list[dict[str, Any]],
        previous: dict[str, dict[str, Any]] | None = None,
        as_of: date = DAY1,
        judgements: Any = (),
        **given: Any,
    ) -> dict[str, dict[str, Any]]:
        made = crosswalk(
            rows("accounts", *accounts),
            judged(*judgements),
            rows("crosswalk", *(previous or {}).values()),
            as_of=as_of,
            **{"links": {"crm": "erp"}, "max_cluster": 50, **given},
        ).to_pyarrow()
        assert sorted(made.schema.names) == sorted(model("crosswalk").to_schema().columns)
        return {f"{row['connection']}/{row['account_id']}": row for row in made.to_pylist()}

    return make


def ids(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {node: row["customer_id"] for node, row in found.items()}


def test_every_account_gets_a_customer_and_the_rule_by_which_we_know(build):
    found = build(
        [
            account("crm/1", 1, link_id="9"),
            account("erp/9", 2, created_at=datetime(2019, 1, 1, tzinfo=UTC)),
            account("help/1", 2),
            account("crm/2", phone="+49 30 2244667"),
            account("help/2", phone="0049 30 2244667"),
            account("crm/3"),
        ]
    )
    assert {node: (row["customer_id"], row["rule"], row["score"]) for node, row in found.items()} == {
        "crm/1": (minted("erp/9"), "link", 1.0),
        "erp/9": (minted("erp/9"), "link", 1.0),
        "help/1": (minted("erp/9"), "tax_id", 0.9999),
        "crm/2": (minted("crm/2"), "phone", 0.9999),
        "help/2": (minted("crm/2"), "phone", 0.9999),
        "crm/3": (minted("crm/3"), "alone", 1.0),
    }
    assert {(row["since"], row["is_oversized"]) for row in found.values()} == {(DAY1, False)}


def test_the_crosswalk_obeys_its_schema(build):
    found = build([account("crm/1", 1, merged_ids="7"), account("erp/1", 1), account("crm/2")])
    made = ibis.memtable(pa.Table.from_pylist(list(found.values())))
    assert check_result(made, model("crosswalk")).to_pyarrow().to_pylist() == []


def test_ids_merged_at_the_source_lead_to_the_customer(build):
    before = build([account("crm/1"), account("crm/2", 1), account("erp/2", 1)])
    found = build([account("crm/1", merged_ids="2;3"), account("erp/2", 1)], before, DAY2)
    assert ids(found) == {
        "crm/1": minted("crm/1"),
        "crm/2": minted("crm/1"),
        "crm/3": minted("crm/1"),
        "erp/2": minted("crm/2"),
    }
    assert [found[node]["rule"] for node in ("crm/1", "crm/2", "crm/3", "erp/2")] == [
        "alone",
        "redirect",
        "redirect",
        "alone",
    ]


def test_two_customers_that_turn_out_to_be_one_keep_the_older_id(build):
    before = build([account("crm/2")])
    before = build([account("crm/2"), account("crm/1")], before, DAY2)
    found = build([account("crm/2", 1), account("crm/1", 1)], before, DAY3)
    assert ids(found) == {"crm/1": minted("crm/2"), "crm/2": minted("crm/2")}
    assert {node: row["since"] for node, row in found.items()} == {"crm/1": DAY2, "crm/2": DAY1}


def test_an_older_account_that_comes_later_does_not_rename_the_customer(build):
    before = build([account("crm/2", 1)])
    old = datetime(2001, 1, 1, tzinfo=UTC)
    assert ids(build([account("crm/2", 1), account("crm/1", 1, created_at=old)], before, DAY2)) == {
        "crm/1": minted("crm/2"),
        "crm/2": minted("crm/2"),
    }


def test_after_a_split_the_founder_keeps_the_id(build):
    before = build([account("crm/1", 1), account("erp/1", 1), account("help/1", 1)])
    found = build([account("crm/1"), account("erp/1", 1), account("help/1", 1)], before, DAY2)
    assert ids(found) == {"crm/1": minted("crm/1"), "erp/1": minted("erp/1"), "help/1": minted("erp/1")}


def test_a_judgement_joins_and_another_takes_it_back(build):
    accounts = [account("crm/1", 1), account("erp/1", 1), account("crm/2", 2), account("erp/2", 2)]
    before = build(accounts)
    merged = build(accounts, before, DAY2, [("crm/2", "same", "erp/1")])
    assert set(ids(merged).values()) == {minted("crm/1")}
    assert [merged[node]["rule"] for node in ("crm/2", "erp/2")] == ["tax_id", "tax_id"]
    apart = build(accounts, merged, DAY3, [("crm/2", "same", "erp/1"), ("erp/1", "different", "crm/2")])
    assert apart == build(accounts, before, DAY3)


def test_a_judgement_parts_what_the_tax_number_joins(build):
    found = build([account("crm/1", 1), account("erp/1", 1)], judgements=[("crm/1", "different", "erp/1")])
    assert ids(found) == {"crm/1": minted("crm/1"), "erp/1": minted("erp/1")}
    assert {row["rule"] for row in found.values()} == {"alone"}


def test_an_account_that_is_gone_keeps_its_customer_and_comes_back_to_it(build):
    before = build([account("crm/1", 1), account("erp/1", 1)])
    without = build([account("erp/1", 1)], before, DAY2)
    assert ids(without) == ids(before)
    assert [without[node]["rule"] for node in ("crm/1", "erp/1")] == ["redirect", "alone"]
    none = build([], without, DAY2)
    assert ids(none) == ids(before)
    assert build([account("crm/1", 1), account("erp/1", 1)], none, DAY3) == before


def test_a_gone_account_follows_its_customer_into_another(build):
    before = build([account("crm/1"), account("crm/2", 1), account("erp/2", 1)])
    without = build([account("crm/1"), account("crm/2", 1)], before, DAY2)
    found = build([account("crm/1", 1), account("crm/2", 1)], without, DAY3)
    assert set(ids(found).values()) == {minted("crm/1")}
    assert found["erp/2"]["rule"] == "redirect"


def test_an_id_is_never_given_to_another_founder(build):
    before = build([account("crm/1", 1), account("erp/1", 1)])
    without = build([account("erp/1", 1)], before, DAY2)
    assert ids(build([account("crm/1"), account("erp/1", 1)], without, DAY3)) == {
        "crm/1": minted("crm/1", 24),
        "erp/1": minted("crm/1"),
    }


def test_a_cluster_above_the_cap_is_marked(build):
    found = build([account(f"c{n}/1", 1) for n in range(3)] + [account("crm/2")], max_cluster=2)
    assert {node: row["is_oversized"] for node, row in found.items()} == {
        "c0/1": True,
        "c1/1": True,
        "c2/1": True,
        "crm/2": False,
    }


# Each example holds many small worlds side by side, told apart by their tax numbers: builds are slow.
ACCOUNTS = st.dictionaries(
    st.tuples(st.sampled_from(["crm", "erp", "help"]), st.integers(1, 3)),
    st.integers(0, 2),
    min_size=2,
    max_size=7,
)
WORLDS = st.lists(ACCOUNTS, min_size=20, max_size=20)
SLOW = settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def together(worlds: list[dict[tuple[str, int], int]]) -> list[dict[str, Any]]:
    return [
        account(f"{connection}/{world:02}-{number}", tax_id=f"DE1{world:02}{tax}77315")
        for world, accounts in enumerate(worlds)
        for (connection, number), tax in accounts.items()
    ]


@SLOW
@given(worlds=WORLDS, seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(build, worlds, seed):
    accounts = together(worlds)
    shuffled = random.Random(seed).sample(accounts, len(accounts))
    before = build(accounts)
    assert build(shuffled) == before
    assert build(shuffled, before) == before


@SLOW
@given(
    worlds=WORLDS, added=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 2)), min_size=1, max_size=6)
)
def test_another_record_changes_no_other_id(build, worlds, added):
    accounts = together(worlds)
    before = build(accounts)
    new = [
        account(
            f"aaa/{world:02}-{number}",
            tax_id=f"DE1{world:02}{tax}77315",
            created_at=datetime(1999, 1, 1, tzinfo=UTC),
        )
        for number, (world, tax) in enumerate(added)
    ]
    after = build([*new, *accounts], before, DAY2)
    assert {node: after[node]["customer_id"] for node in before} == ids(before)


@SLOW
@given(
    worlds=WORLDS, picks=st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=8)
)
def test_a_merge_taken_back_leaves_no_trace(build, worlds, picks):
    accounts = together(worlds)
    nodes = [f"{row['connection']}/{row['account_id']}" for row in accounts]
    pairs = [(nodes[one % len(nodes)], "same", nodes[other % len(nodes)]) for one, other in picks]
    before = build(accounts)
    merged = build(accounts, before, DAY2, [pair for pair in pairs if pair[0] != pair[2]])
    assert build(accounts, merged, DAY3) == build(accounts, before, DAY3)


@pytest.fixture
def suggest(rows):
    def make(
        accounts: list[dict[str, Any]], customers: dict[str, str], *verdicts: Any
    ) -> list[tuple[Any, ...]]:
        owned = [
            {"customer_id": customer, "connection": node.split("/")[0], "account_id": node.split("/")[1]}
            for node, customer in customers.items()
        ]
        made = match_suggestions(
            rows("accounts", *accounts), rows("crosswalk", *owned), judged(*verdicts)
        ).to_pyarrow()
        assert made.schema.names == [*SIDES, "rule", "score"]
        return sorted(
            (f"{row[SIDES[0]]}/{row[SIDES[1]]}", f"{row[SIDES[2]]}/{row[SIDES[3]]}", row["rule"])
            for row in made.to_pylist()
        )

    return make


def test_suggests_customers_that_share_a_domain_or_name_and_country_once(suggest):
    accounts = [
        account("crm/1", domain="acme.com", name="Acme GmbH", country="DE"),
        account("erp/1", domain="acme.com", name="ACME", country="DE"),
        account("erp/2", email="sales@acme.com"),
        account("crm/3", name="Béta Ltd", country="GB"),
        account("erp/3", name="Beta", country="GB"),
        account("erp/4", name="Beta", country="US"),
        account("crm/5", domain="gmail.com"),
        account("erp/5", domain="gmail.com"),
        account("help/1", domain="acme.com"),
    ]
    customers = {
        f"{row['connection']}/{row['account_id']}": f"C{number}" for number, row in enumerate(accounts)
    }
    customers["help/1"] = "C0"
    assert suggest(accounts, customers) == [
        ("crm/1", "erp/1", "domain"),
        ("crm/1", "erp/2", "domain"),
        ("crm/3", "erp/3", "name_country"),
        ("erp/1", "erp/2", "domain"),
    ]


def test_suggests_nothing_that_was_judged_or_that_many_share(suggest):
    accounts = [account("crm/1", domain="acme.com"), account("erp/1", domain="acme.com")]
    accounts += [account("crm/2", domain="acme.com")] + [
        account(f"erp/9{n}", domain="host.com") for n in range(6)
    ]
    customers = {
        f"{row['connection']}/{row['account_id']}": f"C{number}" for number, row in enumerate(accounts)
    }
    customers["crm/2"] = "C0"
    assert suggest(accounts, customers) == [("crm/1", "erp/1", "domain")]
    assert suggest(accounts, customers, ("erp/1", "different", "crm/2")) == []
