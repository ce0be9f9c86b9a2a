"""Which values Odoo takes, and what it makes of them."""

from datetime import date, datetime
from typing import Any

from sandbox.odoo.activity import OdooError, Row

Fields = dict[str, tuple[str, str]]
NUMBERS = ("float", "monetary", "integer")
REQUIRED = {"res.partner": ("name",), "mail.activity": ("res_model_id", "res_id"), "ir.model.data": ("name", "model")}


def fit(tables: dict[str, dict[int, Row]], fields: Fields, model: str, values: Row) -> Row:
    """Give values as they will be held; raises OdooError for those that cannot be written."""
    for name in values:
        if name not in fields:
            raise OdooError("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")
    return {name: _fit(tables, model, name, *fields[name], value) for name, value in values.items()}


def lacking(model: str, values: Row) -> str | None:
    """Name a field that a row of a model must have and this one does not."""
    return next((name for name in REQUIRED.get(model, ()) if not values.get(name)), None)


def missing(model: str, name: str) -> OdooError:
    """Say that a required field is empty."""
    message = f"The field '{name.capitalize()}' of {model} is required."
    return OdooError("odoo.exceptions.ValidationError", message)


def _fit(tables: dict[str, dict[int, Row]], model: str, name: str, kind: str, relation: str, value: Any) -> Any:
    if value is None or value is False or value == "":
        if name in REQUIRED.get(model, ()):
            raise missing(model, name)
        return False
    if kind in NUMBERS and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise OdooError("builtins.ValueError", f"could not convert string to float: '{value}'")
    if kind == "many2one" and value not in tables[relation]:
        message = f"Record does not exist or has been deleted. (Record: {relation}({value},))"
        raise OdooError("odoo.exceptions.MissingError", message)
    if kind in ("date", "datetime"):
        _dated(kind, value)
    if name == "vat" and value != "/" and not any(letter.isdigit() for letter in str(value)):
        message = f"The VAT number [{value}] does not seem to be valid."
        raise OdooError("odoo.exceptions.ValidationError", message)
    return _as_held(name, value)


def _dated(kind: str, value: Any) -> None:
    try:
        (date if kind == "date" else datetime).fromisoformat(value)
    except (TypeError, ValueError):
        raise OdooError("builtins.ValueError", f"time data {value!r} does not match format") from None


def _as_held(name: str, value: Any) -> Any:
    """Change a value as Odoo's modules do: a tax id is packed, a website is given a scheme, plain text a paragraph."""
    if name == "vat":
        return "".join(letter for letter in str(value) if letter.isalnum()).upper()
    if name == "website" and "://" not in value:
        return f"http://{value}"
    if name == "note" and not str(value).startswith("<"):
        return f"<p>{value}</p>"
    return value
