"""Odoo's writes: create, write, unlink, and activities that are done; each call is one transaction."""

from typing import Any

from sandbox.core.response import Mishap
from sandbox.core.write_log import WriteLog
from sandbox.odoo.activity import OdooError, OdooPeople, Row
from sandbox.odoo.values import fit, lacking, missing


class OdooWrites(OdooPeople):
    """Write rows; `mishap` is what goes wrong with the call that is being answered.

    `keeps_done` is how later versions end an activity: it is archived, where it was unlinked before.
    """

    log: WriteLog
    keeps_done: bool = False
    mishap: Mishap = Mishap()

    def _create(self, model: str, values: Row | list[Row], context: Row | None = None) -> int | list[int]:
        many = values if isinstance(values, list) else [values]
        fitting = [self._fit_new(model, row) for row in many]
        self._spare_none(len(many))
        created_ids = [self._insert(model, row) for row in fitting]
        return created_ids if isinstance(values, list) else created_ids[0]

    def _write(self, model: str, ids: list[int] | int, values: Row, context: Row | None = None) -> bool:
        numbers = ids if isinstance(ids, list) else [ids]
        fitting = fit(self.tables, self.fields[model], model, values)
        rows = [self._row(model, number) for number in numbers]
        self._spare_none(len(rows))
        for row in rows:
            self._changed(model, row, fitting)
        return True

    def _unlink(self, model: str, ids: list[int], context: Row | None = None) -> bool:
        for number in ids:
            self._row(model, number)
            self._unused(model, number)
        self._spare_none(len(ids))
        for number in [] if self.mishap.is_silent else ids:
            self.delete(model, number)
            self.log.add("odoo", model, number, "unlink", {}, {"deleted": True})
        return True

    def _action_feedback(
        self, model: str, ids: list[int], feedback: str | bool = False, context: Row | None = None, **_: Any
    ) -> int:
        """Mark activities as done: they vanish or are archived, and a message tells of them."""
        if model != "mail.activity":
            raise OdooError("builtins.AttributeError", f"The method 'action_feedback' does not exist on '{model}'")
        for number in ids:
            self._row(model, number)
        self._spare_none(len(ids))
        for number in [] if self.mishap.is_silent else ids:
            if self.keeps_done:
                self.edit(model, number, {"active": False})
            else:
                self.delete(model, number)
            self.log.add("odoo", model, number, "done", {"done": False}, {"done": True})
        return len(self.log.entries)

    def _fit_new(self, model: str, values: Row) -> Row:
        """Give a new row's values as they will be held; raises OdooError where one is wrong or lacks."""
        fitting = fit(self.tables, self.fields[model], model, values)
        if name := lacking(model, fitting):
            raise missing(model, name)
        if model == "ir.model.data" and self.named(fitting.get("module") or "", fitting["name"]):
            message = "The operation cannot be completed: External IDs must be unique."
            raise OdooError("odoo.exceptions.ValidationError", message)
        return fitting

    def _insert(self, model: str, values: Row, key: str | None = None) -> int:
        if self.mishap.is_silent:
            return self.data.number(model)
        number = self.create(model, values)
        self.log.add("odoo", model, number, "create", {}, values, key=key)
        return number

    def _changed(self, model: str, row: Row, values: Row, key: str | None = None) -> None:
        if self.mishap.is_silent:
            return
        before = {name: row.get(name, False) for name in values}
        self.edit(model, row["id"], values)
        self.log.add("odoo", model, row["id"], "write", before, values, key=key)

    def _row(self, model: str, number: int) -> Row:
        if number not in self.tables[model]:
            raise OdooError(
                "odoo.exceptions.MissingError",
                f"Record does not exist or has been deleted. (Record: {model}({number},))",
            )
        return self.tables[model][number]

    def _spare_none(self, count: int) -> None:
        """Refuse the whole call for the sake of one row, if that is to go wrong."""
        if self.mishap.refused is not None and self.mishap.refused < count:
            raise OdooError("odoo.exceptions.ValidationError", "refused by a fault")
