"""What a REST API counts beside what was read of it: both are of the same records, however roughly it can be asked."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlsplit

import pyarrow.parquet as pq
import pytest

from engine.config.connection import ConnectionConfig
from engine.config.project import Project
from engine.extract.run import extract

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass
class Source:
    """Answer everything that has changed since, in one page with a count; `offset` is its days' distance from UTC."""

    now: datetime = NOON
    offset: timedelta = timedelta(0)
    stamps: dict[int, datetime] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    takes_end_in: bool = True

    def answer(self, request):
        asked = dict(parse_qsl(urlsplit(request.path).query))
        since, until = (self._moment(asked.get(name)) for name in ("since", "until"))
        found = [
            number
            for number, at in self.stamps.items()
            if (not since or at >= since)
            and (not until or at < until + self.takes_end_in * self._whole(asked["until"]))
        ]
        rows = [{"id": number, "updated_at": self.stamps[number].isoformat()} for number in found]
        body = {"data": [row for row in rows if row["id"] not in self.hidden], "total": len(rows)}
        head = {"Content-Type": "application/json", "Date": format_datetime(self.now, usegmt=True)}
        return 200, head, json.dumps(body).encode()

    def _moment(self, text):
        if not text:
            return None
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC) - self.offset

    def _whole(self, text):
        return DAY if len(text) == len("2026-03-01") else timedelta(microseconds=1)


@pytest.fixture
def source(little):
    made = Source()
    little.answers.append(made.answer)
    return made


@pytest.fixture
def read(source, little, tmp_path):
    """Read the source once more, and answer the stream's result."""
    runs = []

    def run(**cursor):
        stream = {"path": "customers", "record_path": "data", "total_path": "total", "fields": {"account_id": "id"}}
        stream["cursor"] = {"path": "updated_at", "param": "since", **cursor}
        given = {"base_url": little.url, "requests_per_second": 1000, "check_path": "ping"}
        config = ConnectionConfig(connector="rest", settings={**given, "streams": {"accounts": stream}})
        runs.append(f"run-{len(runs)}")
        return next(iter(extract(Project(tmp_path / "defs", tmp_path, connections={"erp": config}), "erp", runs[-1])))

    return run


@pytest.fixture
def held(tmp_path):
    """Tell whom the lake holds."""

    def keys():
        project = Project(tmp_path / "defs", tmp_path, connections={})
        files = [project.lake.full(file.path) for file in project.ledger.files.for_asset("raw/erp/accounts")]
        return {key for file in files for key in pq.read_table(file, columns=["_key"]).column("_key").to_pylist()}

    return keys


@pytest.mark.parametrize("until", [{}, {"until_param": "until"}], ids=["without an end", "with an end"])
@pytest.mark.parametrize("zone", [-8, 0, 2, 13])
def test_nothing_is_missing_where_a_source_is_asked_for_whole_days(source, read, zone, until):
    source.offset = zone * HOUR
    source.stamps = {number: NOON - number * HOUR for number in range(1, 31)}
    assert read(format="date", **until).status == "done"
    for night in (HOUR, DAY, HOUR):
        source.now += night
        source.stamps[1] = source.now - 30 * MINUTE
        result = read(format="date", **until)
        assert (result.status, result.missing) == ("done", 0), result.error


@pytest.mark.parametrize("until", [{}, {"until_param": "until"}], ids=["without an end", "with an end taken in"])
def test_what_changes_in_the_last_minute_is_not_missing(source, read, until):
    source.stamps = {number: NOON - number * HOUR for number in range(1, 31)}
    read(**until)
    source.now += HOUR
    source.stamps |= {2: source.now - timedelta(seconds=20), 3: source.now - MINUTE}
    result = read(**until)
    assert (result.status, result.missing) == ("done", 0), result.error


@pytest.mark.parametrize("cursor", [{}, {"format": "date"}, {"until_param": "until"}])
def test_what_is_counted_and_not_sent_is_missing_all_the_same(source, read, cursor):
    source.stamps = {number: NOON - number * HOUR for number in range(1, 31)}
    read(**cursor)
    source.now += HOUR
    source.stamps[40] = source.stamps[41] = source.now - 30 * MINUTE
    source.hidden = frozenset({40})
    result = read(**cursor)
    assert (result.status, result.missing) == ("short", 1)


@pytest.mark.parametrize(
    ("zone", "takes_end_in", "until"),
    [(zone, True, {}) for zone in (-11, 2, 13)]
    + [(zone, takes_end_in, {"until_param": "until"}) for zone in (-11, 0, 13) for takes_end_in in (True, False)],
)
def test_nothing_is_lost_where_days_begin_elsewhere(source, read, held, zone, takes_end_in, until):
    source.offset, source.takes_end_in = zone * HOUR, takes_end_in
    for night in range(8):
        source.now += 7 * HOUR
        source.stamps |= {10 * night + n: source.now - n * HOUR for n in range(1, 7)}
        result = read(format="date", **until, lookback_minutes=0)
        assert (result.status, held()) == ("done", {*map(str, source.stamps)}), result.error
