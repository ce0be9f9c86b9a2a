"""Ledgers of earlier versions: their schema becomes that of a new one, and what they hold goes on."""

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Connection, MetaData, String, Table, insert, inspect, select, text

from connectors.kit.stream import Slice
from engine.storage.ledger import Ledger
from engine.storage.migrations import version_5 as v5
from engine.storage.migrations.steps import STEPS, VERSION
from engine.storage.stores.source_fields import FieldRecord
from engine.storage.stores.sync_state import Interval
from engine.storage.transactions import Database

Open = Callable[[str], Ledger]
HOMES = Path(__file__).parents[2] / "nights" / "homes" / "version_0_1.tar.xz"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAMP = "2026-03-01T12:00:00.000000+00:00"
SLICE = {"connection": "crm", "start": None, "end": STAMP, "run_id": "r", "updated_at": STAMP}
slices = Table(
    "slices",
    MetaData(),
    *(Column(name, String(200), primary_key=True) for name in ("connection", "stream")),
    *(Column(name, String(32)) for name in ("start", "end")),
    Column("checkpoint", JSON, nullable=False),
    Column("run_id", String(200), nullable=False),
    Column("updated_at", String(32), nullable=False),
)


@contextmanager
def earlier(url: str, version: int) -> Iterator[Connection]:
    """Make a ledger with the tables that a version had."""
    database = Database(url)
    with database.transaction() as opened:
        v5.tables.create_all(opened)
        changes = {
            4: ["DROP TABLE approvals", "ALTER TABLE balances DROP COLUMN source_held"],
            3: [
                "ALTER TABLE source_fields DROP COLUMN missed",
                "ALTER TABLE source_fields DROP COLUMN missed_at",
                "ALTER TABLE open_slices ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0",
            ],
            2: [
                *(f'ALTER TABLE operations DROP COLUMN "{name}"' for name in ("key", "confirmed", "read_back_at")),
                *(f"DROP TABLE {name}" for name in ("agreements", "decisions")),
            ],
            1: [
                f"DROP TABLE {name}" for name in ("open_slices", "balances", "pending", "source_fields", "field_looks")
            ],
        }
        for step, statements in changes.items():
            for statement in statements if step >= version else ():
                opened.execute(text(statement))
        if version == 1:
            slices.create(opened)
        if version > 5:
            opened.execute(text("ALTER TABLE runs RENAME COLUMN beat TO stage"))
        born = {"version": str(version), "ledger_id" if version > 5 else "generation": "g"}
        opened.execute(insert(v5.meta), [{"key": key, "value": value} for key, value in born.items()])
        yield opened
    database.engine.dispose()


