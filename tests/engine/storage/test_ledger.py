"""Opening a ledger: who may read it, which version it has, what it says when it cannot be used."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy
from sqlalchemy import insert, select, update

from connectors.kit.errors import BusyError, SettingsError
from connectors.kit.stream import Slice
from engine.storage import ledger_tables as t
from engine.storage.ledger import Ledger
from engine.storage.migrations.steps import VERSION
from engine.storage.stores.sync_state import Progress

Open = Callable[[str], Ledger]


def test_a_ledger_keeps_the_id_it_was_created_with(url: str, open_ledger: Open):
    first, again = open_ledger(url), open_ledger(url)
    assert first.ledger_id == again.ledger_id
    assert len(first.ledger_id) == 32


def test_another_ledger_has_another_id(tmp_path: Path, open_ledger: Open):
    first, other = (open_ledger(f"sqlite:///{tmp_path / name}.db").ledger_id for name in ("one", "other"))
    assert first != other


def test_a_ledger_that_a_newer_belvedere_wrote_is_refused(url: str, open_ledger: Open):
    ledger = open_ledger(url)
    with ledger.transaction() as opened:
        opened.execute(update(t.meta).where(t.meta.c.key == "version").values(value="99"))
    with pytest.raises(SettingsError, match=f"version 99, this Belvedere supports up to {VERSION}: upgrade Belvedere"):
        open_ledger(url)


def test_only_its_owner_may_read_a_ledger(tmp_path: Path, open_ledger: Open):
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
    ledger.pins.pin("count", "0")

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
    assert ledger.pins.pin("count", "") == "30"


def test_several_may_open_a_new_one_at_once(url: str, open_ledger: Open):
    born: list[str] = []
    threads = [Thread(target=lambda: born.append(open_ledger(url).ledger_id)) for _ in range(4)]
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
def test_a_url_that_names_no_database_is_a_wrong_setting(url: str):
    with pytest.raises(SettingsError, match="BELVEDERE_LEDGER_URL cannot be opened"):
        Ledger(url)


def test_rows_stay_out_of_error_texts(sqlite: Ledger):
    row = {"key": "person", "value": "ada@example.com"}
    with pytest.raises(sqlalchemy.exc.IntegrityError) as raised, sqlite.transaction() as opened:
        opened.execute(insert(t.meta), [row, row])
    assert "ada@example.com" not in str(raised.value)


def test_instants_come_back_aware_in_utc_and_sort_as_text(ledger: Ledger):
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    ledger.sync.land("crm", "deals", [], Progress(Slice(None, noon), {"page": 2}), "run")
    (slice_,) = ledger.sync.open_slices("crm", "deals")
    assert slice_ is not None
    assert slice_.slice_.end == noon
    assert slice_.slice_.end.utcoffset() == timedelta(0)


def test_an_instant_without_a_zone_is_refused(sqlite: Ledger):
    with pytest.raises(sqlalchemy.exc.StatementError, match="an instant needs a time zone"):
        sqlite.sync.land("crm", "deals", [], Progress(Slice(None, datetime(2026, 3, 1)), None), "run")  # noqa: DTZ001


def test_the_first_value_of_a_key_is_pinned(ledger: Ledger):
    assert ledger.pins.pin("target:x", "portal 1") == "portal 1"
    assert ledger.pins.pin("target:x", "portal 2") == "portal 1"


def test_the_newest_summary_of_a_stage_is_found(ledger: Ledger):
    assert ledger.runs.last("build") is None
    ledger.runs.record("r1", "build", {"snapshot": "a"})
    ledger.runs.record("r2", "build", {"snapshot": "b"})
    ledger.runs.record("r3", "extract:crm", {"status": "done"})
    last = ledger.runs.last("build")
    assert last is not None
    assert (last["run_id"], last["summary"]) == ("r2", {"snapshot": "b"})
    assert datetime.now(UTC) - last["at"] < timedelta(minutes=5)


def test_deleted_values_are_erased_from_the_file(sqlite: Ledger):
    sqlite.pins.pin("person", "ada@example.com" * 20)
    path = str(sqlite.url.database)
    with sqlite.transaction() as opened:
        opened.execute(t.meta.delete().where(t.meta.c.key == "person"))
    sqlite.engine.dispose()
    assert b"ada@example.com" not in Path(path).read_bytes()
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()
