"""What is tried in writing: records that are there are changed, and new ones are created, by a key if there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from connectors.kit.base import Change


@dataclass(frozen=True)
class Written:
    """Name what a contract may write to a stream, or to a target.

    `ids` are records that the stand-in holds, three at least; `after` is what they are to hold. `bad` are values that
    the system refuses. `new` is what a new record needs, and `key` the unique field by which it is created once.
    """

    stream: str
    ids: Sequence[str]
    after: Mapping[str, Any]
    bad: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


@dataclass(frozen=True)
class Trial:
    """One way of writing to a stream."""

    written: Written
    kind: Literal["update", "create"] = "update"

    def __str__(self) -> str:
        return f"{self.written.stream} {self.kind}"

    def changes(self, bad: int | None = None) -> list[Change]:
        """Make the changes; the one at the place `bad` holds what the system refuses."""
        refused = self.written.bad
        return [self._change(index, refused if index == bad else {}) for index in range(len(self.written.ids))]

    def _change(self, index: int, more: Mapping[str, Any]) -> Change:
        written, op_id = self.written, f"contract-op-{index}"
        if self.kind == "update":
            return Change(op_id, written.ids[index], {**written.after, **more})
        named = {written.key: f"contract-{index}"} if written.key else {}
        return Change(op_id, None, {**written.new, **named, **more}, action="create", key=written.key)


def trials(written: Sequence[Written]) -> list[Trial]:
    """List the ways in which a contract writes."""
    return [Trial(case) for case in written] + [Trial(case, "create") for case in written if case.new]
