"""Extraction side by side: the floors, ours and the peers, over the same data in one run, a process each.

Prints records a CPU second (user and system of the whole process, start-up included), wall time, peak memory, and how
each compares. It is no test: it only prints. How to read it: docs/benchmarks.md.
"""

import argparse
import os
import platform
import sys
from importlib.metadata import version

from race.entrants import ENTRANTS, NotMeasured
from race.results import Result, goals, table
from race.runs import run
from race.started import Started

DEFAULT = (
    *("bytes", "parquet", "payload", "ours", "dlt-arrow", "dlt-rest"),
    *("singer", "airbyte", "singer-tap", "airbyte-source"),
)


def main() -> None:
    """Measure and print."""
    asked = _asked()
    results: list[Result] = []
    with Started(asked.records, asked.page) as source, Started(asked.page, asked.page) as small:
        for entrant in ENTRANTS:
            if entrant.name not in asked.only:
                continue
            print(f"{entrant.label} ...", file=sys.stderr)
            try:
                begun = min(run(entrant, small).cpu for _ in range(2))  # the first one compiles what it imports
                best = min((run(entrant, source) for _ in range(asked.repeat)), key=lambda cost: cost.cpu)
            except NotMeasured as error:
                results.append(Result(entrant, problem=str(error)))
            else:
                results.append(Result(entrant, best, begun, asked.records))
    _surroundings(asked)
    print("\n".join([*table(results), "", *goals(results)]))


def _asked() -> argparse.Namespace:
    names = [entrant.name for entrant in ENTRANTS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=80_000)
    parser.add_argument("--page", type=int, default=100, help="records a page; HubSpot's own connector knows 100 only")
    parser.add_argument("--only", nargs="+", choices=names, default=DEFAULT, metavar="NAME", help=", ".join(names))
    parser.add_argument("--repeat", type=int, default=1, help="run each so often, and keep the cheapest run")
    return parser.parse_args()


def _surroundings(asked: argparse.Namespace) -> None:
    load = " ".join(f"{part:.1f}" for part in os.getloadavg())
    ours = ", ".join(f"{name} {version(name)}" for name in ("requests", "msgspec", "duckdb", "pyarrow"))
    machine = f"{os.cpu_count()} cores, load {load}; Python {platform.python_version()}"
    print(f"{asked.records:,} records, pages of {asked.page}; {machine}\nours and the floors: {ours}\n")


if __name__ == "__main__":
    main()
