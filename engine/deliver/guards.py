"""Guards: limits that stop a plan before anything is sent."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from engine.config.delivery import Guards

GUARDS = ("max_changes", "max_change_pct", "max_creates", "max_blanks", "max_deletes")


def violations(
    rows: Sequence[dict[str, Any]], value_count: int, guards: Guards, allowed: Collection[str], digest: str
) -> list[str]:
    """Return a message for each guard that trips; the last one ends with the command that lets the plan pass.

    `value_count` is how many non-empty values the target holds in the planned fields; `max_change_pct` limits the
    share of those that would be replaced. `allowed` are the guards that an approval lifts.
    """
    tripped = {guard: message for guard, message in _tripped(rows, value_count, guards) if guard not in allowed}
    if not tripped:
        return []
    *others, last = tripped.values()
    options = "".join(f" --allow {guard}" for guard in tripped)
    return [*others, f"{last}. If this is intended, let this one plan pass: belvedere apply {digest[:12]}{options}"]


def _tripped(rows: Sequence[dict[str, Any]], value_count: int, guards: Guards) -> Iterator[tuple[str, str]]:
    updates = [row for row in rows if row["action"] == "update"]
    records = len({row["record_id"] for row in updates})
    deletes = len({row["record_id"] for row in rows if row["action"] == "delete"})
    # Filling an empty field replaces nothing, so it does not count towards max_change_pct.
    replaced = sum(row["before"] is not None for row in updates)
    blanks = sum(row["after"] is None for row in updates)
    creates = len({row["key"] for row in rows if row["action"] == "create"})
    if guards.max_changes is not None and records > guards.max_changes:
        yield "max_changes", f"{plural(records, 'record')} would change, max_changes allows {guards.max_changes}"
    if guards.max_change_pct is not None and value_count and replaced * 100 > guards.max_change_pct * value_count:
        share = replaced * 100 / value_count
        yield (
            "max_change_pct",
            f"{replaced} of {value_count} values in the target ({share:.0f} %) would be replaced, "
            f"max_change_pct allows {guards.max_change_pct:g} %",
        )
    if creates > guards.max_creates:
        yield "max_creates", f"{plural(creates, 'record')} would be created, max_creates allows {guards.max_creates}"
    if blanks > guards.max_blanks:
        yield "max_blanks", f"{plural(blanks, 'value')} would be emptied, max_blanks allows {guards.max_blanks}"
    if deletes > guards.max_deletes:
        yield "max_deletes", f"{plural(deletes, 'record')} would be deleted, max_deletes allows {guards.max_deletes}"


def plural(number: int, noun: str) -> str:
    """Return `1 record`, `2 records`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
