"""Which fields there are, by the records alone."""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.extract.schema_drift.json_fields import PIECE, FieldObservation, JsonShape, observe_records, payloads

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def look(*records: Any, mapped: tuple[str, ...] = (), piece: int = PIECE) -> FieldObservation:
    texts = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return observe_records([pa.array(texts, pa.string())], mapped, NOON, piece=piece)


def kinds(seen: FieldObservation) -> dict[str, str]:
    return {path: field.type for path, field in seen.fields.items()}


def test_a_name_that_holds_nul_is_no_field():
    record = {"id": 1, "na\0me": "x", "a": {"\0": {"c": 1}, "b": 2}}
    assert kinds(look(record)) == {"id": "number", "a.b": "number"}


def test_a_record_that_is_nested_without_end_hides_no_field_of_others():
    deep = '{"id":1,"bomb":' + "[" * 20_000 + "]" * 20_000 + "}"
    assert kinds(look(deep, {"id": 2, "name": "A"})) == {"id": "number", "name": "text"}


def test_names_every_field_with_its_kind_three_levels_deep():
    record = {
        "id": 1,
        "name": "A",
        "ok": True,
        "nothing": None,
        "tags": [],
        "a": {"b": {"c": 1.5, "d": {"e": 1}}},
    }
    assert kinds(look(record)) == {
        "id": "number",
        "name": "text",
        "ok": "yes or no",
        "nothing": "",
        "tags": "list",
        "a.b.c": "number",
        "a.b.d": "object",
    }


def test_counts_in_how_many_records_a_field_is_there_empty_or_not():
    seen = look({"id": 1, "x": None}, {"id": 2}, {"id": 3, "x": "y"}, mapped=("x", "never"))
    assert (seen.rows, seen.counts["id"], seen.counts["x"]) == (3, 3, 2)
    assert set(seen.fields) == {"id", "x"}


def test_numbers_are_of_one_kind_and_what_differs_is_mixed():
    assert kinds(look({"n": 1, "m": 1}, {"n": 1.5, "m": "x"})) == {"n": "number", "m": "mixed"}


def test_what_is_mapped_is_found_however_deep_it_lies():
    deep = {"a": {"b": {"c": {"d": 1}}}}
    seen = look(deep, mapped=("a.b.c.d", "a.b.x", "a"))
    assert seen.counts == {"a.b.c": 1, "a.b.c.d": 1, "a": 1}
    assert kinds(seen) == {"a.b.c": "object", "a.b.c.d": "number", "a": "object"}


def test_an_object_with_very_many_keys_is_no_list_of_fields():
    assert kinds(look({"by_day": {f"d{n}": n for n in range(300)}})) == {"by_day": "object"}
    assert len(kinds(look({"a": {f"k{n}": {"x": n, "y": n} for n in range(150)}}))) == 300


@pytest.mark.parametrize("keys", [1, 3])
def test_nor_is_one_that_turns_out_to_have_them(keys: int):
    seen = look(*({"by_day": {f"d{n}_{k}": n for k in range(keys)}} for n in range(300)), mapped=("by_day.d7_0",))
    assert kinds(seen) == {"by_day": "object", "by_day.d7_0": "number"}
    assert seen.counts == {"by_day": 300, "by_day.d7_0": 1}


@pytest.mark.parametrize("odd", ["5", '"x"', "null", "[]", "{}", '{"id":"\\ud800"}', "no json"])
def test_what_is_no_record_is_passed_over(odd: str):
    assert kinds(look(odd, {"id": 1})) == {"id": "number"}
    assert kinds(look(odd)) == {}


def test_keys_that_no_path_can_name_and_the_connectors_own_are_left_out():
    assert kinds(look({"_row": "1", "a.b": 1, "7": 2, 'say "x"': 3, "it's": 4, "x": {"_y": 1}})) == {
        'say "x"': "number",
        "it's": "number",
        "x._y": "number",
    }


