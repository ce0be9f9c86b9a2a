"""What speaks for two accounts being one customer: groups of accounts that share a proof, rule by rule.

A group is (node, rank, value): all nodes with the same rank and value are the same customer by that
rule. A node is "connection/account_id". However many accounts of one connection share a
value, they stay together: a customer never falls apart because one account more arrived. The crosswalk marks what is
too large (`is_oversized`). Only a tax number without check digits that more than `MOST_PER_CONNECTION` accounts of one
connection share is left out: it is a placeholder.
A value shared across countries joins only within each country, and a phone or an address shared by
accounts with different tax numbers joins only within each tax number: what lacks the country or the
number stays out then, because it could belong to either.
"""

from collections.abc import Mapping
from functools import reduce

import ibis
import ibis.expr.types as ir

from transforms.identity.match_keys import MOST_PER_CONNECTION, node

RULES = ("link", "redirect", "tax_id", "judgement", "domain", "phone", "name_postcode", "probabilistic")
# Links, merges and judgements are statements; the others as measured (benchmarks/identity.py).
SCORES = (1.0, 1.0, 0.9999, 1.0, 0.9999, 0.9999, 0.9999, None)
GUARDS = ("country", "tax", "place")
WEAK = RULES.index("domain")  # from this rank on a rule gives way to tax numbers that differ


def nodes(accounts: ir.Table) -> ir.Table:
    """List the accounts, and the ids that were merged into them at the source (`is_live` false)."""
    live = accounts.select(
        "connection",
        "account_id",
        "created_at",
        node=node(accounts.connection, accounts.account_id),
        is_live=ibis.literal(True),
    )
    losers = _losers(accounts)
    missing = losers.anti_join(live, [("loser", "node")])
    merged = missing.group_by("connection", "loser_id", "loser").agg(created_at=ibis.null(live.created_at.type()))
    return live.union(
        merged.select(
            "connection",
            "created_at",
            account_id=merged.loser_id,
            node=merged.loser,
            is_live=ibis.literal(False),
        ).select(live.columns)
    )


def groups(
    accounts: ir.Table, keys: ir.Table, account_nodes: ir.Table, likely: ir.Table, links: Mapping[str, str]
) -> ir.Table:
    """List what joins by rule: (node, rank, value), only nodes of `known` and only groups of two or more.

    `keys` are the `match_keys` of the accounts, `likely` pairs of nodes (left, right) that are very probably one.
    """
    named = accounts.mutate(node=node(accounts.connection, accounts.account_id))
    stated = [_losers(accounts).select(left="winner", right="loser", rank=_rank("redirect"))]
    stated.append(likely.select("left", "right", rank=_rank("probabilistic")))
    if links:
        stated.append(_links(named, links))
    pairs = reduce(lambda pairs_of_rule, other: pairs_of_rule.union(other), stated)
    return _of_two_or_more(_pairwise(pairs).union(_shared_values(keys)).distinct(), account_nodes)


def judged(same: ir.Table, account_nodes: ir.Table) -> ir.Table:
    """List what joins by judgement, alike; `same` holds pairs of nodes (left, right)."""
    return _of_two_or_more(_pairwise(same.select("left", "right", rank=_rank("judgement"))).distinct(), account_nodes)


def numbers(keys: ir.Table, who: str = "node") -> ir.Table:
    """List the tax numbers that accounts are known by (who, country, number): those that are surely not mistyped."""
    proven = keys.filter(keys.is_proven)
    return proven.select(who, country="tax_country", number="tax")


def _of_two_or_more(members: ir.Table, account_nodes: ir.Table) -> ir.Table:
    existing = members.semi_join(account_nodes, "node")
    size = existing.count().over(group_by=["rank", "value"])
    return existing.mutate(_size=size).filter(lambda row: row._size > 1).drop("_size")


def _rank(rule: str) -> ir.IntegerValue:
    return ibis.literal(RULES.index(rule), type="int64")


def _pairwise(pairs: ir.Table) -> ir.Table:
    """Make each pair a group of its own, so that two links to an unknown account join nobody."""
    pair = ibis.least(pairs.left, pairs.right).concat("|", ibis.greatest(pairs.left, pairs.right))
    return pairs.select("rank", value=pair, node=ibis.array([pairs.left, pairs.right]).unnest()).select(
        "node", "rank", "value"
    )


