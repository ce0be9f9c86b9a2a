"""Who runs, and where: our own interpreter for the floors and ours, one of its own for each peer.

A peer is installed when it is first needed, at the version named here, below `.bench` (BELVEDERE_BENCH_HOME names
another folder); one that cannot be installed is named, never left out in silence.
"""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).with_name("clients")
DLT = ("dlt[filesystem,parquet]==1.31.0", "pyarrow==26.0.*", "orjson==3.*")
SINGER = ("singer-sdk==0.54.9", "pyarrow==26.0.*")
AIRBYTE = ("airbyte==0.71.3", "airbyte-cdk==7.39.1")


class NotMeasured(Exception):
    """A client cannot run here."""


@dataclass(frozen=True)
class Entrant:
    """Describe one client; `needs` are the pinned packages of a peer, of which the first is the peer itself.

    `writes` says that it leaves files of typed columns; the others write to standard output, a pipe, or nothing.
    """

    name: str
    label: str
    script: str
    needs: tuple[str, ...] = ()
    writes: bool = True

    @property
    def command(self) -> list[str]:
        """Give the command, less the task, its interpreter made ready."""
        return [_python(self.needs) if self.needs else sys.executable, str(CLIENTS / f"{self.script}.py")]


ENTRANTS = (
    Entrant("bytes", "floor 1: requests, bytes only", "floor_bytes", writes=False),
    Entrant("parquet", "floor 2: cut, DuckDB, Parquet", "floor_parquet"),
    Entrant("payload", "floor 3: the same, payload kept", "floor_payload"),
    Entrant("ours", "ours: extract into lake and ledger", "ours"),
    Entrant("dagster", "ours, through Dagster", "ours_dagster"),
    Entrant("dlt-arrow", "dlt 1.31.0: Arrow to Parquet", "dlt_arrow", DLT),
    Entrant("dlt-rest", "dlt 1.31.0: rest_api to Parquet", "dlt_rest", DLT),
    Entrant("singer", "singer-sdk 0.54.9: tap, Parquet target", "singer_target", SINGER),
    Entrant("airbyte", "PyAirbyte 0.71.3: manifest to DuckDB", "airbyte_duckdb", AIRBYTE),
    Entrant("singer-tap", "singer-sdk 0.54.9: tap alone", "singer_tap", SINGER, writes=False),
    Entrant("airbyte-source", "airbyte-cdk 7.39.1: source alone", "airbyte_source", AIRBYTE, writes=False),
)


def _python(needs: tuple[str, ...]) -> str:
    """Name the interpreter that has the packages; raises NotMeasured when they cannot be had."""
    home = Path(os.environ.get("BELVEDERE_BENCH_HOME") or ROOT / ".bench")
    name, _, version = needs[0].partition("==")
    folder = home / f"{name.partition('[')[0]}-{version}"
    python = folder / "bin" / "python"
    mark, held = folder / "installed", "\n".join(needs)
    if not mark.exists() or mark.read_text() != held:
        print(f"installing {needs[0]} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *needs]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasured(f"{needs[0]} cannot be installed: {(done.stderr.strip() or '?').splitlines()[-1]}")
        mark.write_text(held)
    return str(python)
