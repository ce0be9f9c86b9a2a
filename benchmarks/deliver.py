"""What a delivery asks of its target, and how long it takes over a slow link; beside a loop record by record.

Against the sandbox's HubSpot in a process of its own. Prints requests of a night that changes 1 record of 270, and the
wall time of 10,000 changes with 50 ms of latency, as a ratio to what the link alone takes: requests at the batch limit,
divided by those that may be under way at once, times the latency. How to read it: docs/benchmarks.md.
"""

import argparse
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from race.delivering import bare, build, deliver, naive, opened, read
from race.target import Target

from connectors.hubspot.connector import HubSpot
from engine.config.project import Project
from engine.storage.backend import backend  # noqa: F401 - what is imported late is start-up, and no part of a delivery

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
    link = 2 * -(-count // BATCH) / PARALLEL * latency / 1000
    print(f"\n{count:,} records, all changed; {latency} ms: the link alone takes {link:.2f} s")
    print(f"  {'':<34}{'requests':>9}{'wall':>10}{'x link':>8}{'our CPU':>10}")
    with Target(count) as target, TemporaryDirectory() as home:
        project, scores = opened(Path(home), target), dict.fromkeys(target.ids, 50)
        for extracted in (False, True):
            if extracted:
                read(project)
            scores = {one: score + 1 for one, score in scores.items()}
            build(project, f"all-{extracted}", scores)
            name = "ours, extracted this night" if extracted else "ours, target must be read"
            _time(name, target, link, latency, partial(_delivered, project, f"all-{extracted}", count))
            if set(target.held().values()) != {str(51 + extracted)}:
                raise RuntimeError("not delivered")
        newest = {one: score + 1 for one, score in scores.items()}
        _time("the same requests, sent bare", target, link, latency, partial(bare, target, newest, PARALLEL, BATCH))
        some = dict(list(newest.items())[:LOOP])
        for parallel in (1, PARALLEL):
            loop = partial(naive, target, some, parallel)
            _time(f"record by record, {parallel} at once", target, link, latency, loop, count // LOOP)


def _time(name: str, target: Target, link: float, latency: int, does: Callable[[], object], scale: int = 1) -> None:
    target.delay(latency)
    target.requests()
    begun, spent = perf_counter(), process_time()
    does()
    wall, cpu = (perf_counter() - begun) * scale, (process_time() - spent) * scale
    target.delay(0)
    asked, told = target.requests().total() * scale, f"   measured on {LOOP}, scaled" if scale > 1 else ""
    print(f"  {name:<34}{asked:>9}{wall:>8.2f} s{wall / link:>8.2f}{cpu:>8.2f} s{told}")


def _delivered(project: Project, run: str, count: int) -> None:
    if (counts := deliver(project, run)) != {"applied": count}:
        raise RuntimeError(f"not delivered: {counts}")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--latency", type=int, default=50, help="milliseconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
