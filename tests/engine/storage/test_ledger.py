"""Opening a ledger: who may read it, which version it has, what it says when it cannot be used."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy
from sqlalchemy import JSON, Column, MetaData, String, Table, insert, inspect, select, text, update

from connectors.kit.errors import BusyError, SettingsError
from connectors.kit.stream import Slice
from engine.storage import ledger_tables as t
from engine.storage.ledger import Ledger
from engine.storage.slice_counts import SliceCount
from engine.storage.source_fields import FieldRecord
from engine.storage.sync_state import Progress

Open = Callable[[str], Ledger]


def test_is_born_once_with_an_id_that_stays(url: str, open_ledger: Open):
    first, again = open_ledger(url), open_ledger(url)
    assert first.generation == again.generation
    assert len(first.generation) == 32


def test_another_ledger_has_another_id(tmp_path: Path, open_ledger: Open):
    one, other = (open_ledger(f"sqlite:///{tmp_path / name}.db").generation for name in ("one", "other"))
    assert one != other


def test_refuses_what_a_newer_belvedere_wrote(url: str, open_ledger: Open):
    ledger = open_ledger(url)
    with ledger.transaction() as opened:
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="99"))
    with pytest.raises(SettingsError, match=f"version 99, this Belvedere knows {t.VERSION}: upgrade Belvedere"):
        open_ledger(url)


def test_only_its_owner_may_read_it(tmp_path: Path, open_ledger: Open):
    open_ledger(f"sqlite:///{tmp_path}/home/deep/ledger.db")
    assert (tmp_path / "home/deep/ledger.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "home/deep").stat().st_mode & 0o777 == 0o700


def test_sqlite_keeps_a_rollback_journal_and_syncs_fully(sqlite: Ledger):
    with sqlite.transaction() as opened:
        assert opened.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert opened.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert opened.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_a_transaction_is_whole_or_not_at_all(ledger: Ledger):
    with pytest.raises(RuntimeError), ledger.transaction() as opened:
        opened.execute(insert(t.meta).values(key="half", value="1"))
        raise RuntimeError
    with ledger.transaction() as opened:
        assert opened.scalar(select(t.meta.c.value).where(t.meta.c.key == "half")) is None


def test_writers_wait_for_their_turn(url: str, open_ledger: Open):
    ledger = open_ledger(url)
    ledger.pinned("count", "0")

    def add() -> None:
        for _ in range(10):
            with ledger.transaction() as opened:
                counted = select(t.meta.c.value).where(t.meta.c.key == "count").with_for_update()
                now = int(opened.scalar(counted) or 0)
                opened.execute(update(t.meta).where(t.meta.c.key == "count").values(value=str(now + 1)))

    threads = [Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.pinned("count", "") == "30"


def test_several_may_open_a_new_one_at_once(url: str, open_ledger: Open):
    born: list[str] = []
    threads = [Thread(target=lambda: born.append(open_ledger(url).generation)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(born) == 4
    assert len(set(born)) == 1


def test_a_busy_ledger_is_named_without_its_password(sqlite: Ledger):
    with (
        pytest.raises(BusyError, match=r"the ledger at sqlite.*cannot be used: no such table"),
        sqlite.transaction() as opened,
    ):
        opened.exec_driver_sql("SELECT * FROM nowhere")


def test_an_unreachable_server_is_busy_and_its_password_stays_secret():
    pytest.importorskip("psycopg")
    with pytest.raises(BusyError) as raised:
        Ledger("postgresql+psycopg://me:swordfish@127.0.0.1:9/belvedere?connect_timeout=1")
    assert "127.0.0.1:9/belvedere" in str(raised.value)
    assert "swordfish" not in str(raised.value)


@pytest.mark.parametrize("url", ["ledger.db", "nodatabase://x/y", "sqlite+nodriver:///x.db"])
def test_a_url_that_names_no_database_is_a_setting_to_mend(url: str):
    with pytest.raises(SettingsError, match="BELVEDERE_LEDGER_URL cannot be opened"):
        Ledger(url)


def test_rows_stay_out_of_error_texts(sqlite: Ledger):
    row = {"key": "person", "value": "ada@example.com"}
    with pytest.raises(sqlalchemy.exc.IntegrityError) as raised, sqlite.transaction() as opened:
        opened.execute(insert(t.meta), [row, row])
    assert "ada@example.com" not in str(raised.value)


def test_instants_come_back_aware_in_utc_and_sort_as_text(ledger: Ledger):
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    ledger.land("crm", "deals", [], Progress(Slice(None, noon), {"page": 2}), "run")
    (found,) = ledger.open_slices("crm", "deals")
    assert found is not None
    assert found.slice_.end == noon
    assert found.slice_.end.utcoffset() == timedelta(0)


def test_an_instant_without_a_zone_is_refused(sqlite: Ledger):
    with pytest.raises(sqlalchemy.exc.StatementError, match="an instant needs a time zone"):
        sqlite.land("crm", "deals", [], Progress(Slice(None, datetime(2026, 3, 1)), None), "run")  # noqa: DTZ001


def test_a_value_is_pinned_by_the_first_who_says_it(ledger: Ledger):
    assert ledger.pinned("target:x", "portal 1") == "portal 1"
    assert ledger.pinned("target:x", "portal 2") == "portal 1"


def test_the_newest_note_about_a_beat_is_found(ledger: Ledger):
    assert ledger.last_run("build") is None
    ledger.note_run("r1", "build", {"snapshot": "a"})
    ledger.note_run("r2", "build", {"snapshot": "b"})
    ledger.note_run("r3", "extract:crm", {"status": "done"})
    last = ledger.last_run("build")
    assert last is not None
    assert (last["run_id"], last["summary"]) == ("r2", {"snapshot": "b"})
    assert datetime.now(UTC) - last["at"] < timedelta(minutes=5)


def test_what_is_deleted_is_gone_from_the_file(sqlite: Ledger):
    sqlite.pinned("person", "ada@example.com" * 20)
    place = str(sqlite.url.database)
    with sqlite.transaction() as opened:
        opened.execute(t.meta.delete().where(t.meta.c.key == "person"))
    sqlite.engine.dispose()
    assert b"ada@example.com" not in Path(place).read_bytes()
    with sqlite3.connect(place) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()


def test_a_ledger_of_version_1_keeps_its_open_slices(url: str, open_ledger: Open):
    ledger = open_ledger(url)
    old = Table(
        "slices",
        MetaData(),
        *(Column(name, String(200)) for name in ("connection", "stream", "start", "end", "run_id", "updated_at")),
        Column("checkpoint", JSON),
    )
    with ledger.transaction() as opened:
        old.create(opened)
        stamp = "2026-03-01T12:00:00.000000+00:00"
        row = {"connection": "crm", "stream": "deals", "start": None, "end": stamp, "run_id": "r", "updated_at": stamp}
        opened.execute(insert(old).values(row | {"checkpoint": {"after": "7"}}))
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="1"))
    again = open_ledger(url)
    (left,) = again.open_slices("crm", "deals")
    assert (left.slice_, left.checkpoint) == (Slice(None, datetime(2026, 3, 1, 12, tzinfo=UTC)), {"after": "7"})
    with again.transaction() as opened:
        assert opened.scalar(select(t.meta.c.value).where(t.meta.c.key == "version")) == str(t.VERSION)
        assert "slices" not in inspect(opened).get_table_names()


def test_a_ledger_of_version_2_keeps_its_operations(url: str, open_ledger: Open):
    ledger, new = open_ledger(url), ("key", "confirmed", "read_back_at")
    with ledger.transaction() as opened:
        for name in new:
            opened.exec_driver_sql(f'ALTER TABLE operations DROP COLUMN "{name}"')
        old = Table("operations", MetaData(), autoload_with=opened)
        stamp = "2026-03-01T12:00:00.000000+00:00"
        row = {column.name: "x" for column in old.columns} | {"before": {}, "after": {"f": 1}, "attempt": 1}
        opened.execute(insert(old).values(row | {"intended_at": stamp, "settled_at": stamp, "delivery": "scores"}))
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="2"))
    (left,) = open_ledger(url).operations("scores")
    assert (left.after, left.key, left.confirmed, left.read_back_at) == ({"f": 1}, None, None, None)


def test_a_ledger_of_version_3_keeps_its_sightings(url: str, open_ledger: Open):
    ledger, noon = open_ledger(url), datetime(2026, 3, 1, 12, tzinfo=UTC)
    seen = FieldRecord("crm", "accounts", "vat", "text", "", False, noon, noon, seen_in=59, seen_of=60)
    ledger.keep_sightings("crm", "accounts", [seen], noon)
    with ledger.transaction() as opened:
        for name in ("missed", "missed_at"):
            opened.exec_driver_sql(f"ALTER TABLE source_fields DROP COLUMN {name}")
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="3"))
    again = open_ledger(url)
    assert again.sightings() == [seen]
    again.keep_sightings("crm", "accounts", [replace(seen, missed=1, missed_at=noon)], noon)
    assert again.sightings() == [replace(seen, missed=1, missed_at=noon)]


def test_a_ledger_of_version_4_keeps_its_counts_and_one_account_a_connection(url: str, open_ledger: Open):
    ledger, noon = open_ledger(url), datetime(2026, 3, 1, 12, tzinfo=UTC)
    total = SliceCount("crm", "accounts", Slice(), noon, 35, source_new=2, is_total=True, run_id="r")
    ledger.note_balance(replace(total, source_held=1))
    for key, account in (("target:crm", "portal"), ("source:crm", "portal"), ("source:erp", "books")):
        ledger.pinned(key, account)
    with ledger.transaction() as opened:
        opened.exec_driver_sql("ALTER TABLE balances DROP COLUMN source_held")
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="4"))
    again = open_ledger(url)
    assert again.balances("crm", "accounts") == [total]
    assert [again.pinned(f"account:{name}", "another") for name in ("crm", "erp")] == ["portal", "books"]
    assert [again.pinned(key, "none") for key in ("target:crm", "source:crm", "source:erp")] == ["none"] * 3


def test_a_ledger_of_version_3_begins_slices_anew_of_which_only_a_number_is_known(url: str, open_ledger: Open):
    ledger = open_ledger(url)
    with ledger.transaction() as opened:
        opened.execute(text("ALTER TABLE open_slices ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0"))
        for stream, skipped in (("deals", 0), ("accounts", 7)):
            row = {"connection": "crm", "stream": stream, "checkpoint": {"after": "7"}, "mark": 0, "is_read": False}
            opened.execute(insert(t.open_slices).values(row | {"run_id": "r", "updated_at": datetime.now(UTC)}))
            opened.execute(text("UPDATE open_slices SET skipped = :n WHERE stream = :s"), {"n": skipped, "s": stream})
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="3"))
    again = open_ledger(url)
    assert [len(again.open_slices("crm", stream)) for stream in ("deals", "accounts")] == [1, 0]
    with again.transaction() as opened:
        assert "skipped" not in {column["name"] for column in inspect(opened).get_columns("open_slices")}
