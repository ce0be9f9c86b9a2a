"""Approve a plan by the digest of what a person looked at; who approved it and how is recorded."""

import re
from collections.abc import Collection

from connectors.kit.errors import SettingsError
from engine.config.project import Project
from engine.deliver.plan_store import Plan, find
from engine.deliver.proof import prove_plan
from engine.storage.stores.approvals import Approval

DIGEST = re.compile("[0-9a-f]{12,64}")  # commands print 12; a shorter one could be guessed


def needs_approval(project: Project, plan: Plan) -> bool:
    """Return whether a person has to approve the plan by its digest before any of it is written."""
    return project.delivery(plan.delivery).approve == "manual" or plan.undoes is not None


def approval_of(project: Project, plan: Plan) -> Approval | None:
    """Return the newest approval of a plan."""
    return next(iter(reversed(project.ledger.approvals.by_digest(plan.digest).get(plan.digest, ()))), None)


def approve(project: Project, name: str, digest: str, *, by: str, via: str, allow: Collection[str] = ()) -> Plan:
    """Record that a person approves the plan of delivery `name` with this digest, and return it.

    `via` names the way: the command line, or a Dagster run and its id. `allow` lists guards to lift for
    this plan; only the command line offers that. A plan that is no longer open is returned unchanged.
    Raises SettingsError when no plan of this delivery has the digest, or when it would be refused.
    """
    if not DIGEST.fullmatch(digest):
        raise SettingsError(
            f"{digest!r} is not a digest: a plan is approved by at least 12 characters of its digest, "
            "as `belvedere plan --list` prints it"
        )
    if not by.strip():
        raise SettingsError("an approval needs a name: who approves the plan?")
    plan = find(project, digest)
    if plan.delivery != name:
        raise SettingsError(f"plan {plan.digest[:12]} belongs to delivery {plan.delivery!r}, not to {name!r}")
    prove_plan(project, plan)
    if plan.head.status == "planned":
        project.ledger.approvals.add(plan.digest, name, by.strip(), via, sorted({*allow}))
    return plan
