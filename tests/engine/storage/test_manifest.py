"""The manifest: which files count, which build is current, what may be thrown away."""

from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

from sqlalchemy import update

from engine.storage import ledger_tables as t
from engine.storage.ledger import Ledger
from engine.storage.manifest import Written

TODAY = date(2026, 3, 1)


def file(asset: str, name: str, rows: int = 1) -> Written:
    return Written(asset, f"{asset}/{name}.parquet", rows, 100, "0" * 64)


def built(ledger: Ledger, snapshot: str, *tables: str) -> None:
    for table in tables:
        ledger.snapshots.add_table(snapshot, file(table, snapshot), "run")
    ledger.snapshots.switch(snapshot, TODAY, "run")


def holding(ledger: Ledger, table: str, snapshot: str | None = None) -> list[str]:
    return [file.path for file in ledger.files.for_asset(table, snapshot)]


def aged(ledger: Ledger, days: float) -> None:
    """Let every file be older."""
    with ledger.transaction() as opened:
        opened.execute(update(t.manifest).values(created_at=datetime.now(UTC) - timedelta(days=days)))


def test_a_table_of_an_unfinished_build_is_not_current(ledger: Ledger):
    ledger.snapshots.add_table("one", file("deals", "one"), "run")
    assert ledger.files.for_asset("deals") == []
    assert ledger.snapshots.current() is None


def test_all_tables_of_a_build_become_current_at_once(ledger: Ledger):
    built(ledger, "one", "deals", "tickets")
    ledger.snapshots.add_table("two", file("deals", "two"), "run")
    ledger.snapshots.add_table("two", file("tickets", "two"), "run")
    assert holding(ledger, "deals") == ["deals/one.parquet"]
    ledger.snapshots.switch("two", TODAY, "run")
    assert holding(ledger, "deals") == ["deals/two.parquet"]
    assert holding(ledger, "tickets") == ["tickets/two.parquet"]
    current = ledger.snapshots.current()
    assert current is not None
    assert (current.id, current.as_of) == ("two", TODAY)


def test_a_reader_sees_the_old_build_or_the_new_one_whole(ledger: Ledger):
    tables = ("a", "b", "c", "d")
    built(ledger, "s0", *tables)
    over, readings = Event(), []

    def read() -> None:
        while not over.is_set():
            snapshot = ledger.snapshots.current()
            assert snapshot is not None
            readings.append(
                (snapshot.id, {path.split("/")[1] for table in tables for path in holding(ledger, table, snapshot.id)})
            )

    reader = Thread(target=read)
    reader.start()
    for number in range(1, 8):
        built(ledger, f"s{number}", *tables)
    over.set()
    reader.join()
    assert readings
    assert all(names == {f"{snapshot}.parquet"} for snapshot, names in readings)


def test_a_table_that_a_build_lacks_is_taken_over_from_the_last(ledger: Ledger):
    built(ledger, "one", "deals", "tickets")
    built(ledger, "two", "deals")
    assert holding(ledger, "tickets") == ["tickets/one.parquet"]
    assert holding(ledger, "deals", "one") == ["deals/one.parquet"]
    assert [snapshot.id for snapshot in ledger.snapshots.all()] == ["two", "one"]


def test_adding_a_table_again_replaces_it(ledger: Ledger):
    ledger.snapshots.add_table("one", file("deals", "early"), "run")
    ledger.snapshots.add_table("one", file("deals", "late"), "run")
    ledger.snapshots.switch("one", TODAY, "run")
    assert holding(ledger, "deals") == ["deals/late.parquet"]
    assert ledger.snapshots.retire(keep=5) == ["deals/early.parquet"]


def test_old_builds_are_dropped_and_shared_files_stay(ledger: Ledger):
    built(ledger, "one", "deals", "tickets")
    built(ledger, "two", "deals")
    built(ledger, "three", "deals")
    assert ledger.snapshots.retire(keep=2) == ["deals/one.parquet"]
    assert [snapshot.id for snapshot in ledger.snapshots.all()] == ["three", "two"]
    assert holding(ledger, "tickets") == ["tickets/one.parquet"]


