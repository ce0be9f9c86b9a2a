"""What people do in a HubSpot portal: edit, create, archive, merge, associate; and what of it moves a stamp."""

from datetime import datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock, iso
from sandbox.hubspot.properties import Properties
from sandbox.world.hubspot import Portal

MERGED = "hs_merged_object_ids"
MERGEABLE = ("companies", "contacts", "deals", "tickets")
Record = dict[str, Any]
Links = list[tuple[str, int, str | None]]


class HubSpotPeople:
    """Change a portal as its people do. `touched` is when a record was last changed: search follows by seconds."""

    def __init__(self, portal: Portal, clock: Clock) -> None:
        self.portal, self.clock = portal, clock
        self.objects = portal.objects
        self.properties = Properties(portal)
        self.touched: dict[tuple[str, str], datetime] = {}

    def edit(self, kind: str, number: str, values: dict[str, Any], at: datetime | None = None) -> bool:
        """Change a record's properties as anybody may; equal values change nothing, not even the stamp."""
        record = self.objects[kind][number]
        changed = {
            name: value or None
            for name, value in values.items()
            if (record["properties"].get(name) or None) != (value or None)
        }
        if changed:
            self._stamp(kind, record, at or self.clock.now())
            record["properties"].update(changed)
        return bool(changed)

    def create(self, kind: str, values: dict[str, Any]) -> str:
        """Create a record; answers its id."""
        now = self.clock.now()
        number = str(self.portal.add(kind, values, now, now)["id"])
        self.touched[kind, number] = now
        return number

    def late(self, kind: str, values: dict[str, Any], seconds_ago: float, number: str | None = None) -> str:
        """Let search see only now what was created, or changed, so many seconds ago; answers the record's id."""
        at = self.clock.now() - timedelta(seconds=seconds_ago)
        if number is None:
            return str(self.portal.add(kind, values, at, at)["id"])
        if self.objects[kind][number]["updatedAt"] >= iso(at):
            at = self.clock.now()  # it was changed again since: there is one stamp, and it only rises
        self.edit(kind, number, values, at)
        self.touched.pop((kind, number), None)
        return number

    def bulk(self, kind: str, numbers: list[str], values: dict[str, Any]) -> None:
        """Change many records at one and the same instant."""
        now = self.clock.now()
        for number in numbers:
            self.edit(kind, number, values, now)

    def delete(self, kind: str, number: str, *, forever: bool = False) -> None:
        """Archive a record; or, as the GDPR wants it, leave nothing of it and tell nobody."""
        if not forever:
            self.portal.archive(kind, number, self.clock.now())
            return
        del self.objects[kind][number]
        self._move_links(kind, number, None)

    def merge(self, kind: str, winner: str, loser: str) -> None:
        """Merge one record into another: it vanishes, its associations move, only the winner's stamp moves."""
        if kind not in MERGEABLE:
            raise ValueError(f"{kind} cannot be merged; choices: {', '.join(MERGEABLE)}")
        if winner == loser or loser not in self.objects[kind]:
            raise ValueError(f"{loser} cannot be merged into {winner}")
        merged_ids = [self.objects[kind][number]["properties"].get(MERGED) for number in (winner, loser)]
        self.edit(kind, winner, {MERGED: ";".join(text for text in (*merged_ids, loser) if text)})
        del self.objects[kind][loser]
        self._move_links(kind, loser, winner)

    def associate(self, kind: str, number: str, other_kind: str, other: str) -> None:
        """Let a record belong to another one than before; no stamp moves."""
        for current_value, _, _ in self.portal.links[kind, other_kind].pop(number, []):
            back = self.portal.links[other_kind, kind]
            back[current_value] = [link for link in back[current_value] if link[0] != number]
        self.portal.link((kind, number), (other_kind, other), 5, "Primary")

    def add_field(self, kind: str, name: str, type_: str, values: dict[str, Any] | None = None) -> None:
        """Define a property; `values` by id are what records hold in it from the first."""
        self.properties.add(kind, {"name": name, "type": type_})
        for number, value in (values or {}).items():
            self.objects[kind][number]["properties"][name] = str(value)

    def remove_field(self, kind: str, name: str) -> None:
        """Archive a property: it is listed and answered no more, and no record's stamp moves."""
        del self.properties.defined[kind][name]

    def rename_field(self, kind: str, name: str, new: str) -> None:
        """Call a property otherwise, values and all, as a new one that takes the place of an old one does."""
        defined = self.properties.defined[kind]
        defined[new] = defined.pop(name) | {"name": new}
        for record in self.objects[kind].values():
            record["properties"][new] = record["properties"].pop(name, None)

    def retype_field(self, kind: str, name: str, type_: str, words: dict[str, str] | None = None) -> None:
        """Give a property another type; values are said in other words where `words` has them."""
        self.properties.defined[kind][name]["type"] = type_
        for record in self.objects[kind].values():
            current_value = record["properties"].get(name)
            record["properties"][name] = (words or {}).get(current_value, current_value)

    def _stamp(self, kind: str, record: Record, at: datetime) -> None:
        record["updatedAt"] = iso(at)
        record["properties"]["lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"] = iso(at)
        self.touched[kind, record["id"]] = at

    def _move_links(self, kind: str, loser: str, winner: str | None) -> None:
        """Let associations of one record be those of another, or of none."""
        for (from_kind, right), links in self.portal.links.items():
            if from_kind == kind and loser in links:
                lost = links.pop(loser)
                if winner:
                    links[winner] = _once([*links.get(winner, []), *lost])
            if right == kind:
                for number, targets in links.items():
                    links[number] = _once(_renamed(targets, loser, winner))


def _renamed(targets: Links, loser: str, winner: str | None) -> Links:
    moved = [(winner if other == loser else other, type_id, label) for other, type_id, label in targets]
    return [(other, type_id, label) for other, type_id, label in moved if other]


def _once(targets: Links) -> Links:
    return list(dict.fromkeys(targets))
