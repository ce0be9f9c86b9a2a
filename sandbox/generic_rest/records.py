"""The records of the plain system: as they are, and as a reader who lags behind sees them."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock, iso
from sandbox.world.plain import Row, Rows

KEPT = ("id", "version", "created_at", "updated_at")  # nobody writes these
NUMBERS = ("credit_limit",)


@dataclass(frozen=True)
class Traits:
    """Say what the plain system can do, and how it behaves.

    `idempotent`: an Idempotency-Key, or an `op_id` in a batch, is never done twice. `unique` is a field of which no two
    records have the same value. `versions`: ETag, and If-Match is looked at. `batch` is how many items a batch may
    have; 0 is no batch endpoint. `lag` is by how many seconds of the sandbox's clock reading stays behind writing.
    `ignored` fields are taken without complaint and never written, `normalised` ones are held as digits behind a plus.
    """

    idempotent: bool = True
    unique: str | None = "external_ref"
    versions: bool = True
    batch: int = 100
    lag: float = 0.0
    ignored: tuple[str, ...] = ()
    normalised: tuple[str, ...] = ("phone",)


class Refusal(Exception):
    """A record is refused: a status, a code and a reason."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.field = status, code, field


class PlainRecords:
    """Hold records; people change them as anybody may."""

    def __init__(self, rows: Rows, clock: Clock) -> None:
        self.rows, self.clock, self.traits = rows, clock, Traits()
        self._next = 50_000
        self._before: dict[tuple[str, str], list[tuple[datetime, Row | None]]] = defaultdict(list)

    def edit(self, kind: str, number: str, values: Row) -> None:
        """Change a record; equal values move neither its version nor its stamp."""
        row = self.rows[kind][number]
        changed = {name: value for name, value in self.typed(values).items() if row.get(name) != value}
        if changed:
            self._remember(kind, number)
            stamp = {"version": row["version"] + 1, "updated_at": iso(self.clock.now())}
            self.rows[kind][number] = row | changed | stamp

    def create(self, kind: str, values: Row) -> str:
        """Create a record; answers its id."""
        number = self.number(kind)
        self._remember(kind, number)
        self.rows[kind][number] = self.new_row(number, values)
        return number

    def bulk(self, kind: str, numbers: list[str], values: Row) -> None:
        """Change many records at one and the same instant."""
        for number in numbers:
            self.edit(kind, number, values)

    def delete(self, kind: str, number: str, *, forever: bool = True) -> None:
        """Delete a record: its id vanishes, and nothing tells of it."""
        self._remember(kind, number)
        del self.rows[kind][number]

    def number(self, kind: str) -> str:
        """Give the next id."""
        self._next += 1
        return f"{kind[0].upper()}{self._next:05d}"

    def new_row(self, number: str, values: Row) -> Row:
        """Make a record that is not kept."""
        stamp, named = iso(self.clock.now()), {"external_ref": None, "name": None}
        return {"id": number, **named, **self.typed(values), "version": 1, "created_at": stamp, "updated_at": stamp}

    def typed(self, values: Row) -> Row:
        """Give values as they will be held."""
        stored_values = {name: value for name, value in values.items() if name not in (*KEPT, *self.traits.ignored)}
        return {name: self._as_typed(name, value) for name, value in stored_values.items()}

    def _as_typed(self, name: str, value: Any) -> Any:
        if name in self.traits.normalised and isinstance(value, str):
            return "+" + "".join(letter for letter in value if letter.isdecimal())
        return value

    def visible_row(self, kind: str, number: str) -> Row | None:
        """Give a record as it was when the lag began; none that was not there yet."""
        since = self.clock.now() - timedelta(seconds=self.traits.lag)
        for moment, before in self._before.get((kind, number), ()):
            if moment > since:
                return before
        return self.rows[kind].get(number)

    def all_seen(self, kind: str) -> Iterator[Row]:
        """List records by id, as they were when the lag began."""
        numbers = {*self.rows[kind], *(number for other, number in list(self._before) if other == kind)}
        for number in sorted(numbers):
            if row := self.visible_row(kind, number):
                yield row

    def check(self, kind: str, number: str | None, values: Row) -> None:
        """Refuse values that cannot be written; raises Refusal."""
        if (number is None or "name" in values) and not values.get("name"):
            raise Refusal(422, "required", "name must not be empty", "name")
        for name in NUMBERS:
            if isinstance(values.get(name), str | bool):
                raise Refusal(422, "invalid", f"{name} must be a number", name)
        field = self.traits.unique or ""
        value = values.get(field)
        if value is not None and any(row.get(field) == value for row in self._others(kind, number)):
            raise Refusal(409, "taken", f"{field} {value} is taken", field)

    def _others(self, kind: str, number: str | None) -> Iterator[Row]:
        return (row for other, row in self.rows[kind].items() if other != number)

    def _remember(self, kind: str, number: str) -> None:
        self._before[kind, number].append((self.clock.now(), self.rows[kind].get(number)))
