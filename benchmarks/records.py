"""Pages of JSON to raw rows: ours beside the floor that only cuts, and beside parsing every record in Python.

Prints records a CPU second and the ratio to the floor; all in one run, since machines differ.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

import pyarrow as pa

from connectors.kit.raw_rows import cut, raw_table
from connectors.kit.stream import Stream

FIELDS = [f"field_{number}" for number in range(15)]
STREAM = Stream("deals", "id", {name: f"properties.{name}" for name in FIELDS}, cursor="properties.modified")
PAGES, SIZE, CHUNK = 100, 500, 10_000


def page(number: int) -> bytes:
    """Make one page as HubSpot sends it."""
    properties = {name: f"value of {name}" for name in FIELDS} | {"modified": "2026-01-02T03:04:05.678Z"}
    records = [{"id": str(number * SIZE + place), "properties": properties, "archived": False} for place in range(SIZE)]
    return json.dumps({"results": records, "paging": {}}).encode()


def in_python(body: bytes) -> pa.Table:
    """Parse every record and every field in Python."""
    rows = json.loads(body)["results"]
    return pa.Table.from_pylist([{"_key": row["id"], "_payload": json.dumps(row), **row["properties"]} for row in rows])


def main() -> None:
    """Measure and print."""
    pages, now = [page(number) for number in range(PAGES)], datetime.now(UTC)
    records = [record for body in pages for record in cut(body, "results")]
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)]
    ways: dict[str, Callable[[], object]] = {
        "floor: cut into records": lambda: [cut(body, "results") for body in pages],
        f"ours: typed by {SIZE:,} at once": lambda: [raw_table(cut(body, "results"), STREAM, now) for body in pages],
        f"ours: typed by {CHUNK:,} at once": lambda: [raw_table(chunk, STREAM, now) for chunk in chunks],
        "json.loads and from_pylist": lambda: [in_python(body) for body in pages],
    }
    floor = 0.0
    for name, way in ways.items():
        speed = PAGES * SIZE / min(_seconds(way) for _ in range(3))
        floor = floor or speed
        print(f"{name:<28} {speed:>12,.0f} records / CPU s   {floor / speed:6.1f} times the floor")


def _seconds(way: Callable[[], object]) -> float:
    start = process_time()
    way()
    return process_time() - start


if __name__ == "__main__":
    main()
