"""A plan that was changed after it was saved is refused before anything is asked of its target."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from connectors.kit.errors import ConnectorError, SettingsError
from engine.deliver.conflicts import conflicts, decide
from engine.deliver.plan import save
from engine.deliver.plan_store import Plan, digest_of
from engine.deliver.undo import undo
from engine.storage import ledger_tables as t
from tests.engine.deliver.stub_target import DeliverEnv

Rows = list[dict[str, Any]]
NAME = {"name": {"from": "name"}}
PROMISE = "was refused and nothing was written"


@pytest.fixture
def planned(env: DeliverEnv) -> DeliverEnv:
    """Plan to change two records, and ask the target for nothing from here on."""
    for name in ("1", "2"):
        env.stub.put(name, name="old", city="Ulm")
    env.customers("1", "2")
    env.deliver(fields=NAME)
    env.plan()
    env.stub.calls.clear()
    return env


def newest(env: DeliverEnv, name: str = "d") -> Any:
    return env.project.ledger.plans.recent(name)[0]


def file_of(env: DeliverEnv, name: str = "d") -> Path:
    return Path(env.project.lake.full(newest(env, name).path))


def forge(env: DeliverEnv, change: Callable[[Rows], Rows]) -> None:
    """Rewrite the file of the newest plan, as pyarrow makes it easy."""
    table = pq.read_table(file_of(env))
    pq.write_table(table.from_pylist(change(table.to_pylist()), table.schema), file_of(env))


def record_sha(env: DeliverEnv, path: str) -> None:
    """Make the manifest agree with a forged file."""
    content = Path(env.project.lake.full(path)).read_bytes()
    values = {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
    with env.project.ledger.transaction() as opened:
        opened.execute(update(t.manifest).where(t.manifest.c.path == path).values(values))


def record_digest(env: DeliverEnv) -> str:
    """Make the ledger agree with a forged file altogether: sha256 and digest."""
    head = newest(env)
    record_sha(env, head.path)
    table = pq.read_table(file_of(env))
    digest = digest_of("d", env.project.ledger.ledger_id, head.summary, table)
    with env.project.ledger.transaction() as opened:
        opened.execute(update(t.plans).where(t.plans.c.digest == head.digest).values(digest=digest))
    return digest


def refusal(env: DeliverEnv, digest: str | None = None) -> str:
    """Apply, which must be refused with no request and no intent; give the message."""
    before = env.project.ledger.operations.query("d")
    with pytest.raises(SettingsError) as refused:
        env.apply(digest=digest)
    assert not env.stub.calls
    assert newest(env).digest not in env.project.ledger.approvals.by_digest()
    assert env.project.ledger.operations.query("d") == before
    assert newest(env).digest[:12] in str(refused.value)
    assert PROMISE in str(refused.value)
    return str(refused.value)


def added(rows: Rows) -> Rows:
    return [*rows, rows[0] | {"field": "city", "before": '"Ulm"', "after": '"Bonn"'}]


FORGERIES: dict[str, Callable[[Rows], Rows]] = {
    "row added": added,
    "row removed": lambda rows: rows[1:],
    "value changed": lambda rows: [rows[0] | {"after": '"forged"'}, *rows[1:]],
    "old value changed": lambda rows: [rows[0] | {"before": '"other"'}, *rows[1:]],
    "key changed": lambda rows: [rows[0] | {"key": "other"}, *rows[1:]],
    "target record changed": lambda rows: [rows[0] | {"record_id": "9"}, *rows[1:]],
    "connection changed": lambda rows: [rows[0] | {"connection": "erp"}, *rows[1:]],
    "action changed": lambda rows: [rows[0] | {"action": "delete", "field": "*"}, *rows[1:]],
    "nothing changed but the bytes": lambda rows: rows,
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_file_with_another_sha256_is_refused(planned: DeliverEnv, forgery: str):
    forge(planned, FORGERIES[forgery])
    message = refusal(planned)
    assert newest(planned).path in message
    assert "sha256" in message
    assert "Make a new plan: belvedere plan d" in message


@pytest.mark.parametrize("forgery", [name for name in FORGERIES if name != "nothing changed but the bytes"])
def test_rows_with_another_digest_are_refused(planned: DeliverEnv, forgery: str):
    forge(planned, FORGERIES[forgery])
    record_sha(planned, newest(planned).path)
    assert "have the digest" in refusal(planned)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (added, "the delivery's settings allow no update of field 'city' there"),
        (lambda rows: [rows[0] | {"connection": "erp"}], "its connection is 'erp', but the delivery's is 'crm'"),
        (lambda rows: [rows[0] | {"stream": "tasks"}], "its stream is 'tasks', but the delivery's is 'accounts'"),
        (lambda rows: [rows[0] | {"delivery": "e"}], "its delivery is 'e', but the delivery's is 'd'"),
        (lambda rows: [rows[0] | {"action": "delete", "field": "*"}], "allow no delete of field '*' there"),
        (
            lambda rows: [rows[0] | {"action": "create", "record_id": None, "key": "K"}],
            "the delivery's settings allow no create of field 'name' there",
        ),
        (lambda rows: [rows[0] | {"record_id": None, "key": "K"}], "allow no update of field 'name' there"),
    ],
)
def test_rows_beyond_the_delivery_are_refused_even_where_the_ledger_agrees(
    planned: DeliverEnv, change: Any, problem: str
):
    forge(planned, change)
    record_digest(planned)
    assert problem in refusal(planned)


@pytest.mark.parametrize(
    ("config", "row", "is_allowed"),
    [
        ({"match": "upsert"}, {"action": "create", "field": "name", "key": "K"}, True),
        ({"match": "upsert"}, {"action": "create", "field": "key", "key": "K", "after": '"K"'}, True),
        ({"match": "upsert"}, {"action": "create", "field": "key", "key": "K", "after": '"other"'}, False),
        ({"match": "upsert"}, {"action": "create", "field": "city", "key": "K"}, False),
        ({"match": "upsert"}, {"action": "create", "field": "name", "key": None}, False),
        ({"match": "upsert"}, {"action": "create", "field": "name", "key": "K", "record_id": "1"}, False),
        ({"match": "upsert"}, {"action": "update", "field": "key", "record_id": "1"}, False),
        ({"match": "create_only"}, {"action": "update", "field": "name", "record_id": "1"}, False),
        ({"match": "create_only"}, {"action": "update", "field": "done", "record_id": "1", "after": "true"}, False),
    ],
)
def test_creates_lie_within_what_match_and_key_allow(env: DeliverEnv, config: Any, row: Any, is_allowed: bool):
    env.customers()
    closing = {"gone": {"done": True}} if config["match"] == "create_only" else {}
    env.deliver(key={"field": "key", "from": "customer_id"}, fields=NAME, **config, **closing)
    target = {"delivery": "d", "connection": "crm", "stream": "accounts", "customer_id": "C", "reason": "x"}
    rest = dict.fromkeys(("record_id", "key", "before", "after", "policy", "owner", "version"))
    save(env.project, "d", [{**rest, **target, **row}], "run", {"held": 0}, [])
    if is_allowed:
        assert env.apply().counts.total() == 1
    else:
        refusal(env)


def test_the_plan_of_another_delivery_under_this_ones_name_is_refused(planned: DeliverEnv):
    planned.deliver("e", fields={"city": {"from": "name"}})
    planned.plan("e")
    planned.stub.calls.clear()
    file_of(planned).write_bytes(file_of(planned, "e").read_bytes())
    assert "sha256" in refusal(planned)
    other = newest(planned, "e").path
    with planned.project.ledger.transaction() as opened:
        opened.execute(update(t.plans).where(t.plans.c.delivery == "d").values(path=other))
    assert "the manifest has no file" in refusal(planned)
    with pytest.raises(SettingsError, match="belongs to delivery 'e', not to 'd'"):
        planned.apply(digest=newest(planned, "e").digest)
    assert not planned.stub.calls


def test_a_plan_whose_file_is_gone_is_refused(planned: DeliverEnv):
    file_of(planned).unlink()
    assert "a file of plan/d is missing from the lake" in refusal(planned)


def test_a_new_plan_takes_the_place_of_a_forged_one(planned: DeliverEnv):
    digest = newest(planned).digest
    forge(planned, added)
    assert planned.plan().digest == digest
    assert planned.apply().counts == {"applied": 2}
    assert {record["city"] for record in planned.stub.records.values()} == {"Ulm"}


def test_a_plan_of_an_earlier_version_is_refused(planned: DeliverEnv):
    head = newest(planned)
    old = {name: value for name, value in head.summary.items() if name != "follows"}
    with planned.project.ledger.transaction() as opened:
        opened.execute(update(t.plans).where(t.plans.c.digest == head.digest).values(summary=old))
    assert "an earlier version of Belvedere saved it" in refusal(planned)


class TestTables:
    def changed(self, env: DeliverEnv, table: str) -> Path:
        """Give the file of a table other rows of the same number, under its own name."""
        (file,) = env.project.ledger.files.for_asset(table)
        path = Path(env.project.lake.full(file.path))
        rows = pq.read_table(path)
        pq.write_table(rows.take(list(reversed(range(rows.num_rows)))), path)
        return path

    @pytest.mark.parametrize("table", ["customers", "crosswalk", "accounts"])
    def test_a_plan_made_from_a_table_that_was_changed_since_is_refused(self, planned: DeliverEnv, table: str):
        path = self.changed(planned, table)
        message = refusal(planned)
        assert f"a file of {table} is damaged: {table}/{path.name}" in message
        assert "`belvedere build` makes it again" in message

    @pytest.mark.parametrize("table", ["customers", "crosswalk", "accounts"])
    def test_nothing_is_planned_from_a_table_that_was_changed(self, planned: DeliverEnv, table: str):
        self.changed(planned, table)
        with pytest.raises(ConnectorError, match=f"a file of {table} is damaged"):
            planned.plan()
        assert len(planned.project.ledger.plans.recent("d")) == 1

    def test_a_table_that_a_condition_names_is_proven_too(self, planned: DeliverEnv):
        planned.tables(
            customers=[{"customer_id": "C1", "name": "new"}],
            accounts=[{"connection": "crm", "account_id": "1"}],
            crosswalk=[{"customer_id": "C1", "connection": "crm", "account_id": "1"}],
            owners=[{"connection": "crm", "owner_id": "7"}],
        )
        planned.deliver(fields=NAME, where="(SELECT count(*) FROM Owners) > 0")
        planned.plan()
        planned.stub.calls.clear()
        self.changed(planned, "owners")
        assert "a file of owners is damaged" in refusal(planned)


class TestUndo:
    @pytest.fixture
    def undone(self, planned: DeliverEnv) -> tuple[DeliverEnv, Plan]:
        planned.apply()
        (plan,) = undo(planned.project, planned.project.ledger.operations.writing_runs()[0]["run_id"], "undo")
        planned.stub.calls.clear()
        return planned, plan

    @pytest.mark.parametrize("forgery", FORGERIES)
    def test_a_forged_file_is_refused(self, undone: tuple[DeliverEnv, Plan], forgery: str):
        env, plan = undone
        forge(env, FORGERIES[forgery])
        message = refusal(env, plan.digest)
        assert f"Make a new plan: belvedere undo {plan.undoes}" in message

    @pytest.mark.parametrize(
        "change",
        [
            added,
            lambda rows: [rows[0] | {"after": '"forged"'}],
            lambda rows: [rows[0] | {"record_id": "9"}],
            lambda rows: [rows[0] | {"action": "delete", "field": "*"}],
        ],
    )
    def test_it_takes_back_only_what_that_run_wrote(self, undone: tuple[DeliverEnv, Plan], change: Any):
        env, _ = undone
        forge(env, change)
        assert "the delivery's settings allow no" in refusal(env, record_digest(env))

    def test_it_is_approved_by_its_digest_even_where_the_delivery_is_not(self, undone: tuple[DeliverEnv, Plan]):
        from engine.deliver.apply import apply

        env, plan = undone
        with pytest.raises(SettingsError, match="was not approved, so nothing was written"):
            apply(env.project, "d", "run", digest=plan.digest)
        assert env.apply(digest=plan.digest).counts == {"applied": 2}


def test_no_conflict_is_decided_from_a_forged_plan(env: DeliverEnv):
    env.stub.put("1", name="old")
    env.customers("1")
    env.deliver(fields={"name": {"from": "name", "policy": "fill_empty"}})
    env.plan()
    (row,) = conflicts(env.project)
    forge(env, lambda rows: [rows[0] | {"after": '"forged"'}])
    with pytest.raises(SettingsError, match="was refused"):
        decide(env.project, row["conflict_id"], "keep_ours", "eva", "")
