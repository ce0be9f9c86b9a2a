"""Customer ids: minted once, kept through merges and splits, never given to another founder.

A member row is (node, connection, account_id, created_at, is_live, cluster, rank, held_id, since,
was_redirect, digest): an account, the cluster it is in, and what the last crosswalk said of it.
"""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.evidence import node
from transforms.first import first

_LENGTH = 12
_LENGTH_IF_TAKEN = 24


def members(known: ir.Table, clusters: ir.Table, previous: ir.Table, as_of: date) -> ir.Table:
    """Put together what is known of each node; a node without a cluster is its own."""
    before = previous.select(
        held_node=node(previous.connection, previous.account_id),
        held_id="customer_id",
        held_since="since",
        was_redirect=previous.rule == "redirect",
    )
    placed = known.left_join(clusters.rename(placed_node="node"), [("node", "placed_node")])
    held = placed.left_join(before, [("node", "held_node")])
    # Two steps: Ibis would draw a later join with a part of this table into the joins above.
    known_members = held.select(
        "node",
        "connection",
        "account_id",
        "created_at",
        "is_live",
        "rank",
        "held_id",
        cluster=ibis.coalesce(held.cluster.cast("string"), held.node),
        since=ibis.coalesce(held.held_since, ibis.literal(as_of)),
        was_redirect=ibis.coalesce(held.was_redirect, False),
    )
    return known_members.mutate(digest=known_members.node.hexdigest("sha256"))


def claims(members: ir.Table) -> ir.Table:
    """Say for each id held before which cluster may go on with it (held_id, cluster).

    That is the cluster of its founder; without it, of the account known for the longest. Accounts that
    are gone or merged away come after those that hold on to the id.
    """
    holders = members.filter(members.held_id.notnull())
    minted_for = ibis.literal("C").concat(holders.digest.substr(0, holders.held_id.length() - 1))
    is_founder = holders.held_id == minted_for
    order = [
        holders.was_redirect,
        ibis.desc(holders.is_live),
        ibis.desc(is_founder),
        holders.since,
        holders.node,
    ]
    return first(holders, "held_id", order).select("held_id", "cluster")


def kept(claims: ir.Table, previous: ir.Table) -> ir.Table:
    """Let each cluster go on with its oldest id (cluster, customer_id)."""
    ages = previous.group_by("customer_id").agg(age=previous.since.min())
    aged = claims.join(ages, [("held_id", "customer_id")])
    return first(aged, "cluster", [aged.age, aged.held_id]).select("cluster", customer_id="held_id")


def minted(members: ir.Table, kept: ir.Table, previous: ir.Table) -> ir.Table:
    """Mint an id for each cluster that has none, from its founder (cluster, customer_id)."""
    new = members.anti_join(kept, "cluster")
    created = ibis.asc(new.created_at, nulls_first=False)
    order = [ibis.desc(new.is_live), new.since, created, new.connection, new.account_id]
    founders = first(new, "cluster", order)
    short, long = (
        ibis.literal("C").concat(founders.digest.substr(0, length)) for length in (_LENGTH, _LENGTH_IF_TAKEN)
    )
    drawn = founders.select("cluster", short=short, long=long)
    is_taken = drawn.short.isin(previous.customer_id) | (drawn.count().over(group_by="short") > 1)
    return drawn.select("cluster", customer_id=is_taken.ifelse(drawn.long, drawn.short))
