"""Customer ids: minted once, kept through merges and splits, never given to another founder.

Ids are settled twice. First without people's judgements, upon the ids of the last crosswalk: that is each account's
`base_id`, and `first_id` is the first one it ever had. Then with the judgements in force, upon the base ids of today
alone: so a judgement that is taken back leaves no trace, as if it never was.

A member row is (node, connection, account_id, created_at, is_live, cluster, rank, since, was_redirect, held_id,
first_id, digest): an account, the cluster it is in, and what is known of its ids.
"""

from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.conform.expressions import first
from transforms.identity.match_keys import node

_LENGTH = 12
_LENGTH_IF_TAKEN = 24


def settled(account_nodes: ir.Table, clusters: ir.Table, previous: ir.Table, as_of: date) -> ir.Table:
    """Settle ids without judgements: (node, connection, account_id, created_at, is_live, rank, since, was_redirect,
    base_id, first_id), a row for each account that is known or ever was.
    """
    before = previous.select(
        held_node=node(previous.connection, previous.account_id),
        held_id="base_id",
        held_since="since",
        held_first="first_id",
        was_redirect=previous.rule == "redirect",
    )
    with_previous = account_nodes.left_join(before, [("node", "held_node")])
    remembered = with_previous.select(
        *account_nodes.columns,
        "held_id",
        first_id="held_first",
        since=ibis.coalesce(with_previous.held_since, ibis.literal(as_of)),
        was_redirect=ibis.coalesce(with_previous.was_redirect, False),
    )
    members = _clustered(remembered, clusters)
    lost = before.anti_join(account_nodes, [("held_node", "node")])
    named, heirs = _assigned(members, lost)
    based = members.join(named, "cluster").select(*_KEPT, base_id="customer_id", held_first="first_id")
    based = based.select(*_KEPT, "base_id", first_id=ibis.coalesce(based.held_first, based.base_id))
    return based.union(_former_accounts(previous, account_nodes, heirs).select(based.columns))


def judged(based: ir.Table, clusters: ir.Table) -> ir.Table:
    """Settle ids with the judgements in force: adds the `customer_id`, and the `rank` of these clusters."""
    current = based.filter(based.is_there)
    members = _clustered(current.mutate(held_id=current.base_id).drop("rank"), clusters)
    lost = based.filter(~based.is_there).mutate(held_id=lambda row: row.base_id, held_first=lambda row: row.first_id)
    named, heirs = _assigned(members, lost)
    assigned = members.join(named, "cluster").select(*_KEPT, "base_id", "first_id", "customer_id")
    followed = lost.left_join(heirs, [("base_id", "old_id")])
    former = followed.select(*_KEPT, "base_id", "first_id", customer_id=ibis.coalesce(followed.heir, followed.base_id))
    return assigned.union(former)


_KEPT = ("node", "connection", "account_id", "created_at", "is_live", "is_there", "rank", "since", "was_redirect")


def _clustered(account_nodes: ir.Table, clusters: ir.Table) -> ir.Table:
    """Put each node into its cluster; one without is its own."""
    placed = account_nodes.left_join(clusters.rename(placed_node="node"), [("node", "placed_node")])
    # Two steps: Ibis would draw a later join with a part of this table into the joins above.
    members = placed.select(
        *account_nodes.columns, "rank", cluster=ibis.coalesce(placed.cluster.cast("string"), placed.node)
    )
    return members.mutate(digest=members.node.hexdigest("sha256"), is_there=ibis.literal(True))


