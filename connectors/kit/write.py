"""What writers share: batches, halving, and outcomes matched by id."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from connectors.kit.base import Change, Outcome

Item = TypeVar("Item")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Cut a sequence in two."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


def by_id(changes: Sequence[Change], done: Mapping[str, Outcome], problems: Mapping[str, str]) -> list[Outcome]:
    """Match an answer to its changes by record id or operation id, never by position.

    A change of which the answer says nothing has an unknown outcome: a 2xx is no proof.
    """
    outcomes = []
    for change in changes:
        found = done.get(change.record_id or "") or done.get(change.op_id)
        problem = problems.get(change.op_id) or problems.get(change.record_id or "")
        if problem:
            outcomes.append(Outcome(change.op_id, "rejected", change.record_id, message=problem))
        elif found:
            outcomes.append(replace(found, op_id=change.op_id))
        else:
            outcomes.append(Outcome(change.op_id, "unknown", change.record_id, message="the answer does not name it"))
    return outcomes
