"""Clusters of groups, and what judgements keep apart."""

import random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.identity.clusters import ALONE, clusters

NODES = [f"n{number}" for number in range(8)]
GROUPS = st.lists(st.tuples(st.integers(0, 5), st.sets(st.sampled_from(NODES), min_size=2, max_size=4)), max_size=8)
PAIRS = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=4)
SCHEMA = pa.schema([("node", pa.string()), ("rank", pa.int64()), ("value", pa.string())])


def table(groups, shuffle=None):
    rows = [
        {"node": node, "rank": rank, "value": f"v{number}"}
        for number, (rank, nodes) in enumerate(groups)
        for node in sorted(nodes)
    ]
    if shuffle:
        shuffle.shuffle(rows)
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def forbidden(*pairs):
    return pa.table([[first for first, _ in pairs], [right for _, right in pairs]], names=["left", "right"]).cast(
        pa.schema([("left", pa.string()), ("right", pa.string())])
    )


def parts(result):
    gathered = {}
    for row in result.to_pylist():
        gathered.setdefault(row["cluster"], set()).add(row["node"])
    return sorted(sorted(part) for part in gathered.values())


def ranks(result):
    return {row["node"]: row["rank"] for row in result.to_pylist()}


def test_joins_what_hangs_together_by_any_rule():
    result = clusters(table([(2, "ab"), (4, "bc"), (0, "de")]), forbidden())
    assert parts(result) == [["a", "b", "c"], ["d", "e"]]
    assert ranks(result) == {"a": 2, "b": 2, "c": 4, "d": 0, "e": 0}


def test_nothing_joins_nothing():
    assert clusters(table([]), forbidden(("a", "b"))).num_rows == 0


def test_keeps_a_forbidden_pair_apart_by_leaving_out_the_weaker_step():
    result = clusters(table([(2, "ab"), (4, "bc")]), forbidden(("c", "a")))
    assert parts(result) == [["a", "b"], ["c"]]
    assert ranks(result) == {"a": 2, "b": 2, "c": ALONE}


def test_the_others_of_a_group_stay_together():
    assert parts(clusters(table([(2, "abcd")]), forbidden(("a", "b"), ("a", "c")))) == [
        ["a", "d"],
        ["b", "c"],
    ]


def test_a_rule_may_be_forbidden_and_another_hold():
    result = clusters(table([(2, "ab"), (3, "bc"), (4, "cd")]), forbidden(("a", "c")))
    assert parts(result) == [["a", "b"], ["c", "d"]]


def test_an_account_is_not_different_from_itself():
    assert parts(clusters(table([(2, "ab")]), forbidden(("a", "a"), ("a", "nobody")))) == [["a", "b"]]


def numbers(stored):
    schema = pa.schema([(name, pa.string()) for name in ("node", "country", "number")])
    return pa.Table.from_pylist([{"node": n, "country": v[:2], "number": v[2:]} for n, v in stored.items()], schema)


def test_a_weak_rule_never_bridges_two_tax_numbers():
    stored = numbers({"a": "DE1", "c": "DE2", "d": "FR2", "nobody": "DE9"})
    result = clusters(table([(4, "ab"), (5, "bc"), (5, "cd")]), forbidden(), stored, 4)
    assert parts(result) == [["a", "b"], ["c", "d"]]


def test_a_strong_rule_does():
    stored = numbers({"a": "DE1", "b": "DE2", "c": "DE2"})
    assert parts(clusters(table([(2, "ab"), (4, "bc")]), forbidden(), stored, 4)) == [["a", "b", "c"]]


@settings(max_examples=60, deadline=None)
@given(
    groups=GROUPS,
    stored=st.dictionaries(st.sampled_from(NODES), st.sampled_from(["DE1", "DE2", "FR1"])),
    seed=st.integers(0, 9),
)
def test_weak_rules_alone_leave_one_number_a_country_in_any_order(groups, stored, seed):
    result = clusters(table(groups), forbidden(), numbers(stored), 0)
    shuffled = clusters(table(groups, random.Random(seed)), forbidden(), numbers(dict(reversed(stored.items()))), 0)
    assert (parts(result), ranks(result)) == (parts(shuffled), ranks(shuffled))
    for part in parts(result):
        assert len({stored[node] for node in part if stored.get(node, "")[:2] == "DE"}) < 2


@settings(max_examples=60, deadline=None)
@given(groups=GROUPS, pairs=PAIRS, seed=st.integers(0, 9))
def test_order_changes_nothing_and_forbidden_pairs_never_meet(groups, pairs, seed):
    result = clusters(table(groups), forbidden(*pairs))
    shuffled = clusters(table(groups, random.Random(seed)), forbidden(*reversed(pairs)))
    assert (parts(result), ranks(result)) == (parts(shuffled), ranks(shuffled))
    for part in parts(result):
        assert not [pair for pair in pairs if pair[0] != pair[1] and set(pair) <= set(part)]
    assert all((rank == ALONE) == ([node] in parts(result)) for node, rank in ranks(result).items())


@settings(max_examples=40, deadline=None)
@given(groups=GROUPS)
def test_without_judgements_clusters_are_the_connected_components(groups):
    expected = [{node} for node in {node for _, nodes in groups for node in nodes}]
    for _, nodes in groups:
        met = [part for part in expected if part & nodes]
        expected = [part for part in expected if not part & nodes] + [set().union(*met)]
    assert parts(clusters(table(groups), forbidden())) == sorted(sorted(part) for part in expected)
