"""What the criteria measure that users write themselves: an SQL expression over the rows of a customer."""

from collections.abc import Mapping, Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
from sqlglot import exp, parse_one
from sqlglot.errors import ParseError

from transforms.scores.criteria import Criterion, CriterionError

DIALECT = "duckdb"


def with_own(
    measured: ir.Table, tables: Mapping[str, ir.Table], criteria: Sequence[Criterion], *, as_of: date
) -> ir.Table:
    """Add or replace the columns of criteria that are measured by SQL, and empty those that only people score.

    `tables` are those an expression may name, each with `customer_id`; `as_of` is a column of all of them. A customer
    without rows has no value. Raises CriterionError for what is not one expression over one table.
    """
    for one in criteria:
        if one.is_manual:
            measured = measured.mutate(**{one.name: ibis.null("float64")})
        elif one.sql:
            found = _value(tables, one, as_of).rename(**{f"{one.name}_found": "value"})
            joined = measured.left_join(found, "customer_id")
            value = joined[f"{one.name}_found"]
            kept = [name for name in measured.columns if name != one.name]
            measured = joined.select(*kept, **{one.name: ibis.ifelse(value.isnan() | value.isinf(), None, value)})
        elif one.name not in measured.columns:
            raise CriterionError(f"criterion {one.name!r} is measured by nothing: give it `sql` or `manual: true`")
    return measured


def _value(tables: Mapping[str, ir.Table], one: Criterion, as_of: date) -> ir.Table:
    if one.table not in tables:
        raise CriterionError(f"criterion {one.name!r}: no table {one.table!r}; choices: {', '.join(sorted(tables))}")
    rows = tables[one.table].mutate(as_of=ibis.literal(as_of))
    said = _expression(one, set(rows.columns))
    given = f"rows_of_{one.name}"  # a name of its own: one query holds all criteria
    sql = f'SELECT customer_id, TRY_CAST({said} AS DOUBLE) AS value FROM "{given}" GROUP BY customer_id'  # noqa: S608
    try:
        return rows.alias(given).sql(sql, dialect=DIALECT)
    except Exception as error:  # the engine's own words say best what it does not understand
        raise CriterionError(f"criterion {one.name!r}: {str(error).splitlines()[0]}") from None


def _expression(one: Criterion, columns: set[str]) -> str:
    """Check an expression: one aggregate over known columns, without queries of its own; plain columns are themselves."""
    try:
        tree = parse_one(f"SELECT {one.sql}", dialect=DIALECT)
    except ParseError as error:
        raise CriterionError(
            f"criterion {one.name!r}: not an SQL expression: {error.errors[0]['description']}"
        ) from None
    clauses = {key for key, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or clauses != {"expressions"}:
        raise CriterionError(f"criterion {one.name!r}: `sql` is one expression, without FROM or further columns")
    said = tree.expressions[0].unalias()
    if said.find(exp.Query):
        raise CriterionError(f"criterion {one.name!r}: `sql` holds no query of its own")
    for column in said.find_all(exp.Column):
        if column.name not in columns:
            raise CriterionError(f"criterion {one.name!r}: table {one.table!r} has no column {column.name!r}")
    if not said.find(exp.AggFunc):
        said = exp.Max(this=said)
    return str(said.transform(_dividing_by_something).sql(dialect=DIALECT))


def _dividing_by_something(node: exp.Expression) -> exp.Expression:
    """Let what is divided by nothing be no data; some engines would stop."""
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        node.set("expression", exp.Nullif(this=node.expression, expression=exp.Literal.number(0)))
    return node
