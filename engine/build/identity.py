"""The second step of a build: which accounts are one customer, and the customers themselves."""

from collections.abc import Iterator

import ibis
import pyarrow as pa

from engine.build.context import BuildContext, TableResult
from engine.build.probabilistic_matching import matches
from engine.build.tables import CONFORMED
from engine.storage.backend import backend
from transforms.customers.as_of_facts import known_on
from transforms.customers.customers import customers
from transforms.identity.crosswalk import crosswalk, match_suggestions
from transforms.identity.customer_redirects import customer_redirects
from transforms.identity.match_keys import match_keys

JUDGED = ibis.schema(
    dict.fromkeys(("left_connection", "left_account_id", "right_connection", "right_account_id", "verdict"), "string")
)


def customer_table(context: BuildContext) -> Iterator[TableResult]:
    """Make one row a customer from what was known on the day."""
    config = context.config
    context.facts = known_on({name: context.tables[name] for name in (*CONFORMED, "crosswalk")}, context.as_of)
    reads = ("accounts", "crosswalk", "owners", "deals", "orders", "invoices", "tickets", "activities")
    united = customers(
        *(context.facts[name] for name in reads),
        as_of=context.as_of,
        reporting_currency=config.reporting_currency,
        survivorship={name: rule.model_dump(exclude_none=True) for name, rule in config.survivorship.items()},
        roles=context.project.roles(),
    )
    yield context.keep("customers", united)


def identity_tables(context: BuildContext) -> Iterator[TableResult]:
    """Find out which accounts are one customer, and which may be."""
    t, config = context.tables, context.config
    judged = [{name: row[name] for name in JUDGED.names} for row in context.project.ledger.judgements.in_force()]
    judgements = backend.table(context.con, pa.Table.from_pylist(judged, JUDGED.to_pyarrow()))
    keys, previous = context.cached(match_keys(t["accounts"])), context.previous("crosswalk")
    probable = matches(context.con, keys, context.project.ledger, context.as_of, config.matching)
    found = crosswalk(
        t["accounts"],
        judgements,
        previous,
        as_of=context.as_of,
        links=config.links,
        max_cluster=config.max_cluster,
        keys=keys,
        likely=probable.joining,
    )
    yield context.keep("crosswalk", found, notes=probable.notes)
    redirected = customer_redirects(t["crosswalk"], previous, context.previous("customer_redirects"))
    yield context.keep("customer_redirects", redirected)
    suggested = match_suggestions(
        t["accounts"],
        t["crosswalk"],
        judgements,
        keys=keys,
        likely=ibis.union(probable.joining, probable.suggested),
    )
    yield context.keep("match_suggestions", suggested)
