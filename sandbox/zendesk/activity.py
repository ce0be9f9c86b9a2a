"""What people do in a Zendesk account: edit, create, delete, merge tickets."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.core.clock import Clock
from sandbox.world.zendesk import Desk

Row = dict[str, Any]


class ZendeskPeople:
    """Change an account as its people do. `moved` (of the desk) is when a row last changed."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self.desk, self.tables, self.clock = desk, desk.rows, clock

    def edit(self, table: str, number: int, values: Row, at: datetime | None = None) -> None:
        """Change a row as anybody may."""
        at = at or self.clock.now()
        self.tables[table][number].update(values, updated_at=_z(at))
        self.desk.moved[table][number] = at

    def create(self, table: str, values: Row, at: datetime | None = None) -> int:
        """Create a row; what is not given is as in the newest row of its table. Answers its id."""
        at = at or self.clock.now()
        like = next(reversed(self.tables[table].values()), {})
        shared = {name: value for name, value in like.items() if name not in ("id", "created_at", "updated_at")}
        return int(self.desk.add(table, deepcopy(shared) | values, at, at)["id"])

    def late(self, table: str, values: Row, seconds_ago: float, number: int | None = None) -> int:
        """Let a row be seen only now that bears an older stamp, of the minute that exports leave out; answers its id."""
        at = self.clock.now() - timedelta(seconds=seconds_ago)
        if number is None:
            return self.create(table, values, at)
        if self.desk.moved[table][number] >= at:
            at = self.clock.now()
        self.edit(table, number, values, at)
        return number

    def bulk(self, table: str, numbers: list[int], values: Row) -> None:
        """Change many rows at one and the same instant."""
        now = self.clock.now()
        for number in numbers:
            self.edit(table, number, values, now)

    def delete(self, table: str, number: int, *, forever: bool = False) -> None:
        """Delete a row as its table does: a ticket by its status, an organization by a date, a user by being inactive.

        What is deleted for ever leaves nothing, and nothing tells of it.
        """
        if forever:
            del self.tables[table][number], self.desk.moved[table][number]
            return
        marks: dict[str, Row] = {
            "tickets": {"status": "deleted"},
            "organizations": {"deleted_at": _z(self.clock.now())},
            "users": {"active": False},
        }
        if table not in marks:
            raise ValueError(f"{table} cannot be deleted; choices: {', '.join(marks)}")
        self.edit(table, number, marks[table])

    def merge(self, table: str, winner: int, loser: int) -> None:
        """Merge a ticket into another: it is closed and tagged, both stamps move."""
        if table != "tickets":
            raise ValueError(f"{table} cannot be merged; choices: tickets")
        if winner == loser:
            raise ValueError(f"{loser} cannot be merged into itself")
        tags = [*self.tables[table][loser].get("tags", []), "closed_by_merge"]
        self.edit(table, loser, {"status": "closed", "tags": list(dict.fromkeys(tags))})
        self.edit(table, winner, {})


def _z(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
