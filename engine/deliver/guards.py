"""What stops a plan before anything is sent."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from engine.config.delivery import Guards

GUARDS = ("max_changes", "max_change_pct", "max_creates", "max_blanks", "max_deletes")


def violations(
    rows: Sequence[dict[str, Any]], held: int, guards: Guards, allowed: Collection[str], digest: str
) -> list[str]:
    """List the guards that trip: what, how many, and with the last one how to let the plan through once.

    `held` is how many values of the planned fields the target holds; `max_change_pct` is the share of those that
    would be replaced.
    """
    tripped = {guard: said for guard, said in _tripped(rows, held, guards) if guard not in allowed}
    if not tripped:
        return []
    *others, last = tripped.values()
    asked = "".join(f" --allow {guard}" for guard in tripped)
    return [*others, f"{last}; to let this plan through once: belvedere apply {digest[:12]}{asked}"]


def _tripped(rows: Sequence[dict[str, Any]], held: int, guards: Guards) -> Iterator[tuple[str, str]]:
    updates = [row for row in rows if row["action"] == "update"]
    records = len({row["record_id"] for row in updates})
    deletes = len({row["record_id"] for row in rows if row["action"] == "delete"})
    replaced = sum(row["before"] is not None for row in updates)
    blanks = sum(row["after"] is None for row in updates)
    creates = len({row["key"] for row in rows if row["action"] == "create"})
    if guards.max_changes is not None and records > guards.max_changes:
        yield "max_changes", f"{records} records would change, at most {guards.max_changes} may"
    if guards.max_change_pct is not None and held and replaced * 100 > guards.max_change_pct * held:
        share = replaced * 100 / held
        yield (
            "max_change_pct",
            f"{replaced} of {held} values held ({share:.0f} %) would be replaced, at most {guards.max_change_pct:g} % may",
        )
    if creates > guards.max_creates:
        yield "max_creates", f"{creates} records would be created, at most {guards.max_creates} may"
    if blanks > guards.max_blanks:
        yield "max_blanks", f"{blanks} values would be emptied, at most {guards.max_blanks} may"
    if deletes > guards.max_deletes:
        yield "max_deletes", f"{deletes} records would be deleted, at most {guards.max_deletes} may"
