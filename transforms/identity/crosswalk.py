"""Which accounts are one customer, and which customers may be one."""

from collections.abc import Mapping
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from transforms.conform.expressions import first
from transforms.identity import customer_ids
from transforms.identity.clusters import clusters
from transforms.identity.match_keys import MOST_PER_CONNECTION, match_keys, node
from transforms.identity.match_rules import RULES, SCORES, WEAK, groups, judged, nodes, numbers
from transforms.joins import with_customer

# Measured precision of two accounts that share nothing else (facts/engine.md, benchmarks/identity.py).
SUGGESTIONS = {"domain": 0.92, "phone": 0.88, "name_country": 0.28}
MOST_CUSTOMERS = 5
LIKELY = pa.schema([("left", pa.string()), ("right", pa.string()), ("score", pa.float64())])


def crosswalk(
    accounts: ir.Table,
    judgements: ir.Table,
    previous: ir.Table,
    *,
    as_of: date,
    links: Mapping[str, str],
    max_cluster: int,
    keys: ir.Table | None = None,
    likely: ir.Table | None = None,
) -> ir.Table:
    """Give every account its customer.

    `judgements` (left_connection, left_account_id, right_connection, right_account_id, verdict "same" or
    "different") win over every rule, "different" over "same". `previous` is the last crosswalk, or an
    empty one. `links` maps a connection whose accounts carry a `link_id` to the connection it points to.
    `keys` are the `match_keys` of the accounts, where they are worked out already; `likely` are pairs of nodes
    (left, right, score) that are as good as certainly one.

    A cluster keeps the id of its oldest customer in `previous`; the others' accounts move over. After a
    split the part with the account that the id was minted for keeps it. A new id is "C" and 12 digits of
    the SHA-256 of the founder, "connection/account_id": of the account known for the longest, then
    created first. An id that is taken is never given to another founder: that one gets 24 digits.
    A judgement leaves no trace once it is taken back (`transforms.identity.customer_ids`).

    Ids merged away at the source have a row too (rule "redirect"), so that what still points at them
    finds its customer. So have accounts that are gone: they keep the customer that they were, and the
    same id should they come back. Customers without any account left have only such rows.
    """
    keys = _materialised(match_keys(accounts)) if keys is None else keys
    likely = _no_likely_pairs() if likely is None else likely
    account_nodes, previous = nodes(accounts), _with_base_ids(previous)
    rule_groups = groups(accounts, keys, account_nodes, likely, links).to_pyarrow()
    same, different = (_judged_pairs(judgements, verdict) for verdict in ("same", "different"))
    tax_numbers, apart = numbers(keys).to_pyarrow(), different.to_pyarrow()
    joined = clusters(rule_groups, apart.slice(0, 0), tax_numbers, WEAK)
    based = _materialised(customer_ids.settled(account_nodes, ibis.memtable(joined), previous, as_of))
    judged_groups = judged(same, account_nodes).to_pyarrow()
    if judged_groups.num_rows or apart.num_rows:
        joined = clusters(pa.concat_tables([rule_groups, judged_groups]), apart, tax_numbers, WEAK)
    return _crosswalk_rows(customer_ids.judged(based, ibis.memtable(joined)), _highest_scores(likely), max_cluster)


