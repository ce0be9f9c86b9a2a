"""A whole build, and the scores alone beside DuckDB SQL by hand and the bare reading and writing of the same bytes.

Each runs in a process of its own; figures are the kernel's for that process, start-up included. It is no test: it only
prints. How to read it: docs/benchmarks.md.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from race.measured import Cost, cost, environment

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).parent / "scale" / "runs.py"
LABELS = {
    "whole": "whole build: raw rows to all tables",
    "floor_whole": "floor: its bytes read and written",
    "hand": "scores by SQL by hand, values only",
    "values": "scores by our transforms, values only",
    "scores": "scores as a build makes them",
    "floor": "floor: their bytes read and written",
}
GOAL = 1.3


def main() -> None:
    """Make the data, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    customers = parser.parse_args().customers
    with tempfile.TemporaryDirectory() as folder:
        _run("make", customers, Path(folder))
        costs = {}
        for name in ("whole", "hand", "compare", "values", "scores", "floor", "floor_whole"):
            costs[name], told = _run(name, customers, Path(folder))
            print(told, file=sys.stdout if name == "compare" else sys.stderr)
    print(f"\n{customers:,} customers, {5 * customers:,} deals, {10 * customers:,} tickets\n")
    print(f"{'':<42}{'CPU s':>9}{'wall s':>9}{'GiB':>7}")
    for name, label in LABELS.items():
        one = costs[name]
        print(f"{label:<42}{one.cpu:>9.1f}{one.wall:>9.1f}{one.peak / 1024:>7.2f}")
    for one, other in (
        ("values", "hand"),
        ("scores", "hand"),
        ("hand", "floor"),
        ("scores", "floor"),
        ("whole", "floor_whole"),
    ):
        print(f"{one} / {other}: {costs[one].cpu / costs[other].cpu:.2f} times the CPU")
    print(f"goal: the same values within {GOAL} times of the SQL by hand")


def _run(name: str, customers: int, folder: Path) -> tuple[Cost, str]:
    variables = environment(ROOT) | {"PYTHONPATH": f"{ROOT}:{SCRIPT.parents[1]}", "PYTHONWARNINGS": "ignore"}
    variables["BELVEDERE_BENCH_HOME"] = os.environ.get("BELVEDERE_BENCH_HOME") or str(ROOT / ".bench")
    output, errors = folder / "output", folder / "errors"
    spent = cost([sys.executable, str(SCRIPT), name, str(customers)], variables, output, errors)
    if spent.code:
        raise SystemExit(f"{name}: {(errors.read_text().strip().splitlines() or ['?'])[-1]}")
    return spent, output.read_text().strip()


if __name__ == "__main__":
    main()
