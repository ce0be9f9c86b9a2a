"""Spark SQL with the results of DuckDB's: replacements for the translations of Ibis that differ."""

import re
from string import whitespace
from typing import Any, ClassVar

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.pyspark import PySparkCompiler

from engine.storage.backend.rounding import Rounds

_SECONDS = {"m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}
_FIELDS = {"%Y": "yyyy", "%m": "MM", "%d": "dd", "%H": "HH", "%M": "mm", "%S": "ss"}
_FIELD = re.compile(r"(%[A-Za-z])")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_GROUP = re.compile(r"\\(\d)")


class SparkCompiler(Rounds, PySparkCompiler):  # type: ignore[misc]
    """Translate expressions to Spark SQL."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[type, str]] = {}  # the parent's are methods of it already, and would hide ours

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: dt.DataType) -> Any:
        """Encode texts with control characters: Spark reads some of their escapes as letters."""
        if dtype.is_string() and _UNWRITABLE.search(value):
            return _bytes(value)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Strip(self, op: Any, *, arg: Any) -> Any:
        """Strip all of Python's white space; Spark's trim strips blanks only."""
        return sge.Trim(this=arg, expression=_bytes(whitespace))

    def visit_IsNan(self, op: Any, *, arg: Any) -> Any:
        """Return NULL for NULL; Spark says false."""
        return self.if_(arg.is_(sge.null()), sge.null(), self.f.isnan(arg))

    def visit_IsInf(self, op: Any, *, arg: Any) -> Any:
        """Compare with infinity; Ibis compares with words that Spark never returns."""
        return self.f.abs(arg).eq(self.cast(sge.convert("Infinity"), dt.float64))

    def visit_Strftime(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Translate the fields of a format to Java's; the rest is quoted."""
        parts = _FIELD.split(format_str.this)
        pattern = "".join(_FIELDS.get(part, f"'{part}'") for part in parts if part)
        return self.f.anon.date_format(arg, sge.convert(pattern))

    def visit_IntervalFromInteger(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """Make an interval of a number; Ibis has Spark parse a text in each row."""
        if unit.short in _SECONDS:
            return self.f.anon.make_dt_interval(0, 0, 0, arg * _SECONDS[unit.short])
        if unit.short in ("D", "W"):
            return self.f.anon.make_dt_interval(arg * 7 if unit.short == "W" else arg)
        return super().visit_IntervalFromInteger(op, arg=arg, unit=unit)

    def visit_RegexReplace(self, op: Any, *, arg: Any, pattern: Any, replacement: Any) -> Any:
        """Write groups in a replacement as Java does: $1."""
        if isinstance(op.replacement, ops.Literal):
            named = _GROUP.sub(r"$\1", op.replacement.value.replace("$", r"\$"))
            replacement = self.visit_Literal(op.replacement, value=named, dtype=op.replacement.dtype)
        return self.f.anon.regexp_replace(arg, pattern, replacement)

    def visit_StringSplit(self, op: Any, *, arg: Any, delimiter: Any) -> Any:
        """Split at a text; Spark takes it for a pattern unless it is quoted."""
        return self.f.anon.split(arg, self.f.concat(r"\Q", delimiter, r"\E"))

    def visit_GroupConcat(self, op: Any, *, arg: Any, sep: Any, where: Any, order_by: Any) -> Any:
        """Join texts in the order of `order_by`."""
        included = arg if where is None else self.if_(where, arg, sge.null())
        joined = self.f.anon.listagg(included, sep)
        return sge.WithinGroup(this=joined, expression=sge.Order(expressions=order_by)) if order_by else joined

    def visit_Substring(self, op: Any, *, arg: Any, start: Any, length: Any) -> Any:
        """Leave out the branch for a negative start where the start is a literal.

        A build has thousands of them.
        """
        if isinstance(op.start, ops.Literal) and op.start.value >= 0:
            return self.f.anon.substring(arg, op.start.value + 1, *([] if length is None else [length]))
        return super().visit_Substring(op, arg=arg, start=start, length=length)

    def visit_ArrayCollect(self, op: Any, *, arg: Any, order_by: Any, **more: Any) -> Any:
        """Collect values, sorted if they are the sort key; of none the result is NULL."""
        is_sorted = [key.arg for key in op.order_by if key.ascending] == [op.arg]
        values = super().visit_ArrayCollect(op, arg=arg, order_by=() if is_sorted else order_by, **more)
        collected = self.f.anon.array_sort(values) if is_sorted else values
        return self.if_(self.f.anon.size(values).eq(0), sge.null(), collected)

    def visit_ArrayIndex(self, op: Any, *, arg: Any, index: Any) -> Any:
        """Return an item, counted from the end for a negative index; NULL beyond either end."""
        position = index + self.cast(index >= 0, op.index.dtype)  # Spark counts from 1
        return self.f.anon.try_element_at(arg, self.cast(position, dt.int32))

    def visit_JSONGetItem(self, op: Any, *, arg: Any, index: Any) -> Any:
        """Append a step to the path of a text of JSON: Spark reads a whole path at once."""
        step = op.index.value
        path = f"[{step}]" if isinstance(step, int) else f"['{step}']"
        if isinstance(op.arg, ops.JSONGetItem):
            root, above = arg.expressions
            return self.f.anon.get_json_object(root, sge.convert(f"{above.this}{path}"))
        return self.f.anon.get_json_object(arg, sge.convert(f"${path}"))

    def visit_UnwrapJSONString(self, op: Any, *, arg: Any) -> Any:
        """Return the text of a JSON string, NULL for any other JSON value."""
        return self.if_(self._kind(arg).eq("STRING"), arg, sge.null())

    def visit_IsNull(self, op: Any, *, arg: Any) -> Any:
        """Say whether a key is missing: one that holds JSON's null is not."""
        return self._variant(arg).is_(sge.null()) if op.arg.dtype.is_json() else super().visit_IsNull(op, arg=arg)

    def visit_NotNull(self, op: Any, *, arg: Any) -> Any:
        """Say whether a key exists, also where it holds JSON's null."""
        if op.arg.dtype.is_json():
            return self._variant(arg).is_(sg.not_(sge.null()))
        return super().visit_NotNull(op, arg=arg)

    def visit_Cast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Write JSON as text: a string with its quotes, null as a word."""
        if op.arg.dtype.is_json() and to.is_string():
            return self.if_(self._kind(arg).isin("STRING", "VOID"), self.f.anon.to_json(self._variant(arg)), arg)
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_TryCast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Take a text for JSON as it is: one that is not valid has no keys."""
        return arg if to.is_json() else super().visit_TryCast(op, arg=arg, to=to)

    def _variant(self, json: Any) -> Any:
        root, path = json.expressions
        return self.f.anon.try_variant_get(self.f.anon.try_parse_json(root), path, "variant")

    def _kind(self, json: Any) -> Any:
        return self.f.anon.schema_of_variant(self._variant(json))


def _bytes(value: str) -> Any:
    return sg.func("decode", sg.func("unhex", sge.convert(value.encode().hex())), sge.convert("UTF-8"))