def schema(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Describe every table: columns, keys, unique constraints and indexes, whatever their order."""
    with ledger.transaction() as opened:
        inspector = inspect(opened)
        return {
            table: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(table)
                },
                "key": sorted(inspector.get_pk_constraint(table)["constrained_columns"]),
                "unique": sorted(constraint["column_names"] for constraint in inspector.get_unique_constraints(table)),
                "indexes": sorted(
                    (constraint["column_names"], bool(constraint["unique"]))
                    for constraint in inspector.get_indexes(table)
                ),
            }
            for table in inspector.get_table_names()
        }


@pytest.mark.parametrize("version", STEPS)
def test_an_upgraded_schema_is_that_of_a_new_ledger(url: str, other_url: str, open_ledger: Open, version: int):
    with earlier(url, version):
        pass
    upgraded = open_ledger(url)
    assert schema(upgraded) == schema(open_ledger(other_url))
    assert upgraded.pins.pin("version", "") == str(VERSION)


def test_the_schema_of_a_home_of_version_0_1_is_that_of_a_new_ledger(tmp_path: Path, open_ledger: Open):
    with tarfile.open(HOMES) as archive:
        archive.extract("mid_refresh/ledger.db", tmp_path, filter="data")
    upgraded = open_ledger(f"sqlite:///{tmp_path}/mid_refresh/ledger.db")
    assert schema(upgraded) == schema(open_ledger(f"sqlite:///{tmp_path}/new.db"))
    assert upgraded.ledger_id == "a17ba8de98134cdab2e553ca7e251b2d"


def test_a_step_is_taken_once(url: str, open_ledger: Open):
    with earlier(url, min(STEPS)):
        pass
    first = open_ledger(url).ledger_id
    assert open_ledger(url).ledger_id == first == "g"


def test_version_1_keeps_its_open_slices(url: str, open_ledger: Open):
    with earlier(url, 1) as opened:
        opened.execute(insert(slices).values(SLICE | {"stream": "deals", "checkpoint": {"after": "7"}}))
    ledger = open_ledger(url)
    (stored,) = ledger.sync.open_slices("crm", "deals")
    assert (stored.slice_, stored.checkpoint) == (Slice(None, NOON), {"after": "7"})
    with ledger.transaction() as opened:
        assert "slices" not in inspect(opened).get_table_names()


def test_version_2_keeps_its_operations(url: str, open_ledger: Open):
    with earlier(url, 2) as opened:
        names = [
            column.name for column in v5.operations.columns if column.name not in ("key", "confirmed", "read_back_at")
        ]
        row = dict.fromkeys(names, "x") | {"before": {}, "after": {"f": 1}, "attempt": 1, "delivery": "scores"}
        opened.execute(insert(v5.operations).values(row | {"intended_at": STAMP, "settled_at": STAMP}))
    (stored,) = open_ledger(url).operations.query("scores")
    assert (stored.after, stored.key, stored.confirmed, stored.read_back_at) == ({"f": 1}, None, None, None)


def test_version_3_keeps_its_fields(url: str, open_ledger: Open):
    field = FieldRecord("crm", "accounts", "vat", "text", "", False, NOON, NOON, seen_in=59, seen_of=60)
    with earlier(url, 3) as opened:
        row = {name: value for name, value in vars(field).items() if name not in ("missed", "missed_at")}
        opened.execute(insert(v5.source_fields).values(row | {"first_seen_at": STAMP, "last_seen_at": STAMP}))
    ledger = open_ledger(url)
    assert ledger.source_fields.records() == [field]
    ledger.source_fields.replace("crm", "accounts", [replace(field, missed=1, missed_at=NOON)], NOON)
    assert ledger.source_fields.records() == [replace(field, missed=1, missed_at=NOON)]


def test_version_3_reads_slices_again_whose_shown_keys_are_unknown(url: str, open_ledger: Open):
    with earlier(url, 3) as opened:
        for stream, skipped in (("deals", 0), ("accounts", 7)):
            row = SLICE | {"stream": stream, "checkpoint": {"after": "7"}, "mark": 0, "is_read": False}
            opened.execute(insert(v5.open_slices).values(row))
            opened.execute(text("UPDATE open_slices SET skipped = :n WHERE stream = :s"), {"n": skipped, "s": stream})
    ledger = open_ledger(url)
    assert [len(ledger.sync.open_slices("crm", stream)) for stream in ("deals", "accounts")] == [1, 0]


def test_version_4_keeps_its_counts_and_one_account_a_connection(url: str, open_ledger: Open):
    with earlier(url, 4) as opened:
        count = {"connection": "crm", "stream": "accounts", "is_total": True, "source_count": 35, "source_new": 2}
        opened.execute(
            insert(v5.balances).values(count | {"read": 0, "moved": 0, "missing": 0, "run_id": "r", "at": STAMP})
        )
        pinned = (("target:crm", "portal"), ("source:crm", "portal"), ("source:erp", "books"))
        opened.execute(insert(v5.meta), [{"key": key, "value": account} for key, account in pinned])
    ledger = open_ledger(url)
    (total,) = ledger.slice_counts.for_stream("crm", "accounts")
    assert (total.source_count, total.source_new, total.source_held, total.at) == (35, 2, None, NOON)
    assert [ledger.pins.pin(f"account:{name}", "another") for name in ("crm", "erp")] == ["portal", "books"]
    assert [ledger.pins.pin(key, "none") for key in ("target:crm", "source:crm", "source:erp")] == ["none"] * 3


def read_until(opened: Connection, *streams: str) -> None:
    rows = [{"connection": "crm", "stream": stream, "start": None, "end": STAMP} for stream in streams]
    opened.execute(insert(v5.intervals), rows)


def open_slice(opened: Connection, stream: str, **values: Any) -> None:
    row = SLICE | {"stream": stream, "checkpoint": {"after": "7"}, "mark": 0, "is_read": False}
    opened.execute(insert(v5.open_slices).values(row | values))


def file(table: Table, asset: str, **values: Any) -> Any:
    row = {"asset": asset, "path": f"{asset}/1.parquet", "rows": 1, "bytes": 1, "sha256": "0", "run_id": "r"}
    return insert(table).values(row | {"created_at": STAMP} | values)


def test_version_5_renames_states_the_stage_of_runs_and_the_ledgers_id(url: str, open_ledger: Open):
    with earlier(url, 5) as opened:
        read_until(opened, "deals", "deals/deletes", "deals/refresh")
        open_slice(opened, "deals/refresh")
        open_slice(opened, "deals/in_vain", end=None, checkpoint=None, is_read=True)
        opened.execute(file(v5.pending, "seen/crm/deals/refresh"))
        opened.execute(insert(v5.runs).values(run_id="r", beat="build", at=STAMP, summary={"snapshot": "s"}))
    ledger = open_ledger(url)
    assert ledger.ledger_id == "g"
    assert ledger.runs.last("build")["summary"] == {"snapshot": "s"}
    for state in ("deals", "deals/deletes", "deals/uncursored_refresh"):
        assert ledger.sync.intervals("crm", state) == [Interval(None, NOON)]
    (refresh,) = ledger.sync.open_slices("crm", "deals/uncursored_refresh")
    assert refresh.checkpoint == {"after": "7"}
    assert len(ledger.sync.open_slices("crm", "deals/full_refresh_mismatch")) == 1
    assert len(ledger.files.pending("seen/crm/deals/uncursored_refresh")) == 1


def test_version_5_begins_an_open_full_refresh_again(url: str, open_ledger: Open):
    states = ("deals", "deals/deletes", "deals/refresh")
    with earlier(url, 5) as opened:
        for stream in ("deals", "deals_2"):
            read_until(opened, *(state.replace("deals", stream) for state in states))
            open_slice(opened, stream)
            opened.execute(file(v5.pending, f"raw/crm/{stream}"))
            opened.execute(file(v5.pending, f"seen/crm/{stream}"))
        open_slice(opened, "deals/anew", end=None, checkpoint=None, is_read=True, mark=0)
        opened.execute(file(v5.pending, "seen/crm/deals/anew"))
        opened.execute(file(v5.manifest, "raw/crm/deals", is_live=True))
        newest = opened.scalar(select(v5.manifest.c.id))
    ledger = open_ledger(url)
    (begun,) = ledger.sync.open_slices("crm", "deals/full_refresh")
    assert [ledger.generations.of("crm", stream).newest for stream in ("deals", "deals_2")] == [1, 0]
    assert (begun.slice_, begun.checkpoint, begun.is_read, begun.mark) == (Slice(), None, True, newest)
    for state in ("deals", "deals/deletes", "deals/uncursored_refresh"):
        assert ledger.sync.intervals("crm", state) == ledger.sync.open_slices("crm", state) == []
    waiting = ("raw/crm/deals", "seen/crm/deals", "seen/crm/deals/anew", "seen/crm/deals/full_refresh")
    assert [ledger.files.pending(asset) for asset in waiting] == [[], [], [], []]
    assert len(ledger.files.for_asset("raw/crm/deals")) == 1
    for state in ("deals_2", "deals_2/deletes", "deals_2/uncursored_refresh"):
        assert len(ledger.sync.intervals("crm", state)) == 1
    assert len(ledger.sync.open_slices("crm", "deals_2")) == 1
    assert [len(ledger.files.pending(f"{kind}/crm/deals_2")) for kind in ("raw", "seen")] == [1, 1]
