"""What people do in an Odoo database: edit, create, unlink; and transactions that took long."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Clock
from sandbox.odoo_fields import FIELDS
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
        return int(row["id"])

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
        """Unlink a row: its id vanishes, and nothing tells of it. A partner that is used in accounting is kept."""
        self._unused(model, number)
        del self.tables[model][number]

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
            held = row.get(name, False)
            row[name] = (words or {}).get(held, held)

    def _unused(self, model: str, number: int) -> None:
        used = {row.get("partner_id") for row in self.tables["account.move"].values()}
        if model == "res.partner" and number in used:
            said = "The operation cannot be completed: the partner is used in accounting."
            raise OdooError("odoo.exceptions.UserError", said)
