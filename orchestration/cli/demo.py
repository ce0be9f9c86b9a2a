"""`belvedere demo` and `sandbox`: three nights against the stand-ins, and the stand-ins alone."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlsplit

from orchestration.cli.exits import Exit

DEMO_MARKER = "demo-day"


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--customers", type=int, default=300, metavar="N", help="number of customers to generate (default: %(default)s)"
    )


def demo_command(args: argparse.Namespace) -> Exit:
    """Run three nights in an empty home folder or over an earlier demo; other homes are left alone.

    Returns FAILED where a night did not do what its heading says.
    """
    from engine.config.defs_file import ROOT
    from engine.config.loader import home_folder
    from orchestration.cli.output import heading, print_error, print_line

    home = home_folder()
    if (home / "ledger.db").exists() and not (home / DEMO_MARKER).exists():
        print_error(f"{home} holds data that no demo made; set BELVEDERE_HOME to another folder and run the demo again")
        return Exit.FAILED
    shutil.rmtree(home)
    first = datetime.now(UTC).date() - timedelta(days=2)
    home_folder().joinpath(DEMO_MARKER).write_text(first.isoformat())
    _set_default_env(ROOT / "sandbox" / "demo.env")
    with _sandbox(args.customers, first) as sandbox:
        heading(f"First night, {first}: everything is new")
        ended, all_written = _night(first, sandbox)
        _print_first_night(home)
        heading("The next day: people change a few records at the sources")
        sandbox("clock", {"advance_seconds": 86400})
        for change in sandbox("changes", {}):
            print_line(f"  {change['system']:<8} {change['object']} {change['id']}: {change['what']}")
        heading(f"Second night, {first + timedelta(days=1)}: only what changed is read and written")
        sandbox("clock", {"advance_seconds": 3600})
        second, some_written = _night(first + timedelta(days=1), sandbox)
        if some_written >= all_written:
            second = _fail_night(f"records written: {some_written}, in the first night {all_written}")
        heading("Third night, nothing changed in between: nothing is written")
        sandbox("clock", {"advance_seconds": 3600})
        third, none_written = _night(first + timedelta(days=1), sandbox)
        if none_written:
            third = _fail_night(f"records written: {none_written}, with no change since the second night")
    _print_next_steps(home)
    exits = (ended, second, third)
    return Exit.FAILED if Exit.FAILED in exits else max(exits)


def _fail_night(what: str) -> Exit:
    from orchestration.cli.output import print_error

    print_error(f"this night did not do what its heading says: {what}")
    return Exit.FAILED


def _night(as_of: date, sandbox: Any) -> tuple[Exit, int]:
    """Run a night; return its exit code and how many records the targets logged as written."""
    from orchestration.cli.output import print_line
    from orchestration.cli.run import night

    before = len(sandbox("writes"))
    start = monotonic()
    ended = night(as_of.isoformat())
    written = len(sandbox("writes")) - before
    print_line(f"records written, by the targets' own logs: {written}")
    print_line(f"({monotonic() - start:.0f} s)")
    return ended, written


def _print_first_night(home: Path) -> None:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import heading, print_line, table

    tables = Tables(Project.load(home=home))
    heading("Rows in quarantine, and why (belvedere quarantine show)")
    rows = tables.query(
        "SELECT connection, stream, reason, count(*) AS n FROM (SELECT connection, stream, "
        "unnest(string_split(reasons, '; ')) AS reason FROM quarantine) GROUP BY ALL ORDER BY n DESC, 1, 2, 3"
    )
    table(("connection", "stream", "reason", "rows"), [tuple(row.values()) for row in rows], right=("rows",))
    heading("Customers, and the rules that joined their accounts")
    rows = tables.query("SELECT rule, count(*) AS n FROM crosswalk GROUP BY rule ORDER BY n DESC")
    count = tables.query("SELECT count(*) AS n FROM customers")[0]["n"]
    print_line(f"{count} customers; accounts by rule: " + ", ".join(f"{row['rule']} {row['n']}" for row in rows))
    heading("The ten key accounts (belvedere customer NAME shows one in full)")
    rows = tables.query(
        "SELECT key_account_rank, name, key_account_tier, round(key_account_score, 2), round(retention_score), "
        "retention_band, round(satisfaction_score), satisfaction_band, account_manager FROM customer_360 "
        "WHERE key_account_rank <= 10 ORDER BY 1"
    )
    heads = (
        "",
        "customer",
        "tier",
        "key account",
        "retention",
        "band",
        "satisfaction",
        "grade",
        "account manager",
    )
    table(heads, [tuple(row.values()) for row in rows], right=("key account", "retention", "satisfaction"))


def _print_next_steps(home: Path) -> None:
    from orchestration.cli.output import heading, print_line

    heading("Where to look next")
    print_line(f"the warehouse   open {home / 'warehouse.duckdb'} with any DuckDB client")
    print_line(f"its tables      are described in {home / 'dbt' / 'sources.yml'}")
    print_line("the Dagster UI  run `make dev` and open http://127.0.0.1:3000: it lists every run above")
    print_line("one customer    run `.venv/bin/belvedere customer NAME`")


def _set_default_env(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            os.environ.setdefault(name, value)


@contextmanager
def _sandbox(customers: int, today: date) -> Iterator[Any]:
    """Run the sandbox as a subprocess, on its usual port or, if that is taken, on a free one."""
    import requests

    port = _free_port(urlsplit(os.environ["SANDBOX_URL"]).port or 0)
    os.environ["SANDBOX_URL"] = url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--port",
        str(port),
        "--customers",
        str(customers),
        "--today",
        today.isoformat(),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own module
    session = requests.Session()
    session.trust_env = False

    def ask(what: str, body: Any = None) -> Any:
        call = session.get if body is None else session.post
        return call(f"{url}/_sandbox/{what}", timeout=60, **({} if body is None else {"json": body})).json()

    try:
        for _ in range(600):  # a minute: the sandbox generates its data before it listens
            try:
                ask("clock")
                break
            except requests.ConnectionError:
                sleep(0.1)
        yield ask
    finally:
        session.close()
        process.terminate()
        process.wait()


def _free_port(wanted: int) -> int:
    with socket.socket() as tried:
        try:
            tried.bind(("127.0.0.1", wanted))
        except OSError:
            tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def sandbox_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    url = urlsplit(os.environ.get("SANDBOX_URL", ""))
    parser.add_argument(
        "--port", type=int, default=url.port or 8765, metavar="PORT", help="port on 127.0.0.1 (default: %(default)s)"
    )
    parser.add_argument(
        "--customers", type=int, default=300, metavar="N", help="number of customers to generate (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=7, metavar="N", help="seed of the generated data (default: %(default)s)"
    )
    parser.add_argument(
        "--today",
        type=date.fromisoformat,
        default=None,
        metavar="DATE",
        help="date of the stand-ins' clock, YYYY-MM-DD (default: today)",
    )
    parser.add_argument(
        "--days",
        type=int,
        default=0,
        metavar="N",
        help="days to advance the clock, with changes on the first day (default: 0)",
    )


def sandbox_command(args: argparse.Namespace) -> Exit:
    """Serve the stand-ins until interrupted."""
    from connectors.kit.errors import SettingsError
    from sandbox.server import serve

    try:
        serve(
            args.port,
            customers=args.customers,
            seed=args.seed,
            today=args.today or datetime.now(UTC).date(),
            days=args.days,
        )
    except OSError as error:
        raise SettingsError(
            f"the sandbox cannot listen on port {args.port}: {error.strerror or error}. "
            "Set SANDBOX_URL to another port; the connections read it, too"
        ) from None
    return Exit.DONE
