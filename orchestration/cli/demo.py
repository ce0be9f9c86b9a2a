"""`belvedere demo` and `sandbox`: three nights against stand-ins of the systems, and the stand-ins alone."""

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

MARK = "demo-day"


def demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--customers", type=int, default=300, help="how many customers (default: %(default)s)")


def demo_command(args: argparse.Namespace) -> Exit:
    """Run the nights; a home folder that holds anything but an earlier demo is left alone.

    Fails where a night did not do what its heading says.
    """
    from engine.config.loader import ROOT, home_folder
    from orchestration.cli.output import fail, heading, say

    home = home_folder()
    if (home / "ledger.db").exists() and not (home / MARK).exists():
        fail(f"{home} holds data that is no demo; name another folder in BELVEDERE_HOME")
        return Exit.FAILED
    shutil.rmtree(home)
    first = datetime.now(UTC).date() - timedelta(days=2)
    home_folder().joinpath(MARK).write_text(first.isoformat())
    _defaults(ROOT / "sandbox" / "demo.env")
    with _sandbox(args.customers, first) as sandbox:
        heading(f"First night, {first}: everything is new")
        ended, all_written = _night(first, sandbox)
        _tell_first(home)
        heading("The next day people work: a handful of changes at the sources")
        sandbox("clock", {"advance_seconds": 86400})
        for change in sandbox("changes", {}):
            say(f"  {change['system']:<8} {change['object']} {change['id']}: {change['what']}")
        heading(f"Second night, {first + timedelta(days=1)}: only what changed is read and written")
        sandbox("clock", {"advance_seconds": 3600})
        second, some_written = _night(first + timedelta(days=1), sandbox)
        if some_written >= all_written:
            second = _untrue(f"records written: {some_written}, in the first night {all_written}")
        heading("Third night, with no change in between: nothing is written")
        sandbox("clock", {"advance_seconds": 3600})
        third, none_written = _night(first + timedelta(days=1), sandbox)
        if none_written:
            third = _untrue(f"records written: {none_written}, with no change since the second night")
    _tell_last(home)
    exits = (ended, second, third)
    return Exit.FAILED if Exit.FAILED in exits else max(exits)


def _untrue(what: str) -> Exit:
    from orchestration.cli.output import fail

    fail(f"the heading of this night is not true: {what}")
    return Exit.FAILED


def _night(as_of: date, sandbox: Any) -> tuple[Exit, int]:
    """Run a night; tell how it ended and how many records the targets say were written."""
    from orchestration.cli.output import say
    from orchestration.cli.run import night

    before = len(sandbox("writes"))
    start = monotonic()
    ended = night(as_of.isoformat())
    written = len(sandbox("writes")) - before
    say(f"records written at the targets, by their own log: {written}")
    say(f"({monotonic() - start:.0f} s)")
    return ended, written


def _tell_first(home: Path) -> None:
    from engine.build.current_tables import Tables
    from engine.config.project import Project
    from orchestration.cli.output import heading, say, table

    tables = Tables(Project.load(home=home))
    heading("Set aside, and why (belvedere quarantine show)")
    rows = tables.query(
        "SELECT connection, stream, reason, count(*) AS n FROM (SELECT connection, stream, unnest(string_split(reasons, '; ')) "
        "AS reason FROM quarantine) GROUP BY ALL ORDER BY n DESC, 1, 2, 3"
    )
    table(("connection", "stream", "reason", "rows"), [tuple(row.values()) for row in rows], right=("rows",))
    heading("Customers found, and by which rule their accounts were joined")
    rows = tables.query("SELECT rule, count(*) AS n FROM crosswalk GROUP BY rule ORDER BY n DESC")
    count = tables.query("SELECT count(*) AS n FROM customers")[0]["n"]
    say(f"{count} customers; accounts by rule: " + ", ".join(f"{row['rule']} {row['n']}" for row in rows))
    heading("The ten key accounts (belvedere customer NAME tells all of one)")
    rows = tables.query(
        "SELECT key_account_rank, name, key_account_tier, round(key_account_score, 2), round(retention_score), retention_band, "
        "round(satisfaction_score), satisfaction_band, account_manager FROM customer_360 WHERE key_account_rank <= 10 ORDER BY 1"
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


def _tell_last(home: Path) -> None:
    from orchestration.cli.output import heading, say

    heading("Where to look now")
    say(
        f"the warehouse   {home / 'warehouse.duckdb'}  (any DuckDB client; tables are described in {home / 'dbt' / 'sources.yml'})"
    )
    say("the Dagster UI  make dev, then open http://127.0.0.1:3000: every run above is there")
    say("one customer    .venv/bin/belvedere customer NAME")


def _defaults(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            os.environ.setdefault(name, value)


@contextmanager
def _sandbox(customers: int, today: date) -> Iterator[Any]:
    """Run the sandbox in a process of its own, on its port or, where that is taken, a free one."""
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
        for _ in range(600):
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
    parser.add_argument("--port", type=int, default=url.port or 8765, help="port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--customers", type=int, default=300, help="how many customers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another company (default: %(default)s)")
    parser.add_argument("--today", type=date.fromisoformat, default=None, help="its date, YYYY-MM-DD (default: today)")
    parser.add_argument("--days", type=int, default=0, help="days that have passed since, with changes on the first")


def sandbox_command(args: argparse.Namespace) -> Exit:
    """Serve until interrupted."""
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
            f"port {args.port}: {error.strerror or error}; another one can be named in SANDBOX_URL, for the connections too"
        ) from None
    return Exit.DONE
