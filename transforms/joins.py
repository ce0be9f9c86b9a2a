"""Joins that many tables are made by."""

from collections.abc import Sequence

import ibis.expr.types as ir


def with_customer(rows: ir.Table, crosswalk: ir.Table, *more: str) -> ir.Table:
    """Give each row its customer, and `more` columns of the crosswalk; rows of no known account stay out."""
    owners = crosswalk.select("connection", "account_id", "customer_id", *more)
    return rows.inner_join(owners, ["connection", "account_id"]).select(*rows.columns, "customer_id", *more)


def left_join_all(rows: ir.Table, *parts: ir.Table, on: str | Sequence[str]) -> ir.Table:
    """Put the columns of parts beside the rows, each part with one row a key at most."""
    keys = [on] if isinstance(on, str) else [*on]
    for part in parts:
        joined = rows.left_join(part, keys)
        rows = joined.select(*rows.columns, *(name for name in part.columns if name not in keys))
    return rows
