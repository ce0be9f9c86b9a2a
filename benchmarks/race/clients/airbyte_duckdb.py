"""The source of `airbyte_source.py` by PyAirbyte, which reads it into its own DuckDB cache."""

import json
import sys
from pathlib import Path

import airbyte
from airbyte_source import manifest


def main() -> None:
    """Read all records."""
    task = json.loads(sys.argv[1])
    source = airbyte.get_source("source-race", source_manifest=manifest(task), config={})
    source.select_all_streams()
    source.read(cache=airbyte.DuckDBCache(db_path=Path(task["out"], "cache.duckdb")))


if __name__ == "__main__":
    main()
