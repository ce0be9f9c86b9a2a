"""Pages of JSON to raw rows: ours beside the floor that only cuts, and beside parsing every record in Python.

Prints records a CPU second and the ratio to the floor; all in one run, since machines differ.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

import pyarrow as pa

from connectors.kit.records import cut, raw_table
from connectors.kit.stream import Stream

FIELDS = [f"field_{number}" for number in range(15)]
STREAM = Stream("deals", "id", {name: f"properties.{name}" for name in FIELDS}, cursor="properties.modified")
PAGES, SIZE = 100, 500


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
    pages = [page(number) for number in range(PAGES)]
    now = datetime.now(UTC)
    ways: dict[str, Callable[[bytes], object]] = {
        "floor: cut into records": lambda body: cut(body, "results"),
        "ours: cut, keyed, typed": lambda body: raw_table(cut(body, "results"), STREAM, now),
        "json.loads and from_pylist": in_python,
    }
    speeds = {}
    for name, way in ways.items():
        way(pages[0])
        start = process_time()
        for body in pages:
            way(body)
        speeds[name] = PAGES * SIZE / (process_time() - start)
    floor = next(iter(speeds.values()))
    for name, speed in speeds.items():
        print(f"{name:<28} {speed:>12,.0f} records / CPU s   {floor / speed:6.1f} times the floor")


if __name__ == "__main__":
    main()
