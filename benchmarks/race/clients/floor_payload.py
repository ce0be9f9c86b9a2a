"""Floor 3: floor 2 that also keeps every record as it came, in a column `_payload`, as our lake does.

The records lie in memory one after the other, an Arrow column that DuckDB reads in place: quicker here than a file.
"""

from array import array
from itertools import accumulate
from pathlib import Path

import msgspec
import pyarrow as pa
from floor_parquet import Parquet, run


class Whole(Parquet):
    """Write chunks of records as files, each record also whole."""

    def __init__(self, folder: Path, properties: list[str]) -> None:
        super().__init__(folder, properties)
        names = ["id", "createdAt", "updatedAt", "archived", *(f"properties.{name}" for name in properties)]
        paths = ", ".join(f"'$.{name}'" for name in names)
        texts = ", ".join(f'texts[{place}] AS "{name}"' for place, name in enumerate(names, start=1))
        found = f"SELECT _payload, json_extract_string(_payload, [{paths}]) AS texts FROM records"
        self.flat = f"SELECT {texts}, _payload FROM ({found})"

    def write(self, records: list[msgspec.Raw]) -> None:
        self.count += 1
        ends = pa.py_buffer(array("i", accumulate(map(len, records), initial=0)))
        column = pa.Array.from_buffers(pa.string(), len(records), [None, ends, pa.py_buffer(b"".join(records))])
        self.engine.register("records", pa.table({"_payload": column}))
        self.engine.execute(f"COPY ({self.flat}) TO '{self.folder / str(self.count)}.parquet' (COMPRESSION zstd)")


if __name__ == "__main__":
    run(Whole)
