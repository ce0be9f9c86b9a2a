"""One run of one client: in an empty folder, its records counted at both ends."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from race.entrants import ROOT, Entrant, NotMeasured
from race.measured import Cost, cost, environment
from race.started import Started

COUNT = Path(__file__).with_name("counted.py")


def run(entrant: Entrant, source: Started) -> Cost:
    """Run once; raises NotMeasured for a client that failed, or that did not read or write every record."""
    source.forget()
    with tempfile.TemporaryDirectory(prefix="belvedere-bench-") as folder:
        command = [*entrant.command, json.dumps(source.task | {"out": folder})]
        output = Path(folder, "stdout") if entrant.writes else None
        spent = cost(command, environment(ROOT), output, errors := Path(folder, "stderr"))
        if spent.code:
            raise NotMeasured(f"it ended with {spent.code}: {_last_error(errors)[:200]}")
        if len(set(source.forget())) * source.page < source.count:
            raise NotMeasured("it did not read every page")
        if entrant.writes and (written := _written(folder)) != source.count:
            raise NotMeasured(f"it wrote {written} of {source.count} records")
    return spent


def _last_error(errors: Path) -> str:
    """Find the line that names the error; what follows it is advice."""
    lines = errors.read_text("utf-8", "replace").strip().split("\n")
    named = [line for line in lines if "Error" in line or "Exception" in line]
    return (named or lines)[-1]


def _written(folder: str) -> int:
    told = subprocess.run([sys.executable, str(COUNT), folder], capture_output=True, text=True, check=True)
    return int(told.stdout or 0)