def test_unneeded_files_are_returned_until_they_are_removed(ledger: Ledger):
    built(ledger, "one", "deals")
    built(ledger, "two", "deals")
    assert ledger.snapshots.retire(keep=1) == ["deals/one.parquet"]
    assert ledger.snapshots.retire(keep=1) == ["deals/one.parquet"]  # the first try was killed before the file went
    ledger.files.remove(["deals/one.parquet"])
    assert ledger.snapshots.retire(keep=1) == []
    assert ledger.files.paths() == {"deals/two.parquet"}


def test_the_current_build_is_never_dropped(ledger: Ledger):
    built(ledger, "one", "deals")
    assert ledger.snapshots.retire(keep=0) == []
    assert holding(ledger, "deals") == ["deals/one.parquet"]


def test_an_unfinished_build_keeps_its_tables(ledger: Ledger):
    built(ledger, "one", "deals")
    ledger.snapshots.add_table("two", file("deals", "two"), "run")
    assert ledger.snapshots.retire(keep=1) == []
    ledger.snapshots.switch("two", TODAY, "run")
    assert holding(ledger, "deals") == ["deals/two.parquet"]


def test_the_tables_of_a_dead_build_are_dropped_after_a_day(ledger: Ledger):
    built(ledger, "one", "deals")
    ledger.snapshots.add_table("dead", file("deals", "dead"), "run")
    aged(ledger, days=1.1)
    assert ledger.snapshots.retire(keep=1) == ["deals/dead.parquet"]
    assert holding(ledger, "deals") == ["deals/one.parquet"]


def test_one_file_replaces_many(ledger: Ledger):
    asset = "raw/crm/deals"
    many = [file(asset, f"page{number}", rows=2) for number in range(3)]
    ledger.files.add([*many, file("raw/crm/tickets", "page0")], "run")
    ledger.files.replace(many, file(asset, "all", rows=6), "compaction")
    assert holding(ledger, asset) == [f"{asset}/all.parquet"]
    assert holding(ledger, "raw/crm/tickets") == ["raw/crm/tickets/page0.parquet"]
    assert sorted(ledger.snapshots.retire(keep=1)) == [written.path for written in many]


def test_plans_and_outcomes_are_kept(ledger: Ledger):
    ledger.files.add([file("plan/scores", "a"), file("delivered/scores", "b")], "run")
    assert ledger.snapshots.retire(keep=1) == []


def test_more_files_than_a_statement_may_name(sqlite: Ledger):
    many = [file("raw/crm/deals", str(number)) for number in range(33_000)]  # SQLite allows 32,766 values
    sqlite.files.add(many, "run")
    sqlite.files.add(many, "run")
    assert len(sqlite.files.paths()) == 33_000
    sqlite.files.replace(many, file("raw/crm/deals", "all"), "run")
    assert holding(sqlite, "raw/crm/deals") == ["raw/crm/deals/all.parquet"]
    sqlite.files.remove(sqlite.snapshots.retire(keep=1))
    assert sqlite.files.paths() == {"raw/crm/deals/all.parquet"}


def test_rows_that_landed_after_a_mark_are_counted(ledger: Ledger):
    assert ledger.files.newest_id() == 0
    ledger.files.add([file("raw/crm/deals", "a", rows=5)], "run")
    mark = ledger.files.newest_id()
    ledger.files.add([file("raw/crm/deals", "b", rows=2), file("raw/crm/deals", "c", rows=3)], "run")
    ledger.files.add([file("raw/crm/tickets", "a", rows=7)], "run")
    assert ledger.files.rows_since(mark) == {"raw/crm/deals": 5, "raw/crm/tickets": 7}
