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

from transforms.identity.tax_numbers import is_valid_in

Rewrite = Callable[[ir.StringValue], ir.StringValue]


def canonical(number: ir.StringValue, country: ir.StringValue) -> ir.StringValue:
    """Return the form of a bare number (`normalise.tax_number`) that all its spellings share in its country.

    A number in no form that is listed here stays as it is.
    """
    cases = [
        ((country == code) & number.re_search(f"^(?:{form})$") & is_valid_in(code, rewrite(number)), rewrite(number))
        for code, forms in _FORMS.items()
        for form, rewrite in forms.items()
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


_FORMS: Mapping[str, Mapping[str, Rewrite]] = {
    "AT": {r"\d{8}": lambda number: ibis.literal("U").concat(number)},
    "BE": {r"\d{9}": _filled(10)},
    "ES": {r"\d{5,7}[A-Z]": _filled(9)},
    "FI": {r"\d{7}": _filled(8)},
    "FR": {r"[0-9A-HJ-NP-Z]{2}\d{9}": _last(9), r"\d{14}": _first(9)},
    "GB": {r"\d{12}": _first(9)},
    "GR": {r"\d{7,8}": _filled(9)},
    "HR": {r"\d{9,10}": _filled(11)},
    "HU": {r"\d{9}|\d{11}": _first(8)},
    "IT": {r"\d{7,10}": _filled(11)},
    "NL": {r"\d{7,9}B\d{2}": _company_of_vat_number, r"\d{7,8}": _filled(9)},
    "SE": {r"\d{12}": _first(10), r"(?:16|19|20)\d{10}": _last(10)},
}
