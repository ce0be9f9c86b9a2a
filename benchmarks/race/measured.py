"""Run a command as a process of its own and tell what it cost.

This module and those that import it load nothing heavy: a child's peak memory counts from the fork on, and so includes
what its parent held.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

MIB = 1024


@dataclass(frozen=True)
class Cost:
    """Hold user and system seconds and the peak memory (MiB) of a process and of all it waited for."""

    cpu: float
    wall: float
    peak: float
    code: int


def environment(root: Path) -> dict[str, str]:
    """Give a child's environment: our tree first, byte code kept, no proxy, no word sent home, no idle threads.

    The last is what `belvedere` sets for itself; it helps whoever loads numpy.
    """
    held = {name: value for name, value in os.environ.items() if not name.startswith(("BELVEDERE_", "DAGSTER_"))}
    held.pop("PYTHONDONTWRITEBYTECODE", None)
    telemetry = {"RUNTIME__DLTHUB_TELEMETRY": "false", "DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"}
    idle = {"OPENBLAS_NUM_THREADS": "1"}
    return held | telemetry | idle | {"PYTHONPATH": str(root), "NO_PROXY": "127.0.0.1"}


def start(
    command: Sequence[str], variables: Mapping[str, str], output: Path | None, errors: Path
) -> subprocess.Popen[bytes]:
    """Start a command; what it says goes to files, or into a pipe where no file is named for it."""
    with output.open("wb") if output else nullcontext(subprocess.PIPE) as told, errors.open("wb") as wrong:
        return subprocess.Popen(list(command), env=dict(variables), stdout=told, stderr=wrong)


def cost(command: Sequence[str], variables: Mapping[str, str], output: Path | None, errors: Path) -> Cost:
    """Run a command to its end; a pipe is emptied here, at no cost to the command but that of filling it."""
    begun = monotonic()
    child = start(command, variables, output, errors)
    if child.stdout:
        with child.stdout:
            while os.read(child.stdout.fileno(), 1 << 20):
                pass
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Cost(used.ru_utime + used.ru_stime, monotonic() - begun, used.ru_maxrss / MIB, child.returncode)
