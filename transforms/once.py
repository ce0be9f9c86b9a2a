"""Columns computed once, however often they are used."""

import ibis
import ibis.expr.types as ir


def once(table: ir.Table, **columns: ir.Value) -> ir.Table:
    """Add or replace columns so that later uses read them and do not compute them again.

    Ibis fuses selects, and engines compute an expression anew in each branch of a CASE: a key built of
    ten regular expressions costs tenfold. An unnest is a wall to both.
    """
    walled = table.mutate(_once=ibis.array([ibis.struct(columns)]).unnest())
    kept = [name for name in table.columns if name not in columns]
    return walled.select(*kept, **{name: walled._once[name] for name in columns})