def _assigned(members: ir.Table, lost: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Name each cluster (cluster, customer_id), and say where each held id goes on (old_id, heir).

    `lost` are the rows of accounts that are no more (held_id, held_first, held_since or since).
    """
    claimed = _claims(members, lost)
    continued = _continued(claimed)
    named = continued.union(_new_ids(members, continued, lost))
    held_ids = claimed.filter(claimed.place == 0)
    heirs = held_ids.join(named, "cluster").select(old_id="claimed_id", heir="customer_id")
    return named, heirs


def _claims(members: ir.Table, lost: ir.Table) -> ir.Table:
    """Say for each id which cluster may go on with it (claimed_id, cluster, place, age).

    That is the cluster of its founder; without it, of the account known for the longest. Accounts that are gone or
    merged away come after those that hold on to the id. An id that an account had first and none holds now may be
    taken up again (`place` 1): so what was merged by mistake is told apart again under its own id.
    """
    by_held_id = members.filter(members.held_id.notnull()).mutate(claimed_id=lambda row: row.held_id, place=0)
    by_first_id = members.filter(members.first_id.notnull()).mutate(claimed_id=lambda row: row.first_id, place=1)
    by_first_id = by_first_id.anti_join(by_held_id, "claimed_id").anti_join(lost, [("claimed_id", "held_id")])
    holders = by_held_id.union(by_first_id.select(by_held_id.columns))
    minted_for = ibis.literal("C").concat(holders.digest.substr(0, holders.claimed_id.length() - 1))
    order = [
        holders.was_redirect,
        ibis.desc(holders.is_live),
        ibis.desc(holders.claimed_id == minted_for),
        holders.since,
        holders.node,
    ]
    aged = first(holders, "claimed_id", order).select("claimed_id", "cluster", "place")
    since = lost.held_since if "held_since" in lost.columns else lost.since
    dates = holders.select("claimed_id", "since").union(lost.select(claimed_id="held_id", since=since))
    ages = dates.group_by("claimed_id").agg(age=dates.since.min())
    return aged.join(ages, "claimed_id")


def _continued(claims: ir.Table) -> ir.Table:
    """Let each cluster go on with its oldest id (cluster, customer_id)."""
    oldest = first(claims, "cluster", [claims.place, claims.age, claims.claimed_id])
    return oldest.select("cluster", customer_id="claimed_id")


def _new_ids(members: ir.Table, continued: ir.Table, lost: ir.Table) -> ir.Table:
    """Mint an id for each cluster that has none, from its founder (cluster, customer_id)."""
    new = members.anti_join(continued, "cluster")
    created = ibis.asc(new.created_at, nulls_first=False)
    founders = first(new, "cluster", [ibis.desc(new.is_live), new.since, created, new.connection, new.account_id])
    short, long = (
        ibis.literal("C").concat(founders.digest.substr(0, length)) for length in (_LENGTH, _LENGTH_IF_TAKEN)
    )
    drawn = founders.select("cluster", short=short, long=long)
    used_ids = [members.select(taken="held_id"), members.select(taken="first_id")]
    used_ids += [lost.select(taken="held_id"), lost.select(taken="held_first")]
    taken = ibis.union(*used_ids).filter(lambda row: row.taken.notnull()).distinct()
    met = drawn.left_join(taken, [("short", "taken")])
    counted = met.mutate(_drawn=met.count().over(group_by="short"))
    is_taken = counted.taken.notnull() | (counted._drawn > 1)
    return counted.select("cluster", customer_id=is_taken.ifelse(counted.long, counted.short))


def _former_accounts(previous: ir.Table, account_nodes: ir.Table, heirs: ir.Table) -> ir.Table:
    """Keep the accounts that are no more with the customer that goes on with their id."""
    before = previous.mutate(node=node(previous.connection, previous.account_id))
    former = before.anti_join(account_nodes, "node")
    followed = former.left_join(heirs, [("base_id", "old_id")])
    return followed.select(
        "node",
        "connection",
        "account_id",
        "since",
        "first_id",
        created_at=ibis.null(account_nodes.created_at.type()),
        is_live=ibis.literal(False),
        is_there=ibis.literal(False),
        rank=ibis.null("int64"),
        was_redirect=ibis.literal(True),
        base_id=ibis.coalesce(followed.heir, followed.base_id),
    )
