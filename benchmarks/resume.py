"""After a crash at page 91 of 100: how many of the 90 pages that were delivered are asked for again.

Counted by the source. A crash is a refusal (403 from page 91 on, until the second run) or a kill (SIGKILL while page 91
is awaited). Of ours it is told, too, how many pages had landed: what a kill finds in memory alone has to be read again.
"""

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from race.entrants import ENTRANTS, ROOT, Entrant, NotMeasured
from race.measured import environment, start
from race.started import Started

PAGES, CRASH = 100, 91
NAMES = ("ours", "dlt-arrow", "dlt-rest", "singer-tap", "airbyte-source")
PATIENCE = 120.0  # seconds until a client has come as far as page 91


def main() -> None:
    """Crash each client in both ways, run it again, and print."""
    print(f"{'client':<38} {'crash':<8} {'delivered':>9} {'landed':>7} {'asked again':>12} {'of landed':>10}")
    entrants = [one for one in ENTRANTS if one.name in NAMES]
    with Started(PAGES * 100) as source:
        for entrant in entrants:
            for kind in ("refuse", "hold"):
                print(_line(entrant, kind, source), flush=True)


def _line(entrant: Entrant, kind: str, source: Started) -> str:
    head = f"{entrant.label:<38} {'killed' if kind == 'hold' else 'refused':<8}"
    try:
        landed, again = _crashed(entrant, kind, source)
    except NotMeasured as error:
        return f"{head} not measured: {error}"
    of_landed = "-" if landed is None else str(len([page for page in again if page <= landed]))
    return f"{head} {CRASH - 1:>9} {'-' if landed is None else landed:>7} {len(again):>12} {of_landed:>10}"


def _crashed(entrant: Entrant, kind: str, source: Started) -> tuple[int | None, set[int]]:
    """Crash, and run again; gives how many pages had landed, and which of the delivered ones were asked for again."""
    with tempfile.TemporaryDirectory(prefix="belvedere-bench-") as folder:
        source.forget()
        source.fault(kind, CRASH)
        _run(entrant, source, Path(folder), None, kill=kind == "hold")
        landed = _landed(Path(folder))
        if set(source.forget()) < set(range(1, CRASH + 1)):
            raise NotMeasured(f"it did not come to page {CRASH}")
        source.fault()
        _run(entrant, source, Path(folder), _state(Path(folder, "stdout")), kill=False)
        asked = set(source.forget())
    if not asked >= set(range(CRASH, PAGES + 1)):
        raise NotMeasured("the second run did not read the rest")
    return landed, {page for page in asked if page < CRASH}


def _run(entrant: Entrant, source: Started, folder: Path, state: Any, *, kill: bool) -> None:
    task = source.task | {"out": str(folder)} | ({"state": state} if state else {})
    child = start([*entrant.command, json.dumps(task)], environment(ROOT), folder / "stdout", folder / "stderr")
    deadline = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < deadline:
        if kill and CRASH in source.asked():
            break
        time.sleep(0.05)
    child.kill()
    child.wait()


def _state(output: Path) -> Any:
    """Take the last state that a client told, as its runner would keep it."""
    told = [json.loads(line) for line in _lines(output) if '"type":"STATE"' in line]
    return told[-1].get("value") or told[-1].get("state") if told else None


def _lines(output: Path) -> Iterator[str]:
    """Give the whole lines: a kill may cut the last one."""
    yield from output.read_text("utf-8", "replace").split("\n")[:-1]


def _landed(folder: Path) -> int | None:
    """Count the pages that the manifest holds; of a peer it is not known."""
    ledger = folder / "home" / "ledger.db"
    if not ledger.exists():
        return None
    with sqlite3.connect(ledger) as opened:
        return int(opened.execute("SELECT coalesce(sum(rows), 0) FROM manifest WHERE is_live").fetchone()[0]) // 100


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
