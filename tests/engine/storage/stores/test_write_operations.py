"""Plans, intents and outcomes in the ledger."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.kit.base import Outcome
from engine.storage.ledger import Ledger
from engine.storage.stores.plans import PlanRow
from engine.storage.stores.write_operations import Operation

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def planned(digest: str, minutes: int = 0, delivery: str = "scores") -> PlanRow:
    at = NOON + timedelta(minutes=minutes)
    return PlanRow(digest, delivery, f"run-{minutes}", at, "planned", 2, "plan/scores/x.parquet", "snap", {"held": 7})


def operation(op_id: str, record: str = "7", attempt: int = 1, digest: str = "d1", run: str = "run-1") -> Operation:
    return Operation(
        op_id=op_id, delivery="scores", digest=digest, run_id=run, connection="crm", stream="accounts",
        record_id=record, customer_id="c1", action="update", before={"score": None}, after={"score": 7.5}, attempt=attempt,
    )  # fmt: skip


def test_a_plan_is_read_as_it_was_saved(ledger: Ledger):
    ledger.plans.save(planned("abc123"))
    assert ledger.plans.newest("scores") == planned("abc123")
    assert ledger.plans.newest("other") is None


def test_a_plan_is_found_by_the_beginning_of_its_digest_if_that_is_unique(ledger: Ledger):
    ledger.plans.save(planned("abc123"))
    ledger.plans.save(planned("abd456", 1))
    plan = ledger.plans.find("abc")
    assert plan is not None
    assert plan.digest == "abc123"
    assert ledger.plans.find("ab") is None
    assert ledger.plans.find("zz") is None


@pytest.mark.parametrize("wild", ["%", "_bc", "abc12_"])
def test_a_digest_is_not_taken_for_a_pattern(ledger: Ledger, wild: str):
    ledger.plans.save(planned("abc123"))
    assert ledger.plans.find(wild) is None


def test_a_newer_plan_supersedes_those_that_nobody_applied(ledger: Ledger):
    ledger.plans.save(planned("one"))
    ledger.plans.set_status("one", "applied")
    for digest, minutes in (("two", 1), ("three", 2)):
        ledger.plans.save(planned(digest, minutes))
    ledger.plans.save(planned("elsewhere", 3, delivery="other"))
    plans = {digest: ledger.plans.find(digest) for digest in ("one", "two", "three", "elsewhere")}
    assert {digest: row.status for digest, row in plans.items() if row} == {
        "one": "applied", "two": "superseded", "three": "planned", "elsewhere": "planned",
    }  # fmt: skip
    assert ledger.plans.last_applied("scores") == "one"
    assert ledger.plans.last_applied("other") is None


def test_a_superseded_plan_that_is_made_again_is_the_newest(ledger: Ledger):
    for digest, minutes in (("one", 0), ("two", 1), ("one", 2)):
        ledger.plans.save(planned(digest, minutes))
    newest = ledger.plans.newest("scores")
    assert newest is not None
    assert (newest.digest, newest.status, newest.run_id) == ("one", "planned", "run-2")
    two = ledger.plans.find("two")
    assert two is not None
    assert two.status == "superseded"


def test_saving_the_same_plan_twice_keeps_one(ledger: Ledger):
    ledger.plans.save(planned("one"))
    ledger.plans.save(planned("one", 5))
    newest = ledger.plans.newest("scores")
    assert newest is not None
    assert newest.status == "planned"


def test_an_intent_without_an_outcome_is_unsettled(ledger: Ledger):
    ledger.operations.record_intents([operation("a"), operation("b", "8")])
    unsettled = ledger.operations.unsettled("scores")
    assert [(stored.op_id, stored.record_id, stored.after, stored.outcome) for stored in unsettled] == [
        ("a", "7", {"score": 7.5}, None),
        ("b", "8", {"score": 7.5}, None),
    ]


def test_an_unknown_outcome_leaves_an_operation_unsettled(ledger: Ledger):
    words = ("applied", "unchanged", "rejected", "conflict", "retry", "unknown")
    ledger.operations.record_intents([operation(word, word) for word in words])
    ledger.operations.record_outcomes(Outcome(word, word) for word in words)  # type: ignore[arg-type]
    assert [stored.op_id for stored in ledger.operations.unsettled("scores")] == ["unknown"]
    assert ledger.operations.unsettled("other") == []


def test_an_outcome_keeps_what_the_target_answered(ledger: Ledger):
    ledger.operations.record_intents([operation("a")])
    ledger.operations.record_outcomes([Outcome("a", "rejected", "7", "v3", "no such option")])
    ledger.operations.record_outcomes(
        [Outcome("a", "rejected", message="no such option")]
    )  # says no version, and takes none away
    (done,) = ledger.operations.query("scores")
    assert (done.outcome, done.version, done.message) == ("rejected", "v3", "no such option")
    assert done.settled_at is not None
    assert done.intended_at is not None
    assert done.settled_at >= done.intended_at


def test_an_operation_that_is_tried_again_is_open_again(ledger: Ledger):
    ledger.operations.record_intents([operation("a")])
    ledger.operations.record_outcomes([Outcome("a", "retry")])
    ledger.operations.record_intents([operation("a", attempt=2)])
    (again,) = ledger.operations.unsettled("scores")
    assert (again.attempt, again.outcome, again.settled_at) == (2, None, None)


def test_operations_are_listed_by_delivery_and_run(ledger: Ledger):
    ledger.operations.record_intents([operation("a"), operation("b", run="run-2")])
    assert [stored.op_id for stored in ledger.operations.query(run_id="run-2")] == ["b"]
    assert len(ledger.operations.query()) == len(ledger.operations.query("scores")) == 2
    assert ledger.operations.query("other") == []


def test_rejections_in_a_row_are_counted_until_one_succeeds(ledger: Ledger):
    for number, outcome in enumerate(("rejected", "applied", "rejected", "rejected")):
        ledger.operations.record_intents([operation(f"a{number}", digest=f"d{number}")])
        ledger.operations.record_outcomes([Outcome(f"a{number}", outcome)])  # type: ignore[arg-type]
    assert ledger.operations.rejection_counts("scores") == {"7": 2}


def test_a_record_that_holds_what_was_wanted_is_no_longer_rejected(ledger: Ledger):
    for number, outcome in enumerate(("rejected", "unchanged")):
        ledger.operations.record_intents([operation(f"a{number}", digest=f"d{number}")])
        ledger.operations.record_outcomes([Outcome(f"a{number}", outcome)])  # type: ignore[arg-type]
    assert ledger.operations.rejection_counts("scores") == {}
