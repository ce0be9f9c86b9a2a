"""What writers share: batches, halving, outcomes matched by id, and what an error means for what was sent before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from connectors.kit.base import Change, Outcome, Status
from connectors.kit.errors import AccessError, BusyError, SettingsError

Item = TypeVar("Item")


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def halves(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """Cut a sequence in two."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


def by_id(changes: Sequence[Change], answered: Mapping[str, Outcome]) -> list[Outcome]:
    """Match an answer to its changes by operation id or record id, never by position.

    A change of which the answer says nothing has an unknown outcome: a 2xx is no proof.
    """
    outcomes = []
    for change in changes:
        answer = answered.get(change.op_id) or answered.get(change.record_id or "")
        if answer is None:
            answer = outcome(change, "unknown", "the answer does not name it")
        named = change.op_id, answer.record_id or change.record_id
        is_named = named == (answer.op_id, answer.record_id)
        outcomes.append(answer if is_named else replace(answer, op_id=named[0], record_id=named[1]))
    return outcomes


def outcome(change: Change, status: Status, reason: object = "", **more: Any) -> Outcome:
    """Say of one change what came of it."""
    return Outcome(change.op_id, status, change.record_id, message=str(reason), **more)


def all_of(changes: Iterable[Change], status: Status, reason: object = "", **more: Any) -> list[Outcome]:
    """Say the same of several changes."""
    return [outcome(change, status, reason, **more) for change in changes]


def in_turn(parts: Iterable[Sequence[Change]], send: Callable[[Sequence[Change]], list[Outcome]]) -> list[Outcome]:
    """Send one part after the other, and keep what is known of the first when a later one cannot be sent.

    Raises AccessError or SettingsError where nothing had been sent before it. A part that nobody took is to be
    retried.
    """
    outcomes: list[Outcome] = []
    for part in parts:
        try:
            outcomes += send(part)
        except BusyError as error:
            outcomes += all_of(part, "retry", error)
        except (AccessError, SettingsError) as error:
            if not outcomes:
                raise
            outcomes += all_of(part, "retry", error)
    return outcomes
