"""What Spark has to do as DuckDB does, and what Ibis leaves to each engine's own ideas."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.kit.errors import SettingsError
from engine.storage.backend import backend, factory
from tests.conftest import SPARK
from transforms.conform.casting import read
from transforms.conform.expressions import plain
from transforms.conform.payload import is_structure, lacks, text_at

pytestmark = pytest.mark.spark
PAYLOADS = [
    '{"a": {"k": "text"}}',
    '{"a": {"k": "[1]"}}',
    '{"a": {"k": ["1", "2"]}}',
    '{"a": {"k": {"z": 1.50, "b": [1, 2]}}}',
    '{"a": {"k": 1.50}}',
    '{"a": {"k": 12345678901234567890123}}',
    '{"a": {"k": true}}',
    '{"a": {"k": null}}',
    '{"a": {"k": "a\\u00e4\\n\\"x"}}',
    '{"a": {"k": ""}}',
    '{"a": {"k": "x"}, "b": "\\ud800"}',
    '{"a": {"k": "\\\\ud800 \\uD83D\\ude00\\ude00 \\ud83d\\u0041"}}',
    '{"a": 1}',
    "nonsense",
    None,
]
TEXTS = ["false", " vif\t\v\f", "a.b..c", "\x00", "1.5d", "0x1p3", "1e5", "1_000", "$1 \\ x", "Ẓ ẞ", "x\n", None]
NUMBERS = "1.5d|1.5f|0x1p3|1_000| 7|7 |1e5|1e400|nan|Infinity|-0.005|.5|5.|+5|12345678901234567890|-|"
INSTANTS = (
    "2024-02-29|2024-02-30|2024-2-9|2024-02-29T23:59:60Z|2024-02-29T10:00|2024-02-29 10:00:00.1234567|"
    "2024-02-29T10:00:00+05:30|2024-02-29T10:00:00 +0200|2024-02-29 24:00:00|2024-02-29 10:00Z|2024-02-29T10:00+02|"
    "2024-02-29 10:00 UTC|1969-12-31T23:59:59.5Z|0001-01-01T00:00:00Z"
)
DAY = date(2024, 2, 29)


@pytest.fixture(scope="module")
def duckdb() -> Any:
    return backend.connect(threads=1)


def both(spark: Any, duckdb: Any, rows: pa.Table, make: Any) -> tuple[Any, Any]:
    """Work out the same expression on both engines."""
    ours, theirs = (make(backend.table(engine, rows)).to_pyarrow() for engine in (duckdb, spark))
    assert theirs.schema == ours.schema
    return theirs.to_pylist(), ours.to_pylist()


def test_payloads_are_read_alike(spark: Any, duckdb: Any):
    theirs, ours = both(
        spark,
        duckdb,
        pa.table({"_payload": PAYLOADS}),
        lambda raw: raw.select(
            text=text_at(raw, "a.k"),
            item=text_at(raw, "a.k.1"),
            lacks=lacks(raw, "a.k"),
            is_structure=is_structure(raw, "a.k"),
        ),
    )
    assert theirs == ours
    assert [row["lacks"] for row in ours] == [False] * 12 + [True] * 3


def test_texts_are_trimmed_cut_and_replaced_alike(spark: Any, duckdb: Any):
    theirs, ours = both(
        spark,
        duckdb,
        pa.table({"text": TEXTS}),
        lambda t: t.select(
            bare=t.text.strip(),
            parts=t.text.split("."),
            second=t.text.split(".")[1],
            last=t.text.split(".")[-1],
            swapped=t.text.re_replace(r"^(.)(.)", r"\2-\1"),
            marked=t.text.re_replace(r"(\d)|[a-z]", "\\1\x01"),
            found=t.text.re_extract(r"(\d+)", 1),
            nul=t.text.contains("\x00"),
            start=t.text.substr(0, 2),
            end=t.text.right(2),
            lower=t.text.lower(),
            upper=t.text.upper(),
            size=t.text.length(),
        ),
    )
    assert theirs == ours


def test_numbers_and_instants_are_read_from_text_alike(spark: Any, duckdb: Any):
    types = {"f": "float64", "i": "int64", "d": "decimal(18, 2)", "on": "date", "at": "timestamp('UTC')"}
    theirs, ours = both(
        spark,
        duckdb,
        pa.table({"text": NUMBERS.split("|") + INSTANTS.split("|")}),
        lambda t: t.select("text", **{name: read(t.text, ibis.dtype(kind)) for name, kind in types.items()}),
    )
    assert theirs == ours
    read_as_float = {row["text"] for row in ours if row["f"] is not None}
    assert read_as_float == {" 7", "7 ", "1e5", "-0.005", ".5", "5.", "+5", "12345678901234567890"}


def test_floats_are_rounded_alike(spark: Any, duckdb: Any):
    ties = [-0.175, 0.175, 1.005, 1.115, 2.675, 0.125, 8.345, 10.235, 1e22, 2.5e-3, 0.615, -2.5, 3.5, None]
    theirs, ours = both(
        spark,
        duckdb,
        pa.table({"x": ties}),
        lambda t: t.select(two=t.x.round(2), nine=(t.x / 7).round(9), whole=t.x.clip(-9, 9).round()),
    )
    assert theirs == ours
    assert [row["two"] for row in ours[:5]] == [-0.18, 0.18, 1.0, 1.12, 2.68]  # 100 times 1.005 is less than 100.5


def test_groups_are_listed_in_order_and_instants_are_written(spark: Any, duckdb: Any):
    rows = pa.table({"g": ["a", "a", "a", "b"], "x": ["z", "y", None, None], "n": [1.0, 2.0, 3.0, None]})
    moment = datetime(2024, 2, 29, 7, 5, 9, tzinfo=UTC)
    theirs, ours = both(
        spark,
        duckdb,
        rows,
        lambda t: (
            t.group_by("g")
            .agg(
                up=t.x.group_concat(",", order_by=t.n),
                down=t.x.group_concat(",", order_by=[t.n.desc()]),
                some=t.x.group_concat(", ", where=t.n > 1, order_by=t.n),
                ids=t.x.collect(order_by=t.x),
                cuts=t.n.quantile([0.25, 0.5]),
            )
            .mutate(at=ibis.literal(moment).strftime("%Y-%m-%dT%H:%M:%SZ"))
            .order_by("g")
        ),
    )
    assert theirs == ours
    assert ours[0]["up"] == "z,y"
    assert ours[0]["at"] == "2024-02-29T07:05:09Z"


def test_days_are_added_alike(spark: Any, duckdb: Any):
    theirs, ours = both(
        spark,
        duckdb,
        pa.table({"on": [DAY], "n": [366]}),
        lambda t: t.select(
            later=(t.on.cast("timestamp") + t.n.as_interval("D")).date(),
            soon=t.on.cast("timestamp('UTC')") + (t.n * 1001).as_interval("ms"),
            between=t.on.delta(ibis.date("2023-02-28"), unit="day"),
        ),
    )
    assert theirs == ours


def test_a_file_has_the_content_that_duckdb_writes(spark: Any, duckdb: Any, tmp_path: Path):
    expected = pa.table(
        {
            "key": pa.array([3, 1, 2]),
            "amount": pa.array([Decimal("1.20"), None, Decimal("-3.00")], pa.decimal128(18, 2)),
            "at": pa.array([datetime(2024, 2, 29, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
            "local": pa.array([datetime(2024, 2, 29)] * 3, pa.timestamp("us")),  # noqa: DTZ001
            "on": [DAY, None, DAY],
        }
    )
    folder = tmp_path / "a [strange] * place"
    folder.mkdir()
    files = []
    for name, engine in (("duckdb", duckdb), ("spark", spark)):
        files.append(str(folder / f"{name}.parquet"))
        table = backend.keep(engine, backend.table(engine, expected)).mutate(rate=ibis.literal(0.92)).order_by("key")
        assert backend.write(engine, table, files[-1]) == 3
    ours, theirs = (pq.ParquetFile(file) for file in files)
    assert shape(theirs) == shape(ours)
    assert theirs.read().to_pylist() == ours.read().to_pylist()
    assert sorted(path.name for path in folder.iterdir()) == ["duckdb.parquet", "spark.parquet"]


def shape(file: pq.ParquetFile) -> list[tuple[str, str, pa.DataType]]:
    kinds = [field.type for field in file.schema_arrow]
    return [(column.name, column.physical_type, kind) for column, kind in zip(file.schema, kinds, strict=True)]


def test_nan_and_infinity_are_recognised_alike(spark: Any, duckdb: Any):
    rows = pa.table({"x": [1.0, float("inf"), float("-inf"), float("nan"), None]})
    theirs, ours = both(spark, duckdb, rows, lambda t: t.select(inf=t.x.isinf(), nan=t.x.isnan()))
    assert theirs == ours
    assert [row["inf"] for row in ours] == [False, True, True, False, None]


def test_words_of_other_scripts_are_normalised_alike(spark: Any, duckdb: Any):
    names = ["ΟΜΗΡΟΣ ΑΕ", "Όμηρος", "İstanbul Işık", "STRASSE Straße", "ﬁn ŉ", "Łódź", "北京 有限公司", "e\u0301"]
    theirs, ours = both(spark, duckdb, pa.table({"name": names}), lambda t: t.select(name=plain(t.name)))
    assert theirs == ours
    assert ours[0]["name"] == "ομηροσ αε"


def test_files_are_read_by_column_name(spark: Any, duckdb: Any, tmp_path: Path):
    older, newer = str(tmp_path / "1 [a].parquet"), str(tmp_path / "2.parquet")
    pq.write_table(pa.table({"a": ["x"]}), older)
    pq.write_table(pa.table({"b": [1], "a": ["y"]}), newer)
    tables = [backend.read(engine, [older, newer]).order_by("a").select("a", "b") for engine in (duckdb, spark)]
    assert tables[1].schema() == tables[0].schema()
    assert (
        tables[1].to_pyarrow().to_pylist()
        == tables[0].to_pyarrow().to_pylist()
        == [{"a": "x", "b": None}, {"a": "y", "b": 1}]
    )
    assert backend.read(spark, [], pa.schema([("a", pa.string())])).count().to_pyarrow().as_py() == 0


def test_a_table_goes_to_duckdb_and_back(spark: Any):
    duckdb_engine, at_hand = backend.local(spark, backend.table(spark, pa.table({"a": [1, 2]})))
    assert isinstance(duckdb_engine, backend.DuckDB)
    table = backend.back(spark, at_hand.filter(at_hand.a > 1))
    assert table.mutate(b=table.a + 1).to_pyarrow().to_pylist() == [{"a": 2, "b": 3}]


def test_settings_that_spark_refuses_are_reported_in_one_line(spark: Any):
    with pytest.raises(SettingsError, match="^engine: Spark does not start with these settings [^\n]*$"):
        factory.spark(SPARK.master, {"spark.sql.shuffle.partitions": "many"})
