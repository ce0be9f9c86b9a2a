"""Helpers for writers: batches, splitting them, and matching outcomes to changes by id."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from connectors.kit.base import Change, Outcome, Status
from connectors.kit.errors import AccessError, BusyError, SettingsError

Item = TypeVar("Item")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Split a sequence in two, to find the record for which a batch was refused."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


def by_id(changes: Sequence[Change], outcomes_by_id: Mapping[str, Outcome]) -> list[Outcome]:
    """Return one outcome per change, matched by operation id or record id, never by position.

    A change that the response does not mention has the outcome `unknown`: a status of 2xx does not
    prove that it was applied.
    """
    outcomes = []
    for change in changes:
        match = outcomes_by_id.get(change.op_id) or outcomes_by_id.get(change.record_id or "")
        if match is None:
            match = outcome(change, "unknown", "the response does not mention this record")
        ids = change.op_id, match.record_id or change.record_id
        has_ids = ids == (match.op_id, match.record_id)
        outcomes.append(match if has_ids else replace(match, op_id=ids[0], record_id=ids[1]))
    return outcomes


def outcome(change: Change, status: Status, reason: object = "", **more: Any) -> Outcome:
    """Return the outcome of one change; `more` are further fields of Outcome."""
    return Outcome(change.op_id, status, change.record_id, message=str(reason), **more)


def all_of(changes: Iterable[Change], status: Status, reason: object = "", **more: Any) -> list[Outcome]:
    """Return the same outcome for each of several changes."""
    return [outcome(change, status, reason, **more) for change in changes]


def in_turn(batches: Iterable[Sequence[Change]], send: Callable[[Sequence[Change]], list[Outcome]]) -> list[Outcome]:
    """Send batches one after the other and return all outcomes.

    A batch that could not be sent gets the outcome `retry`, and the outcomes of earlier batches
    stay. Raises AccessError or SettingsError if it concerns the first batch.
    """
    outcomes: list[Outcome] = []
    for batch in batches:
        try:
            outcomes += send(batch)
        except BusyError as error:
            outcomes += all_of(batch, "retry", error)
        except (AccessError, SettingsError) as error:
            if not outcomes:
                raise
            outcomes += all_of(batch, "retry", error)
    return outcomes
