"""What people do at the sources, whichever system it is."""

from threading import RLock
from typing import Any

from sandbox.hubspot import HubSpot
from sandbox.odoo import Odoo
from sandbox.zendesk import Zendesk

DEEDS = ("edit", "create", "late", "bulk", "delete", "merge", "associate", "schema")
SCHEMA = ("add", "remove", "rename", "retype")


class People:
    """Change the systems as their people do; none of it counts as a write of ours."""

    hubspot: HubSpot
    odoo: Odoo
    zendesk: Zendesk
    lock: RLock  # type: ignore[valid-type]

    def edit(self, system: str, kind: str, number: Any, values: dict[str, Any]) -> None:
        """Change a record."""
        self._do(system, "edit", kind, number, values)

    def create(self, system: str, kind: str, values: dict[str, Any]) -> Any:
        """Create a record; answers its id."""
        return self._do(system, "create", kind, values)

    def late(
        self, system: str, kind: str, values: dict[str, Any], seconds_ago: float, number: Any | None = None
    ) -> Any:
        """Let a record, or with `number` a change of one, be seen only now under a stamp of the past; answers its id.

        Odoo's long transactions, HubSpot's search and Zendesk's last minute do so.
        """
        return self._do(system, "late", kind, values, seconds_ago, number)

    def bulk(self, system: str, kind: str, numbers: list[Any], values: dict[str, Any]) -> None:
        """Change many records at one and the same instant."""
        self._do(system, "bulk", kind, numbers, values)

    def delete(self, system: str, kind: str, number: Any, *, forever: bool = False) -> None:
        """Delete a record in the system's own way; or for ever, so that nothing tells of it. Odoo has that way alone."""
        self._do(system, "delete", kind, number, forever=forever)

    def merge(self, system: str, kind: str, winner: Any, loser: Any) -> None:
        """Merge a record into another one of its kind."""
        self._do(system, "merge", kind, winner, loser)

    def associate(self, system: str, kind: str, number: Any, other_kind: str, other: Any) -> None:
        """Let a record belong to another one than before; in HubSpot that moves no stamp."""
        self._do(system, "associate", kind, number, other_kind, other)

    def schema(self, system: str, change: str, kind: str, name: str, *more: Any) -> None:
        """Change what records of a kind have: add (type, values), remove, rename (new name) or retype (type, words)."""
        if change not in SCHEMA:
            raise ValueError(f"unknown change {change!r}; choices: {', '.join(SCHEMA)}")
        self._do(system, f"{change}_field", kind, name, *more)

    def _do(self, system: str, deed: str, *args: Any, **options: Any) -> Any:
        if system not in ("hubspot", "odoo", "zendesk"):
            raise ValueError(f"unknown system {system!r}; choices: hubspot, odoo, zendesk")
        does = getattr(getattr(self, system), deed, None)
        if does is None:
            raise ValueError(f"{system} knows no {deed}")
        with self.lock:
            return does(*args, **options)
