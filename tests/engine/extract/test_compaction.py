"""Files of the lake that mostly hold superseded rows are rewritten; nobody who reads them notices."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors.kit.stream import Slice
from engine.extract.compaction import compact_all, rewrite
from engine.extract.stored_stream import StoredStream
from engine.storage.lease import lease
from engine.storage.sync_state import Progress
from tests.engine.extract.toy import ExtractEnv


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExtractEnv:
    monkeypatch.setattr("engine.extract.compaction.ROWS", 10)
    made = ExtractEnv(tmp_path, monkeypatch)
    made.world.fill(20)
    for night in range(3):
        made.read()
        made.world.now += timedelta(days=1)
        for number in range(1, 21):
            made.world.put(number, f"night {night}")
        made.world.now += timedelta(hours=1)
    made.read()
    return made


def rows(here: ExtractEnv) -> int:
    return sum(file.rows for file in here.project.ledger.files.for_asset("raw/crm/accounts"))


def test_only_the_newest_versions_stay(here: ExtractEnv):
    before = here.held()
    assert rows(here) == 80
    assert rewrite(here.project, "crm", here.stream, 20, "build")
    assert (rows(here), here.held()) == (20, before)
    here.world.now += timedelta(days=1)
    assert here.read().landed == 0


def test_a_field_mapped_later_is_filled_also_of_a_record_with_half_a_surrogate_pair(here: ExtractEnv):
    here.world.put(1, city="Berlin", note="\ud800")
    here.world.now += timedelta(hours=1)
    here.read()
    held = StoredStream(
        here.project, "raw/crm/accounts", replace(here.stream, fields={**here.stream.fields, "city": "city"})
    )
    compact_all(held)
    (file,) = here.project.lake.proven(here.project.ledger.files.for_asset("raw/crm/accounts"))
    found = pq.read_table(file, columns=["_key", "city"]).to_pylist()
    assert [row["city"] for row in found if row["_key"] == "1"] == ["Berlin"]


@pytest.mark.parametrize("records", [40, 80])
def test_few_superseded_rows_are_left_where_they_are(here: ExtractEnv, records: int):
    assert not rewrite(here.project, "crm", here.stream, records, "build")


def test_nothing_is_rewritten_under_the_hands_of_a_reader(here: ExtractEnv):
    with lease(here.project.ledger, "connection:crm", "reader"):
        assert not rewrite(here.project, "crm", here.stream, 20, "build")
    here.project.ledger.sync.land("crm", "accounts", [], Progress(Slice(), {"last": 3}), "broke off")
    assert not rewrite(here.project, "crm", here.stream, 20, "build")
