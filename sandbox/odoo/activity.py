"""What people do in an Odoo database: edit, create, unlink; and transactions that took long."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock
from sandbox.odoo.fields import FIELDS
from sandbox.world.odoo import Tables

Row = dict[str, Any]


class OdooError(Exception):
    """Be an error as the server names it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class OdooPeople:
    """Change a database as its people do. `fields` are those of this database, by model."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self.data, self.tables, self.clock = tables, tables.rows, clock
        self.fields = {model: dict(fields) for model, fields in FIELDS.items()}

    def edit(self, model: str, number: int, values: Row, at: datetime | None = None) -> None:
        """Change a row as anybody may; the stamp moves even when nothing else does."""
        self.tables[model][number].update(values, write_date=at or self.clock.now())

    def create(self, model: str, values: Row, at: datetime | None = None) -> int:
        """Create a row; answers its id."""
        at = at or self.clock.now()
        empty: Row = {name: False for name in self.fields[model] if name != "id"}
        empty |= {"active": True} if "active" in empty else {}
        row = self.data.add(model, empty | values, at, at)
        row |= {"create_date": at, "write_date": at}
        self._complete(model, row)
        return int(row["id"])

    def _complete(self, model: str, row: Row) -> None:
        """Fill in what the server works out by itself."""
        if model == "res.partner":
            parent = self.tables[model].get(row["parent_id"], {})
            row["commercial_partner_id"] = parent.get("commercial_partner_id") or row["id"]
        if model == "mail.activity":
            row["res_model"] = self.tables["ir.model"].get(row["res_model_id"], {}).get("model") or row["res_model"]
            row["date_deadline"] = row["date_deadline"] or self.clock.now().date().isoformat()

    def named(self, module: str, name: str) -> Row | None:
        """Find what an external id stands for."""
        rows = self.tables["ir.model.data"].values()
        return next((row for row in rows if row["name"] == name and row["module"] == module), None)

    def name(self, external_id: str, model: str, number: int) -> None:
        """Let an external id stand for a row."""
        module, name = external_id.split(".", 1)
        current_value, now = self.named(module, name), self.clock.now()
        values = {"module": module, "name": name, "model": model, "res_id": number, "noupdate": False}
        if current_value:
            current_value.update(values, write_date=now)
        else:
            self.data.add("ir.model.data", values, now, now)

    def late(self, model: str, values: Row, seconds_ago: float, number: int | None = None) -> int:
        """Commit a transaction that began so many seconds ago: its rows bear that stamp; answers the row's id."""
        at = self.clock.now() - timedelta(seconds=seconds_ago)
        if number is None:
            return self.create(model, values, at)
        if self.tables[model][number]["write_date"] >= at:
            at = self.clock.now()  # another one wrote the row meanwhile: this one is rolled back and begins anew
        self.edit(model, number, values, at)
        return number

    def bulk(self, model: str, numbers: list[int], values: Row) -> None:
        """Change many rows in one transaction: they share its stamp."""
        now = self.clock.now()
        for number in numbers:
            self.edit(model, number, values, now)

    def delete(self, model: str, number: int, *, forever: bool = True) -> None:
        """Unlink a row: its id vanishes, and nothing tells of it. A partner that is used in accounting is kept.

        Its external ids and its activities vanish with it.
        """
        self._unused(model, number)
        del self.tables[model][number]
        for table, kind in (("ir.model.data", "model"), ("mail.activity", "res_model")):
            rows = self.tables[table]
            for lost in [key for key, row in rows.items() if (row[kind], row["res_id"]) == (model, number)]:
                del rows[lost]

    def add_field(self, model: str, name: str, type_: str, values: Row | None = None) -> None:
        """Add a field; `values` by id are what rows hold in it from the first."""
        self.fields[model][name] = (type_, "")
        for number, value in (values or {}).items():
            self.tables[model][int(number)][name] = value

    def remove_field(self, model: str, name: str) -> None:
        """Take a field away; to ask for it is an error from now on."""
        del self.fields[model][name]

    def rename_field(self, model: str, name: str, new: str) -> None:
        """Call a field otherwise, values and all, as an upgrade does; no stamp moves."""
        self.fields[model][new] = self.fields[model].pop(name)
        for row in self.tables[model].values():
            row[new] = row.pop(name, False)

    def retype_field(self, model: str, name: str, type_: str, words: Row | None = None) -> None:
        """Give a field another type; values are said in other words where `words` has them."""
        self.fields[model][name] = (type_, self.fields[model][name][1])
        for row in self.tables[model].values():
            current_value = row.get(name, False)
            row[name] = (words or {}).get(current_value, current_value)

    def _unused(self, model: str, number: int) -> None:
        used = {row.get("partner_id") for row in self.tables["account.move"].values()}
        if model == "res.partner" and number in used:
            message = "The operation cannot be completed: the partner is used in accounting."
            raise OdooError("odoo.exceptions.UserError", message)
