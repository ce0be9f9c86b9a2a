"""Where a target holds something else than we want and no policy decides: listed, and decided by people."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Literal

from connectors.kit.errors import SettingsError, choices
from engine.config.project import Project
from engine.deliver.plan_store import HELD_BACK, load
from transforms.delivery.field_diff import Decided, from_json

Verdict = Literal["keep_target", "keep_ours"]


def conflicts(project: Project, *, open_only: bool = False) -> list[dict[str, Any]]:
    """List the conflicts of the newest plan of every delivery, as the table `conflicts` has them."""
    return [row for name in project.deliveries for row in _of(project, name) if row["is_open"] or not open_only]


def decide(project: Project, conflict_id: str, verdict: Verdict, by: str, why: str) -> dict[str, Any]:
    """Decide a conflict for as long as both sides hold these values; the next plan follows. Raises SettingsError."""
    found = [row for row in conflicts(project) if row["conflict_id"].startswith(conflict_id)]
    if len(found) != 1:
        known = [row["conflict_id"] for row in conflicts(project, open_only=True)]
        raise SettingsError(f"no conflict {conflict_id!r}; {choices(conflict_id, known)}")
    row = found[0]
    made = Decided(from_json(row["wanted"]), verdict, by, from_json(row["held"]))
    project.ledger.synced_values.decide(row["delivery"], (row["record_id"], row["field"]), made, why)
    return row


def _of(project: Project, name: str) -> Iterator[dict[str, Any]]:
    head = project.ledger.plans.newest(name)
    for row in load(project, head).rows(*HELD_BACK) if head else ():
        if row["field"] == "*":
            continue
        place = {field: row[field] for field in ("delivery", "connection", "stream", "record_id", "field")}
        sides = {"held": row["before"], "wanted": row["after"]}
        number = sha256(json.dumps([*place.values(), *sides.values()]).encode()).hexdigest()[:10]
        told = {field: row[field] for field in ("customer_id", "policy", "owner", "reason")}
        at = head.created_at if head else None
        yield {"conflict_id": number, **place, **sides, **told, "is_open": row["action"] == "ask", "planned_at": at}
