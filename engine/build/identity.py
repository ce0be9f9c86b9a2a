"""Which accounts are one customer: the steps around the crosswalk that need more than tables."""

from collections.abc import Mapping
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from engine.build import probabilistic_matching
from engine.build.model_parameters import Fits
from engine.build.probabilistic_matching import Matches
from engine.build.registry import Output
from engine.config.customer_model import MatchingConfig
from engine.config.project import Project
from engine.storage.backend import backend
from transforms.identity import crosswalk as identity

JUDGED = ibis.schema(
    dict.fromkeys(("left_connection", "left_account_id", "right_connection", "right_account_id", "verdict"), "string")
)


def judgements(*, project: Project, con: backend.Backend) -> ir.Table:
    """What people said of pairs of accounts: "same" or "different"."""
    rows = [{name: row[name] for name in JUDGED.names} for row in project.ledger.judgements.in_force()]
    return backend.table(con, pa.Table.from_pylist(rows, JUDGED.to_pyarrow()))


def matches(
    match_keys: ir.Table, *, con: backend.Backend, fits: Fits, as_of: date, matching: MatchingConfig
) -> Matches:
    """Pairs of accounts that are probably one customer, by a model of the ledger or a new fit."""
    return probabilistic_matching.matches(con, match_keys, fits, as_of, matching)


def crosswalk(
    accounts: ir.Table,
    judgements: ir.Table,
    match_keys: ir.Table,
    matches: Matches,
    previous: ir.Table,
    *,
    as_of: date,
    links: Mapping[str, str],
    max_cluster: int,
) -> Output:
    """The customer of each account.

    Grain: connection, account_id.
    """
    rows = identity.crosswalk(
        accounts,
        judgements,
        previous,
        as_of=as_of,
        links=links,
        max_cluster=max_cluster,
        keys=match_keys,
        likely=matches.joining,
    )
    return Output(rows, matches.notes)


def match_suggestions(
    accounts: ir.Table, crosswalk: ir.Table, judgements: ir.Table, match_keys: ir.Table, matches: Matches
) -> ir.Table:
    """Pairs of customers that may be one, for a person to judge."""
    likely = ibis.union(matches.joining, matches.suggested)
    return identity.match_suggestions(accounts, crosswalk, judgements, keys=match_keys, likely=likely)
