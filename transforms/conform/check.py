"""Part good rows from broken ones by a table's schema: accepted + quarantined = received, exactly."""

from dataclasses import dataclass
from functools import cached_property

import ibis
import ibis.expr.types as ir
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors
from pandera.ibis import DataFrameSchema

from schemas.base import Table
from transforms.conform.conform import reasons
from transforms.conform.rule_sql import Rule, rules


class ShapeError(ValueError):
    """A table's columns or types are not those of its schema; no row was looked at."""


@dataclass(frozen=True)
class Checked:
    """Hold the good rows, with exactly the schema's columns, and the broken ones as `quarantine` rows.

    Both keep `_cursor`, where there is one, for whoever counts them. Each is made when it is asked for: to name all
    reasons is dear, and where every row was accepted there are none.
    """

    marked: ir.Table
    model: type[Table]

    @cached_property
    def accepted(self) -> ir.Table:
        return self.marked.filter(~self._is_broken).select(*self.model.to_schema().columns, *self._stamp)

    @cached_property
    def quarantine(self) -> ir.Table:
        broken = self.marked.filter(self._is_broken)
        return broken.select(
            table=ibis.literal(table_name(self.model)),
            connection=broken.connection,
            stream=broken.stream,
            record_id=broken._record_id,
            reasons=_all_reasons(broken, self.model.to_schema()),
            payload=broken._payload,
            **{name: broken[name] for name in self._stamp},
        )

    @cached_property
    def _is_broken(self) -> ir.BooleanValue:
        faults = _faults(self.marked, self.model.to_schema())
        return ibis.or_(self.marked._unreadable.notnull(), *(rule.broken for rule in faults))

    @property
    def _stamp(self) -> list[str]:
        return [name for name in self.marked.columns if name == "_cursor"]


def check(conformed: ir.Table, model: type[Table]) -> Checked:
    """Send each row of `conform` on, or to quarantine with all the rules it breaks.

    Rows that share a key are all broken: after `latest` a key that is there twice means a wrong map.
    Raises ShapeError for wrong columns or types, RuleError for a rule that cannot be compiled.
    """
    schema = model.to_schema()
    marked = _mark_twins(_canonical(conformed, schema), schema)
    _check_shape(marked.select([name for name in marked.columns if not name.startswith("_")]), schema)
    return Checked(marked, model)


def broken(table: ir.Table, model: type[Table]) -> ir.Table:
    """List the rows of a finished table that break its schema."""
    schema = model.to_schema()
    _check_shape(_canonical(table, schema), schema)
    marked = _mark_twins(_canonical(table, schema), schema)
    return marked.filter(ibis.or_(ibis.literal(False), *(rule.broken for rule in _faults(marked, schema))))


def check_result(table: ir.Table, model: type[Table]) -> ir.Table:
    """List the keys of the rows of a finished table that break its schema, and the reasons, no values."""
    schema, rows = model.to_schema(), broken(table, model)
    named = reasons([(rule.broken, rule.words) for rule in _faults(rows, schema)])
    return rows.select(*(schema.unique or []), reasons=named)


def reason_counts(quarantine: ir.Table) -> ir.Table:
    """Count the quarantined rows by connection, stream, table and reason; a row counts for each reason."""
    single = quarantine.select("table", "connection", "stream", reason=quarantine.reasons.split("; ").unnest())
    return single.group_by("table", "connection", "stream", "reason").agg(rows=lambda rows: rows.count())


def table_name(model: type[Table]) -> str:
    """Name the table of a model: its module's name."""
    return model.__module__.rsplit(".", 1)[-1]


def _canonical(table: ir.Table, schema: DataFrameSchema) -> ir.Table:
    """Take the precision that Parquet adds to instants off again."""
    cast = {
        name: column.dtype.type
        for name, column in schema.columns.items()
        if name in table.columns and column.dtype.type.is_timestamp() and table[name].type().is_timestamp()
    }
    return table.cast(cast) if cast else table


def _check_shape(table: ir.Table, schema: DataFrameSchema) -> None:
    """Let pandera look at columns and types, without a look at any row."""
    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_ONLY):
            schema.validate(table, lazy=True)
    except SchemaErrors as error:
        differences = "; ".join(_shape_fault(table, schema)) or "wrong columns"
        raise ShapeError(f"{schema.name}: {differences}") from error


def _shape_fault(table: ir.Table, schema: DataFrameSchema) -> list[str]:
    wanted = {str(name): column.dtype.type for name, column in schema.columns.items()}
    missing = [f"no column {name}" for name in wanted if name not in table.columns]
    unknown = [f"unknown column {name}" for name in table.columns if name not in wanted]
    wrong = [
        f"{name} is {table[name].type()}, not {dtype}"
        for name, dtype in wanted.items()
        if name in table.columns and table[name].type().copy(nullable=True) != dtype.copy(nullable=True)
    ]
    return missing + unknown + wrong


def _mark_twins(table: ir.Table, schema: DataFrameSchema) -> ir.Table:
    """Mark rows whose key is there more than once, by way of a small side table."""
    key = [str(name) for name in schema.unique or []]
    if not key or any(name not in table.columns for name in key):
        return table.mutate(_twin=ibis.literal(False))
    twins = table.group_by(key).having(lambda rows: rows.count() > 1).agg(_twins=lambda rows: rows.count())
    renamed = twins.rename({f"_twin_{name}": name for name in key})
    joined = table.left_join(renamed, [table[name] == renamed[f"_twin_{name}"] for name in key])
    return joined.select(*table.columns, _twin=joined._twins.notnull())


def _faults(marked: ir.Table, schema: DataFrameSchema) -> list[Rule]:
    twin = Rule(None, marked._twin, f"{', '.join(map(str, schema.unique or []))}: not unique")
    return [*rules(marked, schema), *([twin] if schema.unique else [])]


def _all_reasons(broken: ir.Table, schema: DataFrameSchema) -> ir.StringValue:
    """Name the unreadable texts, then the broken rules; what is unreadable is not called missing too."""
    unreadable = ibis.coalesce(broken._unreadable, "")
    named = [
        (rule.broken & ~_names(unreadable, rule) if rule.is_missing else rule.broken, rule.words)
        for rule in _faults(broken, schema)
    ]
    rest = ibis.coalesce(reasons(named), "")
    between = ((unreadable != "") & (rest != "")).ifelse("; ", "")
    return unreadable.concat(between, rest)


def _names(unreadable: ir.StringValue, rule: Rule) -> ir.BooleanValue:
    return ibis.literal("; ").concat(unreadable).contains(f"; {rule.column}: ")
