"""Runs of commands that were killed: Dagster shows them as started until somebody says otherwise."""

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason

from engine.storage.lease import is_free
from engine.storage.ledger import Ledger

BY_HAND = "belvedere/by_hand"  # the caller runs the other stages itself: sensors leave such runs alone
LEASE = "belvedere/lease"  # names the lease that the command holds for as long as it runs
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def end_dead_runs(instance: dg.DagsterInstance, ledger: Ledger) -> list[str]:
    """Mark every unfinished run of a command whose process is dead as failed, free its slots, and name it."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(tags={BY_HAND: "true"}, statuses=UNFINISHED)):
        if not is_free(ledger, run.tags.get(LEASE, "")):
            continue
        now = instance.get_run_by_id(run.run_id)  # it may have ended between the two looks
        if now is None or now.status not in UNFINISHED:
            continue
        why = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
        instance.report_run_failed(run, "The process of this run was killed.", why)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        ended.append(run.run_id)
    return ended
