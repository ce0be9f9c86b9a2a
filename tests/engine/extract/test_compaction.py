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
from engine.storage.stores.sync_state import Progress
from tests.engine.extract.toy import ExtractEnv


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExtractEnv:
    extract_env = ExtractEnv(tmp_path, monkeypatch)
    extract_env.world.fill(20)
    for night in range(3):
        extract_env.read()
        extract_env.world.now += timedelta(days=1)
        for number in range(1, 21):
            extract_env.world.put(number, f"night {night}")
        extract_env.world.now += timedelta(hours=1)
    extract_env.read()
    return extract_env


def rows(env: ExtractEnv) -> int:
    return sum(file.rows for file in env.project.ledger.files.for_asset("raw/crm/accounts"))


def test_only_the_newest_versions_stay(env: ExtractEnv):
    before = env.names()
    assert rows(env) == 80
    assert rewrite(env.project, "crm", env.stream, 20, "build", min_rows=10)
    assert (rows(env), env.names()) == (20, before)
    env.world.now += timedelta(days=1)
    assert env.read().landed == 0


def test_a_field_mapped_later_is_filled_also_of_a_record_with_half_a_surrogate_pair(env: ExtractEnv):
    env.world.put(1, city="Berlin", note="\ud800")
    env.world.now += timedelta(hours=1)
    env.read()
    held = StoredStream(
        env.project, "raw/crm/accounts", replace(env.stream, fields={**env.stream.fields, "city": "city"})
    )
    compact_all(held)
    (file,) = env.project.lake.proven(env.project.ledger.files.for_asset("raw/crm/accounts"))
    found = pq.read_table(file, columns=["_key", "city"]).to_pylist()
    assert [row["city"] for row in found if row["_key"] == "1"] == ["Berlin"]


@pytest.mark.parametrize("records", [40, 80])
def test_few_superseded_rows_are_left_where_they_are(env: ExtractEnv, records: int):
    assert not rewrite(env.project, "crm", env.stream, records, "build", min_rows=10)


def test_nothing_is_rewritten_under_the_hands_of_a_reader(env: ExtractEnv):
    with lease(env.project.ledger, "connection:crm", "reader"):
        assert not rewrite(env.project, "crm", env.stream, 20, "build", min_rows=10)
    env.project.ledger.sync.land("crm", "accounts", [], Progress(Slice(), {"last": 3}), "broke off")
    assert not rewrite(env.project, "crm", env.stream, 20, "build", min_rows=10)
