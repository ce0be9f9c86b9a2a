"""The forms in which one company's tax number is written, and the one form that all of them are compared in.

A company has one number at its tax office. It appears with and without leading zeros (spreadsheets drop them), as VAT
number and as register number (Belgium, France, Sweden, the Netherlands), and inside longer numbers: of an
establishment (SIRET), of a branch (GB, 12 digits), of a tax district (HU, 11 digits). A longer or shorter form is
only read as one where the check digits of the number in it hold.

Sources: the VAT number formats of the European Commission (VIES), INSEE (SIREN, SIRET), Skatteverket, Bundesamt fuer
Statistik (UID), Belastingdienst (RSIN, btw-id), NAV (Hungary).
"""

from collections.abc import Callable, Mapping

import ibis
import ibis.expr.types as ir

from transforms.identity.tax_numbers import CHECKS, Check

Rewrite = Callable[[ir.StringValue], ir.StringValue]


def canonical(number: ir.StringValue, country: ir.StringValue) -> ir.StringValue:
    """Return the form of a bare number (`normalise.tax_number`) that all its spellings share in its country.

    A number in no form that is listed here stays as it is.
    """
    cases = [
        ((country == code) & number.re_search(f"^(?:{form})$") & holds(rewrite(number)), rewrite(number))
        for code, forms in _FORMS.items()
        for form, (rewrite, holds) in forms.items()
    ]
    return ibis.cases(*cases, else_=number)


def _first(digits: int) -> Rewrite:
    return lambda number: number.substr(0, digits)


def _last(digits: int) -> Rewrite:
    return lambda number: number.right(digits)


def _filled(digits: int) -> Rewrite:
    """Put back the zeros that a spreadsheet dropped."""
    return lambda number: number.lpad(digits, "0")


def _company_of_vat_number(number: ir.StringValue) -> ir.StringValue:
    """Take the nine digits (RSIN) of a Dutch company's VAT number; zeros may be missing before them."""
    return number.re_extract(r"^(\d+)B\d{2}$", 1).lpad(9, "0")


# form: how the number in it is written, and the check of that number
_FORMS: Mapping[str, Mapping[str, tuple[Rewrite, Check]]] = {
    "AT": {r"\d{8}": (lambda number: ibis.literal("U").concat(number), CHECKS["AT"][r"U\d{8}"])},
    "BE": {r"\d{9}": (_filled(10), CHECKS["BE"][r"[01]?\d{9}"])},
    "ES": {r"\d{5,7}[A-Z]": (_filled(9), CHECKS["ES"][r"\d{8}[A-Z]"])},
    "FI": {r"\d{7}": (_filled(8), CHECKS["FI"][r"\d{8}"])},
    "FR": {
        r"[0-9A-HJ-NP-Z]{2}\d{9}": (_last(9), CHECKS["FR"][r"\d{9}"]),
        r"\d{14}": (_first(9), CHECKS["FR"][r"\d{9}"]),
    },
    "GB": {r"\d{12}": (_first(9), CHECKS["GB"][r"\d{9}(?:\d{3})?"])},
    "GR": {r"\d{7,8}": (_filled(9), CHECKS["GR"][r"\d{9}"])},
    "HR": {r"\d{9,10}": (_filled(11), CHECKS["HR"][r"\d{11}"])},
    "HU": {r"\d{9}|\d{11}": (_first(8), CHECKS["HU"][r"\d{8}"])},
    "IT": {r"\d{7,10}": (_filled(11), CHECKS["IT"][r"\d{11}"])},
    "NL": {
        r"\d{7,9}B\d{2}": (_company_of_vat_number, CHECKS["NL"][r"\d{9}"]),
        r"\d{7,8}": (_filled(9), CHECKS["NL"][r"\d{9}"]),
    },
    "SE": {
        r"\d{12}": (_first(10), CHECKS["SE"][r"\d{10}(?:\d{2})?"]),
        r"(?:16|19|20)\d{10}": (_last(10), CHECKS["SE"][r"\d{10}(?:\d{2})?"]),
    },
}
