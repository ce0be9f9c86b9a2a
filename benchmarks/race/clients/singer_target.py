"""The tap of `singer_tap.py`, and a target on singer-sdk that writes Parquet, joined by a pipe as Singer is run."""

import subprocess
import sys
from io import TextIOWrapper
from json import loads
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from singer_sdk import BatchSink, Target
from singer_sdk import typing as th

TASK = loads(sys.argv[1])
TAP = Path(__file__).with_name("singer_tap.py")


class ParquetSink(BatchSink):
    """Write each batch as a file."""

    max_size = 20_000

    def process_batch(self, context: dict[str, Any]) -> None:
        table = pa.Table.from_pylist(context["records"])
        pq.write_table(table, Path(TASK["out"], f"{context['batch_id']}.parquet"), compression="zstd")


class ParquetTarget(Target):
    """The target."""

    name = "target-race"
    config_jsonschema = th.PropertiesList().to_dict()
    default_sink_class = ParquetSink


def main() -> None:
    """Run both, as a shell would."""
    with subprocess.Popen([sys.executable, str(TAP), sys.argv[1]], stdout=subprocess.PIPE) as tap:
        ParquetTarget(config={}).listen(TextIOWrapper(tap.stdout))
    sys.exit(tap.returncode)


if __name__ == "__main__":
    main()
