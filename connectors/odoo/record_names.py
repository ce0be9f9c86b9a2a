"""External ids: names that Odoo keeps for records, by which `load` knows them again.

Source: Odoo's documentation of imports and of ir.model.data. A name belongs to one record of one model in the whole
database, holds no blanks, and goes when its record is deleted.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import quote, unquote

from connectors.kit.write import chunks

MODULE = "__belvedere__"
NAMES = 1000
Search = Callable[[str, list[Any], Sequence[str]], list[dict[str, Any]]]


def name_of(model: str, value: str) -> str:
    """Spell a value as a name: no two values of a model, nor of two models, have one name."""
    return _head(model) + quote(value, safe="").replace(".", "%2E").replace("~", "%7E")


def value_of(model: str, name: str) -> str:
    """Read a name back."""
    return unquote(name.removeprefix(_head(model)))


class Names:
    """Look names up; `search` reads fields of a model by a domain."""

    def __init__(self, search: Search) -> None:
        self._search, self._may_be_read = search, False

    def prove(self) -> None:
        """See once that names may be read, before anything is named; raises AccessError."""
        if not self._may_be_read:
            self._search("ir.model.data", [["module", "=", MODULE], ["id", "=", 0]], ["name"])
            self._may_be_read = True

    def records(self, model: str, values: Iterable[str]) -> dict[str, int]:
        """Find the records that have a value."""
        named = [name_of(model, value) for value in dict.fromkeys(values)]
        return dict(self._rows(model, "name", named))

    def values(self, model: str, numbers: Iterable[int]) -> dict[int, str]:
        """Find the values that records have; the first of several, by the alphabet."""
        rows = sorted(self._rows(model, "res_id", list(numbers)), reverse=True)
        return {number: value for value, number in rows}

    def _rows(self, model: str, field: str, wanted: Sequence[Any]) -> list[tuple[str, int]]:
        mine = [["module", "=", MODULE], ["model", "=", model]]
        rows = [
            row
            for chunk in chunks(wanted, NAMES)
            for row in self._search("ir.model.data", [*mine, [field, "in", list(chunk)]], ["name", "res_id"])
        ]
        head = _head(model)
        return [(value_of(model, row["name"]), row["res_id"]) for row in rows if str(row["name"]).startswith(head)]


def _head(model: str) -> str:
    return f"{model.replace('.', '_')}-"
