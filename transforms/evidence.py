"""What speaks for two accounts being one customer: groups of accounts that share a proof, rule by rule.

A group is (node, rank, value): all nodes with the same rank and value are the same customer by that
rule. A node is "connection/account_id". A value that more than `MOST_PER_CONNECTION` accounts of one
connection share (a switchboard, a tax number typed as a placeholder) proves nothing and is left out.
A value shared across countries joins only within each country, and a phone or an address shared by
accounts with different tax numbers joins only within each tax number: what lacks the country or the
number stays out then, because it could belong to either.
"""

from collections.abc import Mapping
from functools import reduce

import ibis
import ibis.expr.types as ir

from transforms.normalise import company, phone, postcode, tax_country, tax_number
from transforms.once import once

RULES = ("link", "redirect", "tax_id", "judgement", "phone", "name_postcode")
# Links, merges and judgements are statements; the others as measured on 1M x 1M accounts (facts/engine.md).
SCORES = (1.0, 1.0, 0.9999, 1.0, 0.9999, 0.9999)
MOST_PER_CONNECTION = 5


def node(connection: ir.StringValue, account_id: ir.StringValue) -> ir.StringValue:
    """Name an account across connections."""
    return connection.concat("/", account_id)


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
    gone = losers.anti_join(live, [("loser", "node")])
    merged = gone.group_by("connection", "loser_id", "loser").agg(created_at=ibis.null(live.created_at.type()))
    return live.union(
        merged.select(
            "connection",
            "created_at",
            account_id=merged.loser_id,
            node=merged.loser,
            is_live=ibis.literal(False),
        ).select(live.columns)
    )


def groups(accounts: ir.Table, known: ir.Table, same: ir.Table, links: Mapping[str, str]) -> ir.Table:
    """List what joins: (node, rank, value), only nodes of `known` and only groups of two or more.

    `same` holds the judgements that say so, as nodes `left` and `right`.
    """
    named = accounts.mutate(node=node(accounts.connection, accounts.account_id))
    stated = [_losers(accounts).select(left="winner", right="loser", rank=_rank("redirect"))]
    stated.append(same.select("left", "right", rank=_rank("judgement")))
    if links:
        stated.append(_links(named, links))
    pairs = reduce(lambda one, other: one.union(other), stated)
    every = _pairwise(pairs).union(_shared(named)).distinct()
    members = every.semi_join(known, "node")
    size = members.count().over(group_by=["rank", "value"])
    return members.mutate(_size=size).filter(lambda row: row._size > 1).drop("_size")


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
    kept = trimmed.filter(trimmed.loser_id != "")
    return kept.mutate(loser=node(kept.connection, kept.loser_id))


def _links(named: ir.Table, links: Mapping[str, str]) -> ir.Table:
    to = ibis.cases(
        *((named.connection == source, ibis.literal(target)) for source, target in links.items()),
        else_=ibis.null("string"),
    )
    linked = named.select(left="node", right=node(to, named.link_id), rank=_rank("link"))
    return linked.filter(linked.right.notnull())


def _shared(named: ir.Table) -> ir.Table:
    """Take what accounts share, parted by country and, but for tax numbers, by tax number."""
    keys = once(
        named.select("node", "connection", "country", "tax_id", "phone", "name", "postal_code"),
        tax=tax_number(named.tax_id),
        tax_country=tax_country(named.tax_id, named.country),
        phone=phone(named.phone, named.country),
        name=company(named.name),
        postal_code=postcode(named.postal_code),
    )
    address = ((keys.name != "") & (keys.postal_code != "")).ifelse(keys.name.concat("|", keys.postal_code), "")
    values = {"tax_id": keys.tax, "phone": keys.phone, "name_postcode": address}
    proofs = [
        ibis.struct(
            {
                "rank": _rank(rule),
                "value": value,
                "country": keys.tax_country if rule == "tax_id" else keys.country,
                "tax": ibis.null("string") if rule == "tax_id" else keys.tax.nullif(""),
            }
        )
        for rule, value in values.items()
    ]
    held = keys.select("node", "connection", proof=ibis.array(proofs).unnest())
    parts = {name: held.proof[name] for name in ("rank", "value", "country", "tax")}
    valued = held.select("node", "connection", **parts).filter(lambda row: row.value != "")
    return _not_too_wide(_parted(_parted(valued, "country"), "tax")).select("node", "rank", "value")


def _parted(held: ir.Table, guard: str) -> ir.Table:
    """Part the holders of a value by a guard that differs among them; who lacks it then holds nothing."""
    low, high = (bound.over(group_by=["rank", "value"]) for bound in (held[guard].min(), held[guard].max()))
    differs = ibis.coalesce(low != high, False)
    value = differs.ifelse(held.value.concat("|", held[guard]), held.value)
    return held.mutate(value=value).filter(lambda row: row.value.notnull())


def _not_too_wide(held: ir.Table) -> ir.Table:
    counted = held.mutate(_here=held.count().over(group_by=["rank", "value", "connection"]))
    most = counted.mutate(_most=counted._here.max().over(group_by=["rank", "value"]))
    return most.filter(most._most <= MOST_PER_CONNECTION)
