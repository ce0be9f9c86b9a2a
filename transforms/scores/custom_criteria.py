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
    for criterion in criteria:
        if criterion.is_manual:
            measured = measured.mutate(**{criterion.name: ibis.null("float64")})
        elif criterion.sql:
            measure = _value(tables, criterion, as_of).rename(**{f"{criterion.name}_found": "value"})
            joined = measured.left_join(measure, "customer_id")
            value = joined[f"{criterion.name}_found"]
            other_columns = [name for name in measured.columns if name != criterion.name]
            measured = joined.select(
                *other_columns, **{criterion.name: ibis.ifelse(value.isnan() | value.isinf(), None, value)}
            )
        elif criterion.name not in measured.columns:
            raise CriterionError(f"criterion {criterion.name!r} has no measure: set `sql` or `manual: true`")
    return measured


def _value(tables: Mapping[str, ir.Table], criterion: Criterion, as_of: date) -> ir.Table:
    if criterion.table not in tables:
        raise CriterionError(
            f"criterion {criterion.name!r}: no table {criterion.table!r}; choices: {', '.join(sorted(tables))}"
        )
    rows = tables[criterion.table].mutate(as_of=ibis.literal(as_of))
    expression = _expression(criterion, set(rows.columns))
    view = f"rows_of_{criterion.name}"  # a name of its own: one query holds all criteria
    sql = f'SELECT customer_id, TRY_CAST({expression} AS DOUBLE) AS value FROM "{view}" GROUP BY customer_id'  # noqa: S608
    try:
        return rows.alias(view).sql(sql, dialect=DIALECT)
    except Exception as error:  # the engine's own words say best what it does not understand
        raise CriterionError(f"criterion {criterion.name!r}: {str(error).splitlines()[0]}") from None


def _expression(criterion: Criterion, columns: set[str]) -> str:
    """Check an expression: one aggregate over known columns, without queries of its own; plain columns are themselves."""
    try:
        tree = parse_one(f"SELECT {criterion.sql}", dialect=DIALECT)
    except ParseError as error:
        raise CriterionError(
            f"criterion {criterion.name!r}: not an SQL expression: {error.errors[0]['description']}"
        ) from None
    clauses = {key for key, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or clauses != {"expressions"}:
        raise CriterionError(
            f"criterion {criterion.name!r}: `sql` must be one expression, without FROM or further columns"
        )
    expression = tree.expressions[0].unalias()
    if expression.find(exp.Query):
        raise CriterionError(f"criterion {criterion.name!r}: `sql` must not contain a subquery")
    for column in expression.find_all(exp.Column):
        if column.name not in columns:
            raise CriterionError(
                f"criterion {criterion.name!r}: table {criterion.table!r} has no column {column.name!r}"
            )
    if not expression.find(exp.AggFunc):
        expression = exp.Max(this=expression)
    return str(expression.transform(_dividing_by_something).sql(dialect=DIALECT))


def _dividing_by_something(node: exp.Expression) -> exp.Expression:
    """Let what is divided by nothing be no data; some engines would stop."""
    if isinstance(node, exp.Div | exp.IntDiv | exp.Mod):
        node.set("expression", exp.Nullif(this=node.expression, expression=exp.Literal.number(0)))
    return node