def match_suggestions(
    accounts: ir.Table,
    crosswalk: ir.Table,
    judgements: ir.Table | None = None,
    *,
    keys: ir.Table | None = None,
    likely: ir.Table | None = None,
) -> ir.Table:
    """Pair customers that are probably one, or share a domain, a phone, or name and country, for a person to judge.

    One pair of accounts for two customers, left before right. Domains of mail providers and values that
    more than `MOST_CUSTOMERS` customers share suggest nothing, nor do two customers of whom accounts were
    judged different, or whose tax numbers of one country differ. `likely` are pairs of nodes (left, right, score);
    with them name and country, which are right in one of four cases, suggest nothing more.
    """
    owned = _materialised(with_customer(match_keys(accounts) if keys is None else keys, crosswalk))
    alone = _pairs(_suggestion_values(owned))
    if likely is not None:
        alone = alone.filter(alone.rule != "name_country")
    pairs = _materialised(alone.union(_likely_pairs(owned, _no_likely_pairs() if likely is None else likely)))
    pairs = pairs.anti_join(_with_different_numbers(pairs, owned), ["one", "other"])
    if judgements is not None:
        pairs = pairs.anti_join(_judged_apart(crosswalk, judgements), ["one", "other"])
    order = [ibis.desc(pairs.score), pairs.left_node, pairs.right_node]
    best = first(pairs, ["one", "other"], order)
    sides = ("left_connection", "left_account_id", "right_connection", "right_account_id")
    return best.select(*sides, "rule", "score")


def _with_base_ids(previous: ir.Table) -> ir.Table:
    """Let a crosswalk from before ids were settled twice be its own base."""
    if "base_id" in previous.columns:
        return previous
    return previous.mutate(base_id=previous.customer_id, first_id=previous.customer_id)


def _materialised(table: ir.Table) -> ir.Table:
    """Work a table out that is used many times: each use would do it again."""
    return ibis.memtable(table.to_pyarrow())


def _no_likely_pairs() -> ir.Table:
    return ibis.memtable(LIKELY.empty_table())


def _judged_pairs(judgements: ir.Table, verdict: str) -> ir.Table:
    """List the pairs of nodes with a verdict."""
    matching = judgements.filter(judgements.verdict == verdict)
    return matching.select(
        left=node(matching.left_connection, matching.left_account_id),
        right=node(matching.right_connection, matching.right_account_id),
    )


def _highest_scores(likely: ir.Table) -> ir.Table:
    """Find how surely each account has company by probability (sure_node, sure)."""
    sides = likely.select("score", sure_node=ibis.array([likely.left, likely.right]).unnest())
    return sides.group_by("sure_node").agg(sure=sides.score.max())


def _crosswalk_rows(members: ir.Table, surest: ir.Table, max_cluster: int) -> ir.Table:
    """Name the best rule by which each account hangs on its customer; without company it is alone."""
    size = members.is_live.cast("int64").sum().over(group_by="customer_id")
    of_connection = members.is_live.cast("int64").sum().over(group_by=["customer_id", "connection"])
    counted = members.mutate(_size=size, _of_connection=of_connection)
    counted = counted.mutate(_most=counted._of_connection.max().over(group_by="customer_id"))
    named = [(counted["rank"] == rank, rule) for rank, rule in enumerate(RULES)]
    rule = ibis.cases((~counted.is_live, "redirect"), (counted._size == 1, "alone"), *named, else_="alone")
    ruled = counted.mutate(rule=rule)
    ruled = ruled.left_join(surest, [("node", "sure_node")])
    fixed = {rule: score for rule, score in zip(RULES, SCORES, strict=True) if score is not None}
    scored = [(ruled.rule == rule, score) for rule, score in fixed.items()]
    return ruled.select(
        "customer_id",
        "connection",
        "account_id",
        "rule",
        "since",
        "base_id",
        "first_id",
        score=ibis.cases(*scored, (ruled.rule == "probabilistic", ruled.sure), else_=1.0).cast("float64"),
        is_oversized=((ruled._size > max_cluster) | (ruled._most > MOST_PER_CONNECTION)) & ruled.is_there,
    )


def _suggestion_values(keys: ir.Table) -> ir.Table:
    """List what may suggest: (customer_id, connection, account_id, node, rule, value), once a customer."""
    named = (keys.name != "").ifelse(keys.name.concat("|", keys.country), "")
    values = [
        ibis.struct({"rule": rule, "value": value})
        for rule, value in zip(SUGGESTIONS, (keys.site, keys.phone, named), strict=True)
    ]
    proofs = keys.select("customer_id", "connection", "account_id", "node", proof=ibis.array(values).unnest())
    each = proofs.mutate(rule=proofs.proof["rule"], value=proofs.proof["value"]).drop("proof")
    single = first(each.filter(each.value != ""), ["rule", "value", "customer_id"], [each.node])
    counted = single.mutate(_customers=single.count().over(group_by=["rule", "value"]))
    return counted.filter(counted._customers.between(2, MOST_CUSTOMERS)).drop("_customers")