def test_tombstones_tell_nothing_of_fields(tmp_path: Path):
    rows = pa.table({"_payload": ['{"id":1}', "{}"], "_deleted": [False, True], "_key": ["1", "2"]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    assert observe_records(payloads([str(tmp_path / "rows.parquet")]), (), NOON).rows == 1


@pytest.mark.parametrize("size", [1, 40, 1 << 20])
def test_a_look_piece_by_piece_sees_what_one_at_once_sees(size: int):
    records = [
        {"id": 1, "name": "A", "n": 1, "late": None},
        {"id": 2, "name": {"first": "A"}, "n": 1.5},
        {"id": 3, "name": "B", "n": 2, "late": "x", "rare": [1]},
        "null",
    ]
    seen = look(*records, mapped=("name", "never"), piece=size)
    assert (seen.rows, dict(seen.counts)) == (
        3,
        {"id": 3, "name": 3, "n": 3, "late": 2, "rare": 1} | ({} if size > 40 else {"name.first": 1}),
    )
    assert kinds(seen) | {"name.first": "text"} == {
        "id": "number",
        "name": "mixed",
        "name.first": "text",
        "n": "number",
        "late": "text",
        "rare": "list",
    }


def test_what_only_a_late_record_brings_is_seen_at_every_depth():
    early = {"id": 1, "a": {"b": {"c": 1}}, "empty": {}, "was": "text"}
    assert look({"empty": {}}, {"empty": {"f": 4}}, piece=1).counts == {"empty": 2, "empty.f": 1}
    late = {"id": 2, "a": {"b": {"c": 1, "d": 2}, "e": 3}, "empty": {"f": 4}, "was": {"g": 5}, "h": 6}
    assert look(*[early] * 3, late, piece=1).counts | {"empty": 4, "was": 4} == {
        "id": 4,
        "a.b.c": 4,
        "a.b.d": 1,
        "a.e": 1,
        "empty": 4,
        "empty.f": 1,
        "was": 4,
        "was.g": 1,
        "h": 1,
    }


def test_a_closer_look_is_taken_only_where_something_is_new(monkeypatch: pytest.MonkeyPatch):
    learnt = []
    learn = JsonShape.learn

    def noted(self: JsonShape, shape: Any, *given: Any) -> None:
        learnt.append(shape)
        learn(self, shape, *given)

    monkeypatch.setattr(JsonShape, "learn", noted)
    record = {"_row": "1", "a.b": {"x": 1}, "7": 2, 'say "x"': 3, "": 4, "*": 5, "x/y~z": 6, "many": {"n": None}}
    assert look(*[record] * 5, piece=1).rows == 5
    assert len(learnt) == 2  # the record, and the object in it


NAMES = st.sampled_from(["a", "b", "c", "_own", "a.b", "7", 'q"x', "it's", "x/y", "~t", "é", "*", ""])
SHAPES = st.dictionaries(
    NAMES, st.recursive(st.none(), lambda inner: st.dictionaries(NAMES, inner, min_size=1), max_leaves=8)
)


def filled(shape: Any, chance: random.Random) -> Any:
    """Make a record of a shape, in which anything may be lacking and any leaf be empty."""
    if shape is None:
        return chance.choice([1, "x", None, [], True])
    return {name: filled(inner, chance) for name, inner in shape.items() if chance.random() < 0.7}


def counted(shape: Any, record: Any, prefix: str = "", depth: int = 1) -> Counter[str]:
    """Count the fields of one record, told by the shape that it was made of."""
    found = Counter[str]()
    for name, inner in shape.items():
        path = prefix + name
        if name in record and name and "." not in name and not name.isdecimal() and not (depth == 1 and name[0] == "_"):
            found += (
                Counter([path]) if inner is None or depth == 3 else counted(inner, record[name], f"{path}.", depth + 1)
            )
    return found


@settings(max_examples=15, deadline=None)
@given(SHAPES, st.integers(0, 6), st.sampled_from([1, 60, 1 << 20]), st.randoms(use_true_random=False))
def test_counts_are_those_of_each_record_by_itself(shape: Any, count: int, size: int, chance: random.Random):
    records = [filled(shape, chance) for _ in range(count)]
    seen = look(*records, piece=size)
    expected = sum((counted(shape, record) for record in records), Counter())
    assert seen.rows == count
    assert {path: number for path, number in seen.counts.items() if path in expected} == expected
    assert (
        {path for path in seen.counts if path not in expected}
        <= {  # an object that was empty at first
            path[: place.start()] for path in _paths(shape) for place in re.finditer(r"[.]|$", path)
        }
    )


def _paths(shape: Any, prefix: str = "") -> list[str]:
    return [
        path
        for name, inner in shape.items()
        for path in ([prefix + name] if inner is None else _paths(inner, f"{prefix}{name}."))
    ]


def test_its_memory_is_bounded_by_the_piece_and_not_by_the_stream():
    """The engine keeps all that it has looked at until a query ends: 2.3 GiB for 400,000 records at once."""
    texts = pa.array([json.dumps({f"f{k}": f"value {k} {n}" for k in range(25)}) for n in range(4000)], pa.string())
    look(*texts.to_pylist()[:100])
    before = getrusage(RUSAGE_SELF).ru_maxrss
    assert observe_records([texts] * 25, (), NOON).rows == 100_000
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_landing_and_looking_do_not_import_pandas():
    """Pages are stamped by the second; to spread their stamps over the rows took a quarter of a second of imports."""
    code = (
        "import sys; from datetime import UTC, datetime, timedelta; from connectors.kit.raw_rows import Page; "
        "from connectors.kit.stream import Stream; "
        "from engine.extract.lake_writer import typed; from engine.extract.schema_drift.json_fields import observe_records; "
        "stream, now = Stream('s', 'id', {'a': 'b'}, cursor='at'), datetime.now(UTC); "
        "pages = [Page(stream, [b'{}'], now + timedelta(seconds=n), {}) for n in range(2)]; "
        "rows = typed(pages); "
        "observe_records([rows.column('_payload').combine_chunks()], [], now); "
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
