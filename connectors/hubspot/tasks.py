"""Tasks in HubSpot, and the company that each is about: an association, written as if it were a property.

Source: HubSpot's OpenAPI file of associations v4 (batch/associate/default, which may be repeated).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connectors.hubspot.responses import Joined, parsed
from connectors.hubspot.writer import BATCH, Fields, Writer, is_locked, refusal_message
from connectors.kit.base import Change, Outcome, SourceField
from connectors.kit.errors import AccessError, BusyError, ReplyError, UnknownOutcome
from connectors.kit.http.response import Refused
from connectors.kit.stream import Stream
from connectors.kit.write import all_of, by_id, chunks, halves, outcome

COMPANY = "company_id"
FIELD = SourceField(COMPANY, "string", "The company that the task is about")
TASKS = Stream("tasks", "id", {}, object="tasks", has_schema_api=True)


class TaskWriter:
    """Write tasks, each with its company."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write(self, changes: Sequence[Change], fields: Fields) -> list[Outcome]:
        """Write properties first, then join each task to its company; an outcome speaks of both."""
        refused = [outcome(change, "rejected", reason) for change in changes if (reason := _wrong(change))]
        refused_ids = {task.op_id for task in refused}
        good = {change.op_id: change for change in changes if change.op_id not in refused_ids}
        plain = [_without_company(change) for change in good.values()]
        only = [outcome(change, "applied") for change in plain if change.action == "update" and not change.after]
        done = {task.op_id for task in only}
        written = self._writer.write("tasks", [change for change in plain if change.op_id not in done], fields)
        return refused + self._with_company(good, only + written, fields)

    def _with_company(self, changes: Mapping[str, Change], written: Sequence[Outcome], fields: Fields) -> list[Outcome]:
        linking = [
            replace(changes[task.op_id], record_id=task.record_id)
            for task in written
            if task.status == "applied" and changes[task.op_id].after.get(COMPANY)
        ]
        links = {task.op_id: task for chunk in chunks(linking, BATCH) for task in self._joined(chunk)}
        return [
            _both(changes[task.op_id], task, links[task.op_id], fields) if task.op_id in links else task
            for task in written
        ]

    def _joined(self, changes: Sequence[Change]) -> list[Outcome]:
        """Join tasks to companies; a batch that is refused is halved until the bad one stands alone."""
        path = self._writer.path("associations", "tasks/companies/batch/associate/default", classic="v4")
        inputs = [{"from": {"id": change.record_id}, "to": {"id": _company(change)}} for change in changes]
        try:
            reply = self._writer.http.post(path, json={"inputs": inputs}, writes=True)
            return _matched(changes, parsed(Joined, reply.body, f"{self._writer.name}: {path}"))
        except Refused as error:
            if is_locked(error):
                return all_of(changes, "retry", refusal_message(error), is_locked=True)
            if len(changes) == 1:
                return all_of(changes, "rejected", refusal_message(error))
            return [link for half in halves(changes) for link in self._joined(half)]
        except (BusyError, AccessError) as error:  # the tasks are written: so it is told, and not raised
            return all_of(changes, "retry", error)
        except (UnknownOutcome, ReplyError) as error:
            return all_of(changes, "unknown", error)


def _matched(changes: Sequence[Change], answer: Joined) -> list[Outcome]:
    """Match associations by their two ids, from whichever side they are told."""
    answered, tasks = {}, {str(change.record_id) for change in changes}
    for change in changes:
        task, company = str(change.record_id), _company(change)
        if {task, company} in answer.pairs:
            answered[change.op_id] = outcome(change, "applied")
        elif wrong := next(
            (problem for problem in answer.errors if _concerns(problem.sides, task, company, tasks)), None
        ):
            answered[change.op_id] = outcome(change, "rejected", wrong.text)
    return by_id(changes, answered)


def _concerns(sides: set[str], task: str, company: str, tasks: set[str]) -> bool:
    """Tell whether an error is about a task: it names the task, or its company and no task at all."""
    return task in sides or (company in sides and not sides & tasks)


def _wrong(change: Change) -> str:
    """Say why a change cannot be made: an association is added here, and never taken away."""
    if COMPANY not in change.after or change.action != "update":
        return ""
    before, after = change.before.get(COMPANY), change.after[COMPANY]
    if before and str(before) != str(after or ""):
        return f"a task cannot be moved from its company {before}: close it and create another"
    return ""


def _without_company(change: Change) -> Change:
    return replace(change, after={name: value for name, value in change.after.items() if name != COMPANY})


def _company(change: Change) -> str:
    return str(change.after[COMPANY])


def _both(change: Change, task: Outcome, joined: Outcome, fields: Fields) -> Outcome:
    """Say what came of a task and of its company together.

    A task that is there without its company is not done. Where a key or an id leads to the same task again, the same
    may be sent once more; else it has to be asked for.
    """
    if joined.status == "applied":
        return replace(task, values={**(task.values or {}), COMPANY: _company(change)})
    key = fields.get(change.key or "")
    again = change.action == "update" or bool(key and key.is_unique)
    status = joined.status if again and joined.status == "rejected" else "retry" if again else "unknown"
    reason = f"the task was created but not linked to its company: {joined.message}"
    return replace(task, status=status, message=reason, values=None, is_locked=joined.is_locked)