def _pairs(suggesting: ir.Table) -> ir.Table:
    """Pair the customers that share a value."""
    sides = ("customer_id", "connection", "account_id", "node")
    first_side = suggesting.select("rule", "value", **{f"left_{name}": name for name in sides})
    second_side = suggesting.select("rule", "value", **{f"right_{name}": name for name in sides})
    met = first_side.join(second_side, ["rule", "value"]).filter(lambda row: row.left_node < row.right_node)
    scored = [(met.rule == rule, score) for rule, score in SUGGESTIONS.items()]
    return _customer_pairs(met.mutate(score=ibis.cases(*scored, else_=0.0).cast("float64")))


def _likely_pairs(owned: ir.Table, likely: ir.Table) -> ir.Table:
    """Pair the customers of likely pairs that did not come together."""
    sides = ("customer_id", "connection", "account_id", "node")
    first_side, second_side = (owned.select(**{f"{side}_{name}": name for name in sides}) for side in ("left", "right"))
    half = likely.join(first_side, [("left", "left_node")])
    met = half.join(second_side, [("right", "right_node")]).filter(
        lambda row: row.left_customer_id != row.right_customer_id
    )
    return _customer_pairs(met.mutate(rule=ibis.literal("probabilistic")))


def _customer_pairs(met: ir.Table) -> ir.Table:
    """Name the two customers of each pair of accounts in one order, and its account that comes first the left one."""
    ordered = met.left_node < met.right_node
    sides = {
        f"{side}_{name}": ordered.ifelse(met[f"{side}_{name}"], met[f"{other}_{name}"])
        for side, other in (("left", "right"), ("right", "left"))
        for name in ("connection", "account_id", "node")
    }
    return met.select(
        "rule",
        "score",
        one=ibis.least(met.left_customer_id, met.right_customer_id),
        other=ibis.greatest(met.left_customer_id, met.right_customer_id),
        **sides,
    )


def _with_different_numbers(pairs: ir.Table, owned: ir.Table) -> ir.Table:
    """List the pairs of customers that are known by tax numbers of one country, and by none in common there.

    Customer and country are one key: an engine that joined by countries first would pair nearly everybody.
    """
    customer_numbers = numbers(owned, "customer_id").distinct()
    theirs = customer_numbers.select(
        there=customer_numbers.customer_id.concat("|", customer_numbers.country), their_number="number"
    )
    ours = pairs.select("one", "other").distinct().join(customer_numbers, [("one", "customer_id")]).drop("customer_id")
    met = ours.mutate(here=ours.other.concat("|", ours.country)).join(theirs, [("here", "there")])
    shared = met.group_by("one", "other", "here").agg(is_shared=(met.number == met.their_number).any())
    return shared.filter(~shared.is_shared).select("one", "other").distinct()


def _judged_apart(crosswalk: ir.Table, judgements: ir.Table) -> ir.Table:
    """List the pairs of customers of whom accounts were judged different."""
    different = judgements.filter(judgements.verdict == "different")
    owners = crosswalk.select("customer_id", node=node(crosswalk.connection, crosswalk.account_id))
    judged = different.select(
        left=node(different.left_connection, different.left_account_id),
        right=node(different.right_connection, different.right_account_id),
    )
    half = judged.join(owners.rename(left_id="customer_id"), [("left", "node")]).select("left_id", "right")
    both = half.join(owners.rename(right_id="customer_id"), [("right", "node")])
    return both.select(
        one=ibis.least(both.left_id, both.right_id), other=ibis.greatest(both.left_id, both.right_id)
    ).distinct()
