"""Rounding that is the same on every engine and in all of their versions."""

from typing import Any

import sqlglot.expressions as sge


class Rounds:
    """Scale a float by IEEE 754 arithmetic, then round it half away from zero.

    The engines' own rounding differs: DuckDB 2 rounds the exact binary value (1.115 to 1.11),
    DuckDB 1 a product, and Spark the shortest decimal of that value (1.115 to 1.12).
    """

    def visit_Round(self: Any, op: Any, *, arg: Any, digits: Any) -> Any:
        """Scale by a power of ten, round to an integer, scale back; only floats need it."""
        if not op.arg.dtype.is_floating() or op.digits is None or op.digits.value == 0:
            return super().visit_Round(op, arg=arg, digits=digits)  # type: ignore[misc]
        scale = self.cast(sge.convert(10**op.digits.value), op.arg.dtype)
        return self.f.round(self.binop(sge.Mul, arg, scale)) / scale
