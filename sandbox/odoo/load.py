"""Odoo's `load`: rows of texts, known by external ids, created or updated, all of them or none."""

from collections.abc import Callable
from typing import Any

from sandbox.odoo.activity import OdooError, Row
from sandbox.odoo.values import fit, lacking, missing
from sandbox.odoo.writes import OdooWrites

TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")
SHOWN = ("odoo.exceptions.UserError", "odoo.exceptions.ValidationError", "odoo.exceptions.MissingError")
Loaded = tuple[str | None, int | None, Row]


class BadCell(Exception):
    """A cell cannot be read; `field` is where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class OdooLoad(OdooWrites):
    """Load rows."""

    def _load(self, model: str, fields: list[str], rows: list[list[Any]], context: Row | None = None) -> Row:
        """Create or update by the column `id`; rows that are wrong are named, and then nothing is stored.

        Cells are read first; then all rows are stored at once, and where that fails one by one. The error of the first
        attempt stands before those of the rows, under the number of the first row of all, guilty or not.
        """
        columns = [field.partition("/")[::2] for field in fields]
        for name, _ in columns:
            if name not in ("id", ".id") and name not in self.fields[model]:
                raise OdooError("builtins.ValueError", f"Invalid field '{name}' on model '{model}'")
        module = (context or {}).get("_import_current_module", "__import__")
        loaded, messages, refused = [], [], list[tuple[int, OdooError]]()
        for position, row in enumerate(rows):
            try:
                loaded.append(self._loaded(model, columns, row, module, position))
            except BadCell as bad:
                messages.append(_message(position, str(bad)) | {"field": bad.field, "moreinfo": None})
            except OdooError as error:
                refused.append((position, error))
        messages += [_message(position, str(error)) for position, error in refused]
        if refused and refused[0][1].name in SHOWN and (of_all := _message(0, str(refused[0][1]))) not in messages:
            messages.insert(0, of_all)
        if messages:
            return {"ids": False, "messages": messages, "nextrow": 0}
        return {"ids": [self._stored(model, *loaded_row) for loaded_row in loaded], "messages": [], "nextrow": 0}

    def _loaded(self, model: str, columns: list[tuple[str, str]], row: list[Any], module: str, position: int) -> Loaded:
        """Read one row: its external id, the id that this stands for, its values."""
        if self.mishap.refused == position:
            raise OdooError("odoo.exceptions.ValidationError", "refused by a fault")
        external_id, number, values = None, None, {}
        for (name, part), cell in zip(columns, row, strict=True):
            if name == "id":
                external_id = (cell if "." in cell else f"{module}.{cell}") if cell else None
            elif name == ".id":
                number = int(cell)
            else:
                values[name] = self._cell(model, name, part, cell)
        fitting = fit(self.tables, self.fields[model], model, values)
        number = self._stands_for(model, external_id) if external_id else number
        if number is None and (lacks := lacking(model, fitting)):
            raise missing(model, lacks)
        return external_id, number, fitting

    def _stands_for(self, model: str, external_id: str) -> int | None:
        row = self.named(*external_id.split(".", 1))
        if row and row["model"] != model:
            raise BadCell("id", f"The external id {external_id} belongs to another model, {row['model']}")
        return row["res_id"] if row and row["res_id"] in self.tables[model] else None

    def _stored(self, model: str, external_id: str | None, number: int | None, values: Row) -> int:
        number = self._stands_for(model, external_id) if external_id else number  # a row before it may have made it
        if number is not None:
            self._changed(model, self._row(model, number), values, external_id)
            return number
        created_id = self._insert(model, values, external_id)
        if external_id and not self.mishap.is_silent:
            self.name(external_id, model, created_id)
        return created_id

    def _cell(self, model: str, name: str, part: str, cell: Any) -> Any:
        """Read a cell by its field's type; an empty one empties the field."""
        kind, relation = self.fields[model][name]
        if cell in ("", False, None):
            return False
        if kind == "many2one":
            return self._related(relation, name, part, cell)
        readers: dict[str, Callable[[Any], Any]] = {
            "float": float,
            "monetary": float,
            "integer": int,
            "boolean": _boolean,
        }
        try:
            return readers[kind](cell) if kind in readers else str(cell)
        except ValueError:
            raise BadCell(name, f"'{cell}' does not seem to be a number for field '{name}'") from None

    def _related(self, relation: str, name: str, part: str, cell: Any) -> int:
        rows = self.tables[relation]
        if part == "id":
            row = self.named(*str(cell).split(".", 1)) if "." in str(cell) else None
            matches = [row["res_id"]] if row and row["model"] == relation else []
        elif part == ".id":
            matches = [number for number in rows if str(number) == str(cell)]
        else:
            matches = [number for number, row in rows.items() if row.get("name") == cell]
        if not matches:
            how = {"id": "external id", ".id": "database id"}.get(part, "name")
            raise BadCell(name, f"No matching record found for {how} '{cell}' in field '{name}'")
        return int(matches[0])


def _boolean(cell: Any) -> bool:
    text = str(cell).lower()
    if text not in (*TRUE, *FALSE):
        raise ValueError
    return text in TRUE


def _message(position: int, message: str) -> Row:
    return {"type": "error", "message": message, "record": position, "rows": {"from": position, "to": position}}
