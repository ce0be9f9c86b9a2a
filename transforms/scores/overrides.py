"""People's word against the computed one: overrides with a reason and an end."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

OVERRIDE = {
    "customer_id": "string",
    "what": "string",
    "score": "float64",
    "tier": "string",
    "override_id": "string",
    "created_on": "date",
    "expires_on": "date",
}


def in_force(overrides: Sequence[Mapping[str, Any]], as_of: date) -> ir.Table:
    """List the overrides that hold on a day, from the day they were made until the one before they expire.

    Of several of one thing the newest holds. `what` is a score, `tier`, or the name of a criterion.
    """
    valid = _override_table(overrides, OVERRIDE)
    valid = valid.filter(valid.created_on <= as_of, valid.expires_on > as_of)
    nth = ibis.row_number().over(
        group_by=["customer_id", "what"], order_by=[valid.created_on.desc(), valid.override_id.desc()]
    )
    return valid.mutate(nth=nth).filter(lambda t: t.nth == 0).drop("nth", "created_on", "expires_on")


def laid_over(table: ir.Table, forced: ir.Table, what: str, column: str = "score") -> ir.Table:
    """Put the overrides of one thing beside the customers, as `forced_<what>` and `override_<what>`."""
    ours = forced.filter(forced.what == what)
    ours = ours.select("customer_id", **{f"forced_{what}": ours[column], f"override_{what}": ours.override_id})
    return table.left_join(ours, "customer_id").drop("customer_id_right")


def overridden(
    scores: ir.Table, forced: ir.Table, what: str, bands: Sequence[tuple[float, str]], lowest: str
) -> ir.Table:
    """Lay the overrides over a score of 0 to 100: the value that counts and its band; who has churned stays churned."""
    t = laid_over(scores, forced, what)
    value = t[f"forced_{what}"]
    band = ibis.cases(
        (value.isnull() | (t.band == "churned"), t.band), *((value >= low, name) for low, name in bands), else_=lowest
    )
    other_columns = [name for name in scores.columns if name not in ("value_effective", "band", "override_id")]
    return t.select(
        *other_columns, value_effective=value.coalesce(t.value_effective), band=band, override_id=t[f"override_{what}"]
    )


def overrides(configured: Sequence[Mapping[str, Any]], *, as_of: date) -> ir.Table:
    """List all overrides with who made them and why, and which hold on a day."""
    words = {"reason": "string", "author": "string"}
    listed = _override_table(configured, OVERRIDE | words)
    active = in_force(configured, as_of).select("override_id", is_in_force=ibis.literal(True))
    joined = listed.left_join(active, "override_id").drop("override_id_right")
    return joined.mutate(is_in_force=joined.is_in_force.coalesce(False), as_of=ibis.literal(as_of))


def _override_table(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> ir.Table:
    filled = [{name: row.get(name) for name in types} for row in rows]
    return ibis.memtable(pa.Table.from_pylist(filled, ibis.schema(types).to_pyarrow()))
