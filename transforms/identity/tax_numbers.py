"""Tax numbers whose check digits are wrong: mistyped or made up, they prove nothing.

Algorithms as the tax offices publish them. A number in a form that its country has no check for (a US EIN, a German
Steuernummer, a company register's number) is taken as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import ibis
import ibis.expr.types as ir

Check = Callable[[ir.StringValue], ir.BooleanValue]


def is_mistyped(number: ir.StringValue, country: ir.StringValue) -> ir.BooleanValue:
    """Tell of a bare number (`normalise.tax_number`) whether its check digits contradict it."""
    cases = [
        ((country == code) & number.re_search(f"^(?:{form})$"), ~holds(number))
        for code, forms in CHECKS.items()
        for form, holds in forms.items()
    ]
    return ibis.coalesce(ibis.cases(*cases, else_=False), False)


def has_check_digits(number: ir.StringValue, country: ir.StringValue) -> ir.BooleanValue:
    """Tell of a bare number whether a slip of the finger would show."""
    cases = [(country == code, number.re_search(f"^(?:{'|'.join(forms)})$")) for code, forms in CHECKS.items()]
    return ibis.coalesce(ibis.cases(*cases, else_=False), False)


def _integer(number: ir.StringValue, start: int, length: int) -> ir.IntegerValue:
    return number.substr(start, length).try_cast("int64")


def _digits(number: ir.StringValue, count: int, start: int = 0) -> list[ir.IntegerValue]:
    return [_integer(number, start + offset, 1) for offset in range(count)]


def _sum(number: ir.StringValue, weights: Sequence[int], start: int = 0) -> ir.IntegerValue:
    digits = _digits(number, len(weights), start)
    return reduce(lambda total, other: total + other, (d * w for d, w in zip(digits, weights, strict=True)))


def _divides(modulus: int, *weights: int) -> Check:
    """Let the weighted sum of all digits, the check digit too, be a multiple."""
    return lambda number: _sum(number, weights) % modulus == 0


def _complements(*weights: int) -> Check:
    """Let the check digit complete the weighted sum to a multiple of 11; where that takes 10 or 11, it is 0."""
    return lambda number: (11 - _sum(number, weights) % 11) % 11 % 10 == _integer(number, len(weights), 1)


def _luhn(length: int, start: int = 0) -> Check:
    """Double every second digit from the right, the check digit staying single."""

    def holds(number: ir.StringValue) -> ir.BooleanValue:
        digits = _digits(number, length, start)
        total = [_doubled(d) if (length - position) % 2 == 0 else d for position, d in enumerate(digits)]
        return reduce(lambda left_digit, other: left_digit + other, total) % 10 == 0

    return holds


def _doubled(digit: ir.IntegerValue) -> ir.IntegerValue:
    """Take the sum of the digits of twice a digit."""
    return digit * 2 - (digit > 4).cast("int64") * 9


def _mod_11_10(length: int) -> Check:
    """Check by ISO 7064, MOD 11,10."""

    def holds(number: ir.StringValue) -> ir.BooleanValue:
        *digits, last = _digits(number, length)
        first: ir.IntegerValue = ibis.literal(10, "int64")
        product = reduce(lambda previous, digit: ((digit + previous + 9) % 10 + 1) * 2 % 11, digits, first)
        return (11 - product) % 10 == last

    return holds


def _austria(number: ir.StringValue) -> ir.BooleanValue:
    digits = _digits(number, 7, start=1)
    total = [_doubled(d) if position % 2 else d for position, d in enumerate(digits)]
    return (96 - reduce(lambda a, other: a + other, total)) % 10 == _integer(number, 8, 1)


def _france(number: ir.StringValue) -> ir.BooleanValue:
    key = (_integer(number, 2, 9) % 97 * 3 + 12) % 97
    return (key == _integer(number, 0, 2)) & _luhn(9, start=2)(number)


def _netherlands(number: ir.StringValue) -> ir.BooleanValue:
    """Take a number of a company (11) or of a sole trader (97 over the whole, letters as numbers)."""
    spelled = ibis.literal("2321").concat(number.replace("B", "11")).try_cast("int64")
    return _netherlands_company(number) | (spelled % 97 == 1)


def _netherlands_company(number: ir.StringValue) -> ir.BooleanValue:
    return _sum(number, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _belgium(number: ir.StringValue) -> ir.BooleanValue:
    whole = number.try_cast("int64")
    return 97 - (whole // 100) % 97 == whole % 100


def _britain(number: ir.StringValue) -> ir.BooleanValue:
    """Divide by 97; numbers given out since 2010, from 100 on, may have 55 added."""
    rest = _sum(number, (8, 7, 6, 5, 4, 3, 2, 10, 1)) % 97
    return (rest == 0) | (rest.isin((42, 55)) & (_integer(number, 0, 3) >= 100))


def _spanish_company(number: ir.StringValue) -> ir.BooleanValue:
    digits = _digits(number, 7, start=1)
    total = [d if position % 2 else _doubled(d) for position, d in enumerate(digits)]
    check = (10 - reduce(lambda a, other: a + other, total) % 10) % 10
    control = number.substr(8, 1)
    return (control == check.cast("string")) | (control == ibis.literal("JABCDEFGHI").substr(check, 1))


def _spanish_person(number: ir.StringValue) -> ir.BooleanValue:
    letters = ibis.literal("TRWAGMYFPDXBNJZSQVHLCKE")
    return letters.substr(_integer(number, 0, 8) % 23, 1) == number.substr(8, 1)


CHECKS: Mapping[str, Mapping[str, Check]] = {
    "AT": {r"U\d{8}": _austria},
    "BE": {r"[01]?\d{9}": _belgium},
    "CH": {r"\d{9}": _divides(11, 5, 4, 3, 2, 7, 6, 5, 4, 1)},
    "DE": {r"\d{9}": _mod_11_10(9)},
    "DK": {r"\d{8}": _divides(11, 2, 7, 6, 5, 4, 3, 2, 1)},
    "EE": {r"\d{9}": _divides(10, 3, 7, 1, 3, 7, 1, 3, 7, 1)},
    "ES": {r"[A-HJNP-SUVW]\d{7}[0-9A-J]": _spanish_company, r"\d{8}[A-Z]": _spanish_person},
    "FI": {r"\d{8}": _divides(11, 7, 9, 10, 5, 8, 4, 2, 1)},
    "FR": {r"\d{9}": _luhn(9), r"\d{11}": _france},
    "GB": {r"\d{9}(?:\d{3})?": _britain},
    "GR": {r"\d{9}": lambda number: _sum(number, (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == _integer(number, 8, 1)},
    "HR": {r"\d{11}": _mod_11_10(11)},
    "HU": {r"\d{8}": _divides(10, 9, 7, 3, 1, 9, 7, 3, 1)},
    "IT": {r"\d{11}": _luhn(11)},
    "LU": {r"\d{8}": lambda number: _integer(number, 0, 6) % 89 == _integer(number, 6, 2)},
    "NL": {r"\d{9}B\d{2}": _netherlands, r"\d{9}": _netherlands_company},
    "NO": {r"\d{9}": _divides(11, 3, 2, 7, 6, 5, 4, 3, 2, 1)},
    "PL": {r"\d{10}": _divides(11, 6, 5, 7, 2, 3, 4, 5, 6, 7, -1)},
    "PT": {r"\d{9}": _complements(9, 8, 7, 6, 5, 4, 3, 2)},
    "SE": {r"\d{10}(?:\d{2})?": _luhn(10)},
}
