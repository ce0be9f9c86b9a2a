"""What a delivery asks of its target, and how long it takes over a slow link; beside a loop record by record.

Against the sandbox's HubSpot in a process of its own. Prints requests of a night that changes 1 record of 270, and the
wall time of 10,000 changes with 50 ms of latency, as a ratio to what the link alone takes: requests at the batch limit,
divided by those that may be under way at once, times the latency. How to read it: docs/benchmarks.md.
"""

import argparse
import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from race.delivering import build, deliver, naive, opened, read
from race.target import Target

from connectors.hubspot import HubSpot

BATCH, PARALLEL = HubSpot.writing.batch, HubSpot.writing.parallel
ASIDE = ("/account-info/", "/properties/")  # who is it, and which fields there are: whatever is delivered
FEW, LOOP = 270, 500


def main() -> None:
    """Measure and print."""
    asked = _asked()
    print(f"batches of {BATCH}, {PARALLEL} at once; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    _one_of(FEW)
    _many(asked.records, asked.latency)


def _one_of(count: int) -> None:
    """Count the requests of a night in which one record has changed."""
    print(f"{count} records, 1 changed{'requests':>35}{'beside: account, properties':>32}")
    with Target(count) as target, TemporaryDirectory() as home:
        project, scores = opened(Path(home), target), dict.fromkeys(target.ids, 50)
        build(project, "first", scores)
        deliver(project, "first")
        for extracted in (False, True):
            if extracted:
                read(project)
            scores[target.ids[7]] += 1
            build(project, f"again-{extracted}", scores)
            target.requests()
            deliver(project, f"again-{extracted}")
            _print("ours, target extracted this night" if extracted else "ours, target must be read", target.requests())
        naive(target, scores)
        _print("record by record", target.requests())


def _print(name: str, requests: Counter[tuple[str, str]]) -> None:
    aside = sum(count for (_, path), count in requests.items() if any(part in path for part in ASIDE))
    print(f"  {name:<40}{requests.total() - aside:>13}{aside:>32}")


def _many(count: int, latency: int) -> None:
    """Time changes of all records over a slow link."""
    print(
        f"\n{count:,} records, all changed, {latency} ms{'requests':>12}{'link alone':>12}{'wall':>9}{'ratio':>7}{'our CPU':>9}"
    )
    with Target(count) as target, TemporaryDirectory() as home:
        project, scores = opened(Path(home), target), dict.fromkeys(target.ids, 50)
        for extracted in (False, True):
            if extracted:
                read(project)
            scores = {one: score + 1 for one, score in scores.items()}
            build(project, f"all-{extracted}", scores)
            target.delay(latency)
            target.requests()
            begun, spent = perf_counter(), process_time()
            counts = deliver(project, f"all-{extracted}")
            wall, cpu = perf_counter() - begun, process_time() - spent
            if counts != {"applied": count} or set(target.held().values()) != {str(50 + 1 + extracted)}:
                raise RuntimeError(f"not delivered: {counts}")
            needed = 2 * -(-count // BATCH)
            least = needed / PARALLEL * latency / 1000
            name = "ours, extracted this night" if extracted else "ours, target must be read"
            print(
                f"  {name:<32}{target.requests().total():>8}{least:>10.2f} s{wall:>7.2f} s{wall / least:>7.2f}{cpu:>7.2f} s"
            )
            target.delay(0)
        _loop(target, dict(list(scores.items())[:LOOP]), count, latency)


def _loop(target: Target, some: dict[str, int], count: int, latency: int) -> None:
    """Time a loop on a part, and say what the whole would take."""
    target.delay(latency)
    target.requests()
    for parallel in (1, PARALLEL):
        begun = perf_counter()
        naive(target, some, parallel)
        wall = (perf_counter() - begun) * count / len(some)
        asked = target.requests().total() * count // len(some)
        least = 2 * -(-count // BATCH) / PARALLEL * latency / 1000
        name = f"record by record, {parallel} at once"
        print(
            f"  {name:<32}{asked:>8}{least:>10.2f} s{wall:>7.0f} s{wall / least:>7.0f}   measured on {len(some)}, scaled"
        )


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--latency", type=int, default=50, help="milliseconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
