"""Conflicts: values on which target and delivery differ and no policy decides. People decide them."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Literal

from connectors.kit.errors import SettingsError, choices
from engine.config.project import Project
from engine.deliver.plan_store import HELD_BACK, load
from transforms.delivery.field_diff import Decision, from_json

Verdict = Literal["keep_target", "keep_ours"]


def conflicts(project: Project, *, open_only: bool = False) -> list[dict[str, Any]]:
    """Return the conflicts in the newest plan of every delivery, as rows of the table `conflicts`."""
    return [
        row for name in project.deliveries for row in _conflicts_of(project, name) if row["is_open"] or not open_only
    ]


def decide(project: Project, conflict_id: str, verdict: Verdict, by: str, reason: str) -> dict[str, Any]:
    """Record a decision; it holds until either value changes, and takes effect with the next plan.

    Raises SettingsError unless exactly one conflict has an id that begins with `conflict_id`.
    """
    matches = [row for row in conflicts(project) if row["conflict_id"].startswith(conflict_id)]
    if len(matches) != 1:
        open_ids = [row["conflict_id"] for row in conflicts(project, open_only=True)]
        raise SettingsError(f"no conflict {conflict_id!r}; {choices(conflict_id, open_ids)}")
    row = matches[0]
    decision = Decision(from_json(row["wanted"]), verdict, by, from_json(row["held"]))
    project.ledger.synced_values.decide(row["delivery"], (row["record_id"], row["field"]), decision, reason)
    return row


def _conflicts_of(project: Project, name: str) -> Iterator[dict[str, Any]]:
    head = project.ledger.plans.newest(name)
    for row in load(project, head).rows(*HELD_BACK) if head else ():
        if row["field"] == "*":
            continue
        location = {field: row[field] for field in ("delivery", "connection", "stream", "record_id", "field")}
        sides = {"held": row["before"], "wanted": row["after"]}
        # Either value changes the id, so that nobody decides about values they did not see.
        number = sha256(json.dumps([*location.values(), *sides.values()]).encode()).hexdigest()[:10]
        details = {field: row[field] for field in ("customer_id", "policy", "owner", "reason")}
        at = head.created_at if head else None
        yield {
            "conflict_id": number,
            **location,
            **sides,
            **details,
            "is_open": row["action"] == "ask",
            "planned_at": at,
        }