def _losers(accounts: ir.Table) -> ir.Table:
    merged = accounts.filter(accounts.merged_ids.notnull())
    split = merged.select(
        "connection",
        winner=node(merged.connection, merged.account_id),
        loser_id=merged.merged_ids.split(";").unnest(),
    )
    trimmed = split.mutate(loser_id=split.loser_id.strip())
    named = trimmed.filter(trimmed.loser_id != "")
    return named.mutate(loser=node(named.connection, named.loser_id))


def _links(named: ir.Table, links: Mapping[str, str]) -> ir.Table:
    to = ibis.cases(
        *((named.connection == source, ibis.literal(target)) for source, target in links.items()),
        else_=ibis.null("string"),
    )
    linked = named.select(left="node", right=node(to, named.link_id), rank=_rank("link"))
    return linked.filter(linked.right.notnull())


def _shared_values(keys: ir.Table) -> ir.Table:
    """Take what accounts share, parted by country and, but for tax numbers, by tax number.

    A domain joins only together with the name or the postal code: alone it is right in 92 of 100 cases. A phone joins
    only names that begin alike: a house with many firms has one switchboard. Where one system knows it under several
    names it is that, and joins only equal names.
    """
    keys = _with_switchboards(_with_same_tax(keys))
    called = keys.is_switchboard.ifelse(keys.name, keys.name.split(" ")[0])
    values = [
        ("tax_id", (keys.is_proven | (keys._same_tax <= MOST_PER_CONNECTION)).ifelse(keys.tax, "")),
        ("domain", _concatenated(keys.site, keys.name, "name")),
        ("domain", _concatenated(keys.is_host.ifelse("", keys.site), keys.postal_code, "code")),
        ("phone", _concatenated(keys.phone, called)),
        ("name_postcode", _concatenated(keys.name, keys.postal_code)),
    ]
    proofs = [
        ibis.struct(
            {
                "rank": _rank(rule),
                "value": value,
                "country": keys.tax_country if rule == "tax_id" else keys.country,
                "tax": ibis.null("string") if rule == "tax_id" else keys.comparable_tax.nullif(""),
                "place": keys.postal_code.nullif("") if rule in ("domain", "phone") else ibis.null("string"),
            }
        )
        for rule, value in values
    ]
    proven = keys.select("node", "connection", proof=ibis.array(proofs).unnest())
    parts = {name: proven.proof[name] for name in ("rank", "value", *GUARDS)}
    valued = proven.select("node", "connection", **parts).filter(lambda row: row.value != "")
    return reduce(_split_by_guard, GUARDS, valued).select("node", "rank", "value")


def _with_same_tax(keys: ir.Table) -> ir.Table:
    """Count the accounts of one connection that share a tax number, the most of all connections (`_same_tax`)."""
    shared = ["tax", "tax_country"]
    counted = keys.mutate(_count=keys.count().over(group_by=[*shared, "connection"]))
    return counted.mutate(_same_tax=counted._count.max().over(group_by=shared)).drop("_count")


def _with_switchboards(keys: ir.Table) -> ir.Table:
    of_connection = {"group_by": ["phone", "connection"]}
    name = keys.name.nullif("")
    several = keys.mutate(
        _several=ibis.coalesce(name.min().over(**of_connection) != name.max().over(**of_connection), False)
    )
    return several.mutate(is_switchboard=several._several.any().over(group_by="phone")).drop("_several")


def _concatenated(first: ir.StringValue, second: ir.StringValue, kind: str = "") -> ir.StringValue:
    return ((first != "") & (second != "")).ifelse(first.concat("|", second, kind and f"|{kind}"), "")


def _split_by_guard(members: ir.Table, guard: str) -> ir.Table:
    """Part the holders of a value by a guard that differs among them; who lacks it then holds nothing."""
    low, high = (bound.over(group_by=["rank", "value"]) for bound in (members[guard].min(), members[guard].max()))
    differs = ibis.coalesce(low != high, False)
    value = differs.ifelse(members.value.concat("|", members[guard]), members.value)
    return members.mutate(value=value).filter(lambda row: row.value.notnull())
