"""What people do at the sources, whichever system it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from threading import RLock
from typing import Any

from sandbox.core.write_log import WriteLog
from sandbox.generic_rest.api import Plain
from sandbox.hubspot.api import HubSpot
from sandbox.odoo.api import Odoo
from sandbox.zendesk.api import Zendesk

SYSTEMS = ("hubspot", "odoo", "zendesk", "plain")
DEEDS = ("edit", "create", "late", "bulk", "delete", "merge", "associate", "schema")
SCHEMA = ("add", "remove", "rename", "retype")


class People:
    """Change the systems as their people do; it is logged as theirs, and none of it counts as a write of ours."""

    hubspot: HubSpot
    odoo: Odoo
    zendesk: Zendesk
    plain: Plain
    log: WriteLog
    lock: RLock

    def edit(self, system: str, kind: str, number: Any, values: dict[str, Any]) -> None:
        """Change a record."""
        with self._noted(system, "edit", kind, [number], values):
            self._do(system, "edit", kind, number, values)

    def create(self, system: str, kind: str, values: dict[str, Any]) -> Any:
        """Create a record; answers its id."""
        number = self._do(system, "create", kind, values)
        self.log.add(system, kind, number, "create", {}, values, by="people")
        return number

    def late(
        self, system: str, kind: str, values: dict[str, Any], seconds_ago: float, number: Any | None = None
    ) -> Any:
        """Let a record, or with `number` a change of one, be seen only now under a stamp of the past; answers its id.

        Odoo's long transactions, HubSpot's search and Zendesk's last minute do so.
        """
        with self._noted(system, "edit", kind, [] if number is None else [number], values):
            record = self._do(system, "late", kind, values, seconds_ago, number)
        if number is None:
            self.log.add(system, kind, record, "create", {}, values, by="people")
        return record

    def bulk(self, system: str, kind: str, numbers: list[Any], values: dict[str, Any]) -> None:
        """Change many records at one and the same instant."""
        with self._noted(system, "edit", kind, numbers, values):
            self._do(system, "bulk", kind, numbers, values)

    def delete(self, system: str, kind: str, number: Any, *, forever: bool = False) -> None:
        """Delete a record in the system's own way; or for ever, so that nothing tells of it.

        Odoo and the plain system have that way alone.
        """
        self._do(system, "delete", kind, number, forever=forever)
        self.log.add(system, kind, number, "delete", {}, {"deleted": True}, by="people")

    def merge(self, system: str, kind: str, winner: Any, loser: Any) -> None:
        """Merge a record into another one of its kind."""
        self._do(system, "merge", kind, winner, loser)
        self.log.add(system, kind, loser, "merge", {}, {"merged_into": winner}, by="people")

    def associate(self, system: str, kind: str, number: Any, other_kind: str, other: Any) -> None:
        """Let a record belong to another one than before; in HubSpot that moves no stamp."""
        self._do(system, "associate", kind, number, other_kind, other)
        self.log.add(system, kind, number, "associate", {}, {other_kind: other}, by="people")

    def schema(self, system: str, change: str, kind: str, name: str, *more: Any) -> None:
        """Change what records of a kind have: add (type, values), remove, rename (new name) or retype (type, words)."""
        if change not in SCHEMA:
            raise ValueError(f"unknown change {change!r}; choices: {', '.join(SCHEMA)}")
        self._do(system, f"{change}_field", kind, name, *more)

    def backup(self, system: str) -> Sequence[dict[Any, Any]]:
        """Make a backup of a system's records, to be restored later."""
        with self.lock:
            return deepcopy(self._parts(system))

    def restore(self, system: str, backup: Sequence[dict[Any, Any]]) -> None:
        """Go back to a backup, stamps and all: nothing of it shows but what is there. Ids only ever rise."""
        with self.lock:
            for part, stored in zip(self._parts(system), deepcopy(backup), strict=True):
                part.clear()
                part.update(stored)

    def _parts(self, system: str) -> Sequence[dict[Any, Any]]:
        """Name where a system keeps its records."""
        portal = self.hubspot.portal
        parts: dict[str, Sequence[dict[Any, Any]]] = {
            "hubspot": (portal.objects, portal.links, self.hubspot.touched),
            "odoo": (self.odoo.tables,),
            "zendesk": (self.zendesk.tables, self.zendesk.desk.moved),
        }
        if system not in parts:
            raise ValueError(f"{system} makes no backups; choices: {', '.join(parts)}")
        return parts[system]

    @contextmanager
    def _noted(
        self, system: str, action: str, kind: str, numbers: Sequence[Any], values: dict[str, Any]
    ) -> Iterator[None]:
        """Log what people change, beside what was there before."""
        with self.lock:
            before = [(number, self._stored_record(system, kind, number)) for number in numbers]
            yield
            for number, stored in before:
                self.log.add(system, kind, number, action, stored, values, by="people")

    def _stored_record(self, system: str, kind: str, number: Any) -> dict[str, Any]:
        """Tell what a record holds now; nothing where it, or its system, is not known."""
        places: dict[str, Any] = {"hubspot": "objects", "plain": "rows"}
        rows = getattr(getattr(self, system, None), places.get(system, "tables"), {}).get(kind, {})
        row = rows.get(number, {})
        return dict(row.get("properties", row) if system == "hubspot" else row)

    def _do(self, system: str, deed: str, *args: Any, **options: Any) -> Any:
        if system not in SYSTEMS:
            raise ValueError(f"unknown system {system!r}; choices: {', '.join(SYSTEMS)}")
        does = getattr(getattr(self, system), deed, None)
        if does is None:
            raise ValueError(f"{system} knows no {deed}")
        with self.lock:
            return does(*args, **options)
