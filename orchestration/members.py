"""Which members records were seen to have, so that only those that bring others along need a closer look."""

from collections.abc import Mapping
from typing import Any

DEPTH = 3
MOST = 200  # an object with more keys than this is a mapping, whose keys are values
LONGEST = 300  # characters of a path that the ledger holds
Kinds = Mapping[str, int]  # the engine's word for what a value is -> in how many records


class Members:
    """Name the members of records by JSON pointers (RFC 6901), which can name any key.

    `fields` are those that are fields of ours, with their paths; `objects` those whose own members are known.
    """

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.objects: dict[str, bool] = {"": True}
        self._closed: set[str] = set()  # not looked into: too deep, a mapping, or no path can name it
        self._known: dict[str, bool] = {}

    @property
    def pointers(self) -> list[str]:
        """List all members."""
        return [*self._known]

    def learn(self, shape: Mapping[str, Any], at: str = "", prefix: str = "") -> None:
        """Take members along from the engine's shape of some records, in which objects are dictionaries."""
        for name, inner in shape.items():
            pointer, path = f"{at}/{_escaped(name)}", prefix + name
            self._known[pointer] = True
            if not _can_be_named(name, path, is_top=not at):
                self._closed.add(pointer)
                continue
            inside = inner if isinstance(inner, dict) else {}
            if inside or inner == "JSON":  # which is an object without members, or one only at times
                self._open(pointer, f"{path}.", inside)
            if not inside or pointer in self._closed:
                self.fields[pointer] = path

    def _open(self, pointer: str, prefix: str, inside: Mapping[str, Any]) -> None:
        """Look into an object, unless it lies too deep, or is a mapping or turns out to be one."""
        is_open = pointer not in self._closed and pointer.count("/") < DEPTH and len(inside) <= MOST
        if is_open:
            self.objects[pointer] = True
            self.learn(inside, pointer, prefix)
        own = [inner for inner in self._within(pointer) if inner.count("/") == pointer.count("/") + 1]
        if not is_open or len(own) > MOST:
            self._close(pointer)

    def _close(self, pointer: str) -> None:
        """Forget what was learnt of an object's members."""
        self._closed.add(pointer)
        self.objects.pop(pointer, None)
        for inner in self._within(pointer):
            del self._known[inner]
            self.objects.pop(inner, None)
            self.fields.pop(inner, None)

    def _within(self, pointer: str) -> list[str]:
        return [one for one in self._known if one.startswith(f"{pointer}/")]

    def explain(self, seen: Mapping[str, Kinds], keys: int) -> bool:
        """Tell whether records that have so many keys in all have none but known ones, each of a known nature."""
        known = {pointer: seen.get(pointer, {}) for pointer in self._known}
        return keys == sum(sum(kinds.values()) for kinds in known.values()) and all(
            self._is_natural(pointer, kinds) for pointer, kinds in known.items()
        )

    def _is_natural(self, pointer: str, kinds: Kinds) -> bool:
        """Let an object be one only where its members are known, or are not to be; and be nothing else unless a field."""
        if pointer in self.objects:
            return pointer in self.fields or not {*kinds} - {"OBJECT", "NULL"}
        return pointer in self._closed or "OBJECT" not in kinds


def pointer_to(path: str) -> str:
    """Point to a dotted path."""
    return "".join(f"/{_escaped(part)}" for part in path.split("."))


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _can_be_named(name: str, path: str, *, is_top: bool) -> bool:
    """Leave out what holds a dot or looks like a place in a list; what begins with an underscore is the connector's.

    A name that holds NUL cannot be looked up by the engine, nor stored in PostgreSQL.
    """
    is_ours = is_top and name.startswith("_")
    can_be_asked_for = "." not in name and "\0" not in name and not name.isdecimal()
    return bool(name) and not is_ours and can_be_asked_for and len(path) <= LONGEST
