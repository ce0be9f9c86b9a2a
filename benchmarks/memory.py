"""A million records through our extract: peak memory is to be bounded by the batch, not by the stream.

Prints the peak at a tenth and at the whole, beside the floor that gathers as many records a file, and records a CPU
second. It is no test: it only prints.
"""

import sys

from race.entrants import ENTRANTS, NotMeasured
from race.results import Result, goals, table
from race.runs import run
from race.started import Started

RECORDS = 1_000_000
NAMES = ("parquet", "ours")


def main() -> None:
    """Measure and print; another number of records may be given."""
    most = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    for records in (most // 10, most):
        results = []
        with Started(records) as source:
            for entrant in (one for one in ENTRANTS if one.name in NAMES):
                try:
                    results.append(Result(entrant, run(entrant, source), records=records))
                except NotMeasured as error:
                    results.append(Result(entrant, problem=str(error)))
        print("\n".join([f"{records:,} records", *table(results), *goals(results), ""]), flush=True)


if __name__ == "__main__":
    main()
