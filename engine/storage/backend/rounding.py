"""Rounding that comes to the same on every engine and in each of its versions."""

from typing import Any

import sqlglot.expressions as sge


class Rounds:
    """Round a float half away from zero after it was scaled, as IEEE 754 does arithmetic everywhere.

    Left to themselves, DuckDB 2 rounds the number that there is in binary (1.115 to 1.11), DuckDB 1 a product, and
    Spark the shortest decimal that names it (1.115 to 1.12).
    """

    def visit_Round(self: Any, op: Any, *, arg: Any, digits: Any) -> Any:
        """Scale by a power of ten, round to a whole number, scale back."""
        if not op.arg.dtype.is_floating() or op.digits is None or op.digits.value == 0:
            return super().visit_Round(op, arg=arg, digits=digits)  # type: ignore[misc]
        scale = self.cast(sge.convert(10**op.digits.value), op.arg.dtype)
        return self.f.round(self.binop(sge.Mul, arg, scale)) / scale
