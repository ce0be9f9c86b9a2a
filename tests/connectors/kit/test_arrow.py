"""Arrow columns of plain values, made without pandas."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

from connectors.kit.arrow import INSTANT, int64_array, string_array, timestamp_array

LONG_AGO = datetime(1869, 7, 1, 3, 4, 5, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30)))


@pytest.mark.parametrize("values", [[], [""], ["a", "", "ü€😀", "a" * 1000]])
def test_texts_are_what_pyarrow_makes_of_them(values):
    made = string_array([value.encode() for value in values])
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@pytest.mark.parametrize("values", [[], [0, -1, 2**63 - 1, -(2**63)]])
def test_numbers_are_what_pyarrow_makes_of_them(values):
    assert int64_array(values).equals(pa.array(values, pa.int64()))


def test_instants_keep_to_their_zones():
    """Once pandera is imported, `pa.array` takes the figures of any zone as if they were UTC."""
    made = timestamp_array([LONG_AGO, datetime(2026, 10, 20, 5, 0, 0, 1, tzinfo=UTC)])
    assert made.type == INSTANT
    assert [str(one) for one in made] == ["1869-06-30 21:34:05.999999+00:00", "2026-10-20 05:00:00.000001+00:00"]
