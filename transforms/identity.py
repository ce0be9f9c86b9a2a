"""Which accounts are one customer, and which customers may be one."""

from collections.abc import Mapping
from datetime import date

import ibis
import ibis.expr.types as ir

from transforms import ids
from transforms.clusters import clusters
from transforms.evidence import RULES, SCORES, groups, node, nodes
from transforms.first import first
from transforms.normalise import company, company_domain, domain
from transforms.once import once

# Measured precision of two accounts that share nothing else (facts/engine.md).
SUGGESTIONS = {"domain": 0.92, "name_country": 0.28}
MOST_CUSTOMERS = 5


def crosswalk(
    accounts: ir.Table,
    judgements: ir.Table,
    previous: ir.Table,
    *,
    as_of: date,
    links: Mapping[str, str],
    max_cluster: int,
) -> ir.Table:
    """Give every account its customer.

    `judgements` (left_connection, left_account_id, right_connection, right_account_id, verdict "same" or
    "different") win over every rule, "different" over "same". `previous` is the last crosswalk, or an
    empty one. `links` maps a connection whose accounts carry a `link_id` to the connection it points to.

    A cluster keeps the id of its oldest customer in `previous`; the others' accounts move over. After a
    split the part with the account that the id was minted for keeps it. A new id is "C" and 12 digits of
    the SHA-256 of the founder, "connection/account_id": of the account known for the longest, then
    created first. An id that is taken is never given to another founder: that one gets 24 digits.

    Ids merged away at the source have a row too (rule "redirect"), so that what still points at them
    finds its customer. So have accounts that are gone: they keep the customer that they were, and the
    same id should they come back. Customers without any account left have only such rows.
    """
    known = nodes(accounts)
    joined = _joined(accounts, known, judgements, links)
    members = ids.members(known, joined, previous, as_of)
    claims = ids.claims(members)
    kept = ids.kept(claims, previous)
    named = kept.union(ids.minted(members, kept, previous))
    return _rows(members.join(named, "cluster"), max_cluster).union(_gone(previous, known, claims, named))


def match_suggestions(accounts: ir.Table, crosswalk: ir.Table, judgements: ir.Table | None = None) -> ir.Table:
    """Pair customers that share a domain, or name and country, for a person to judge.

    One pair of accounts for two customers, left before right. Domains of mail providers and values that
    more than `MOST_CUSTOMERS` customers share suggest nothing, nor do two customers of whom accounts were
    judged different.
    """
    pairs = _pairs(_suggesting(accounts, crosswalk))
    if judgements is not None:
        pairs = pairs.anti_join(_judged_apart(crosswalk, judgements), ["one", "other"])
    order = [ibis.desc(pairs.score), pairs.left_node, pairs.right_node]
    best = first(pairs, ["one", "other"], order)
    sides = ("left_connection", "left_account_id", "right_connection", "right_account_id")
    return best.select(*sides, "rule", "score")


def _joined(accounts: ir.Table, known: ir.Table, judgements: ir.Table, links: Mapping[str, str]) -> ir.Table:
    """Collect the groups, a small part of the accounts, join them on the driver and take the result back."""
    judged = judgements.select(
        "verdict",
        left=node(judgements.left_connection, judgements.left_account_id),
        right=node(judgements.right_connection, judgements.right_account_id),
    )
    same, different = (judged.filter(judged.verdict == verdict) for verdict in ("same", "different"))
    found = groups(accounts, known, same.select("left", "right"), links).to_pyarrow()
    return ibis.memtable(clusters(found, different.select("left", "right").to_pyarrow()))


def _rows(members: ir.Table, max_cluster: int) -> ir.Table:
    """Name the best rule by which each account hangs on its cluster; without company it is alone."""
    size = members.is_live.cast("int64").sum().over(group_by="cluster")
    counted = members.mutate(_size=size)
    named = [(counted["rank"] == rank, rule) for rank, rule in enumerate(RULES)]
    rule = ibis.cases((~counted.is_live, "redirect"), (counted._size == 1, "alone"), *named, else_="alone")
    ruled = counted.mutate(rule=rule)
    scored = [(ruled.rule == rule, score) for rule, score in zip(RULES, SCORES, strict=True)]
    return ruled.select(
        "customer_id",
        "connection",
        "account_id",
        "rule",
        score=ibis.cases(*scored, else_=1.0).cast("float64"),
        since="since",
        is_oversized=ruled._size > max_cluster,
    )


def _gone(previous: ir.Table, known: ir.Table, claims: ir.Table, named: ir.Table) -> ir.Table:
    """Keep the accounts that are no more with the customer that goes on with their id."""
    before = previous.mutate(_node=node(previous.connection, previous.account_id))
    gone = before.anti_join(known, [("_node", "node")])
    heirs = claims.join(named, "cluster").select("held_id", heir="customer_id")
    followed = gone.left_join(heirs, [("customer_id", "held_id")])
    return followed.select(
        "connection",
        "account_id",
        "since",
        customer_id=ibis.coalesce(followed.heir, followed.customer_id),
        rule=ibis.literal("redirect"),
        score=followed.score.cast("float64"),
        is_oversized=ibis.literal(False),
    ).select("customer_id", "connection", "account_id", "rule", "score", "since", "is_oversized")


def _suggesting(accounts: ir.Table, crosswalk: ir.Table) -> ir.Table:
    """List what may suggest: (customer_id, connection, account_id, node, rule, value), once a customer."""
    owners = crosswalk.select("customer_id", "connection", "account_id")
    joined = accounts.join(owners, ["connection", "account_id"])
    owned = joined.select("customer_id", "connection", "account_id", "country", "domain", "email", "name")
    keys = once(
        owned,
        node=node(owned.connection, owned.account_id),
        site=company_domain(owned.domain),
        mail=company_domain(domain(owned.email)),
        name=company(owned.name),
    )
    site = ibis.coalesce(keys.site.nullif(""), keys.mail)
    named = (keys.name != "").ifelse(keys.name.concat("|", keys.country), "")
    values = [
        ibis.struct({"rule": rule, "value": value}) for rule, value in zip(SUGGESTIONS, (site, named), strict=True)
    ]
    held = keys.select("customer_id", "connection", "account_id", "node", proof=ibis.array(values).unnest())
    each = held.mutate(rule=held.proof["rule"], value=held.proof["value"]).drop("proof")
    single = first(each.filter(each.value != ""), ["rule", "value", "customer_id"], [each.node])
    counted = single.mutate(_customers=single.count().over(group_by=["rule", "value"]))
    return counted.filter(counted._customers.between(2, MOST_CUSTOMERS)).drop("_customers")


def _pairs(suggesting: ir.Table) -> ir.Table:
    """Pair the customers that share a value."""
    sides = ("customer_id", "connection", "account_id", "node")
    left = suggesting.select("rule", "value", **{f"left_{name}": name for name in sides})
    right = suggesting.select("rule", "value", **{f"right_{name}": name for name in sides})
    met = left.join(right, ["rule", "value"]).filter(lambda row: row.left_node < row.right_node)
    scored = [(met.rule == rule, score) for rule, score in SUGGESTIONS.items()]
    return met.mutate(
        one=ibis.least(met.left_customer_id, met.right_customer_id),
        other=ibis.greatest(met.left_customer_id, met.right_customer_id),
        score=ibis.cases(*scored, else_=0.0).cast("float64"),
    )


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
