"""The first row of each group."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir


def first(table: ir.Table, group: str | Sequence[str], order: Sequence[ir.Value]) -> ir.Table:
    """Keep the first row of each group in an order that leaves no ties."""
    number = ibis.row_number().over(group_by=group, order_by=order)
    return table.mutate(_number=number).filter(lambda row: row._number == 0).drop("_number")
