"""`belvedere sync`, `extract`, `build` and `publish`: run stages, show progress, then print the result."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from orchestration.cli.exits import Exit

if TYPE_CHECKING:
    from rich.progress import Progress

    from engine.config.project import Project
    from orchestration.cli.launch import RunResult


def extract(connections: Sequence[str] = (), streams: Sequence[str] = (), *, full: bool = False) -> Exit:
    """Run the stage extract and print the rows of each connection."""
    from engine.config.project import Project
    from orchestration.assets.keys import raw_key
    from orchestration.cli.launch import run

    project = Project.load()
    wanted = project.chosen(list(connections) or list(project.connections), streams)
    assets = [raw_key(name, stream) for name, chosen in wanted.items() for stream in chosen]
    config = {"ops": {f"extract_{name}": {"config": {"full": True}} for name in wanted}} if full else None
    with _landing_progress(project, wanted):
        ran = run("extract", assets=assets, config=config)
    _print_extract(ran, wanted)
    if ran.is_locked:
        return Exit.LOCKED
    if ran.success and all(passed for _, _, passed, _ in ran.checks):
        return Exit.DONE
    return Exit.PARTS_MISSING if ran.metadata else Exit.FAILED


def build(as_of: str | None = None) -> Exit:
    """Run the stage build and print what was made, and what is in quarantine."""
    from orchestration.assets.build import BUILD_OP
    from orchestration.cli.launch import run
    from orchestration.cli.output import print_line, print_lines

    with spinner("build"):
        ran = run("build", config={"ops": {BUILD_OP: {"config": {"as_of": as_of}}}} if as_of else None)
    print_failures(ran)
    tables = {key: meta for key, meta in ran.metadata.items() if not key.startswith("raw/")}
    if tables:
        aside = tables.get("quarantine", {}).get("dagster/row_count", 0)
        print_line(
            f"build      {len(tables)} tables; {tables.get('customers', {}).get('dagster/row_count', 0)} customers from "
            f"{tables.get('accounts', {}).get('dagster/row_count', 0)} accounts; {aside} rows in quarantine; "
            f"{tables.get('reconciliation', {}).get('closed', 'no')} streams add up from source to warehouse"
        )
    for lines in (str(meta["unread"]) for meta in tables.values() if "unread" in meta):
        print_lines(lines)
    broken = _print_failed_checks(ran)
    return ran.exit if ran.exit is not Exit.DONE else (Exit.PARTS_MISSING if broken else Exit.DONE)


def deliver() -> Exit:
    """Run the stage deliver and print what was written where."""
    from orchestration.cli.launch import run

    with spinner("deliver"):
        ran = run("deliver")
    print_delivery(ran)
    return delivered_exit(ran)


def print_delivery(ran: "RunResult") -> None:
    """Print a line for each plan, delivery and warehouse, then the failed checks."""
    from orchestration.cli.output import print_line

    print_failures(ran)
    for key, meta in ran.metadata.items():
        print_line(f"{'deliver':<10} {key}: {meta.get('summary', '')}")
    _print_failed_checks(ran)


def delivered_exit(ran: "RunResult") -> Exit:
    """Return DONE when everything planned was written, else PARTS_MISSING or how the run ended."""
    if ran.exit is not Exit.DONE:
        return ran.exit
    return Exit.DONE if all(passed for _, _, passed, _ in ran.checks) else Exit.PARTS_MISSING


def _print_extract(ran: "RunResult", wanted: dict[str, list[str]]) -> None:
    from orchestration.assets.keys import name_of, raw_key
    from orchestration.cli.output import print_line, table

    print_failures(ran)
    _print_failed_checks(ran)
    for key, reason in ran.warnings:
        print_line(f"{key.removeprefix('raw/')}: {reason}")
    rows = []
    for name, streams in wanted.items():
        streams_read = [meta for stream in streams if (meta := ran.metadata.get(name_of(raw_key(name, stream))))]
        total = [sum(int(meta[key]) for meta in streams_read) for key in ("dagster/row_count", *COUNTS)]
        rows.append((name, f"{len(streams_read)} of {len(streams)}", *total))
        for note, about in _notes(ran, name, streams).items():
            print_line(f"{name} {', '.join(about)}: {note}")
    counts = ("streams", "rows read", *COUNTS.values())
    table(("connection", *counts), rows, right=counts)


def _notes(ran: "RunResult", name: str, streams: list[str]) -> dict[str, list[str]]:
    """Return the streams of each note, so that a note is printed once."""
    from orchestration.assets.keys import name_of, raw_key

    notes: dict[str, list[str]] = {}
    for stream in streams:
        stream_notes = ran.metadata.get(name_of(raw_key(name, stream)), {}).get("notes")
        for note in str(stream_notes or "").splitlines():
            notes.setdefault(note, []).append(stream)
    return notes


COUNTS = {  # metadata of an extracted stream, and its column head
    "held": "already stored",
    "new": "new",
    "changed": "changed",
    "unchanged": "unchanged",
    "deleted": "deleted",
}


def _print_failed_checks(ran: "RunResult") -> list[str]:
    from orchestration.cli.output import print_error

    broken = [f"{key}: {reason or check + ' failed'}" for key, check, passed, reason in ran.checks if not passed]
    for line in broken:
        print_error(line)
    return broken


def print_failures(ran: "RunResult") -> None:
    """Print the message of each failed step."""
    from orchestration.cli.output import print_error

    for line in ran.failures:
        print_error(line)


@contextmanager
def _landing_progress(project: "Project", wanted: dict[str, list[str]]) -> Iterator[None]:
    """Show a progress bar per connection, fed from the ledger: the steps run in subprocesses."""
    from connectors.kit.errors import BusyError
    from engine.storage.disk import DiskError

    prefixes = {name: f"raw/{name}/" for name in wanted}
    start = project.ledger.files.newest_id()
    over = Event()
    with _bars() as bars:
        tasks = {name: bars.add_task(name, total=None, note="") for name in wanted}

        def follow() -> None:
            while not over.wait(0.5):
                try:
                    landed = project.ledger.files.rows_since(start)
                except (BusyError, DiskError):
                    continue  # the steps report what is wrong with the ledger
                for name, prefix in prefixes.items():
                    streams = {asset: rows for asset, rows in landed.items() if asset.startswith(prefix)}
                    note = f"{sum(streams.values()):,} rows, {len(streams)} of {len(wanted[name])} streams"
                    bars.update(tasks[name], note=note)

        watcher = Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


@contextmanager
def spinner(label: str) -> Iterator[None]:
    """Show a spinner while a block runs."""
    with _bars() as bars:
        bars.add_task(label, total=None, note="")
        yield


def _bars() -> "Progress":
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from orchestration.cli.output import err

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def sync_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--as-of", metavar="DATE", help="date of the scores, YYYY-MM-DD (default: today)")
    parser.add_argument(
        "--no-deliver", action="store_true", help="extract and build only; write nothing to targets or warehouses"
    )


def sync_command(args: argparse.Namespace) -> Exit:
    """Run one night."""
    return night(args.as_of, with_delivery=not args.no_deliver)


def night(as_of: str | None = None, *, with_delivery: bool = True) -> Exit:
    """Run the stages in order.

    A required connection that failed stops the delivery, not the build; a failed ERROR check of a table
    stops the delivery, too.
    """
    from engine.config.project import Project
    from engine.extract.run import failed_required
    from orchestration.cli.output import print_error

    project = Project.load()
    extracted = extract()
    if extracted is Exit.LOCKED:
        return extracted
    built = build(as_of)
    if built in (Exit.FAILED, Exit.LOCKED):
        if with_delivery:
            print_error("nothing was delivered: the build or a check of its tables failed (see above)")
        return built
    if not with_delivery:
        return max(built, extracted)
    if missing := failed_required(project):
        print_error(f"nothing was delivered: required connections could not be read: {', '.join(missing)}")
        return Exit.FAILED
    delivered = deliver()
    if delivered in (Exit.LOCKED, Exit.FAILED):
        return delivered
    return Exit.PARTS_MISSING if any((extracted, built, delivered)) else Exit.DONE


def extract_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="connections to read (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; repeat for several")
    parser.add_argument("--full", action="store_true", help="full refresh: read everything again; rows stored stay")


def extract_command(args: argparse.Namespace) -> Exit:
    """Run the stage extract."""
    return extract(args.connections, args.stream, full=args.full)


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--as-of", metavar="DATE", help="date of the scores, YYYY-MM-DD (default: today)")


def build_command(args: argparse.Namespace) -> Exit:
    """Run the stage build."""
    return build(args.as_of)


def publish_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("warehouses", nargs="*", metavar="WAREHOUSE", help="warehouses to publish to (default: all)")


def publish_command(args: argparse.Namespace) -> Exit:
    """Publish all tables to each warehouse."""
    from engine.config.project import Project
    from orchestration.assets.keys import warehouse_key
    from orchestration.cli.launch import run as run_job

    project = Project.load()
    names = list(args.warehouses or project.warehouses)
    for name in names:
        project.warehouse(name)  # an unknown name is refused with the choices
    ran = run_job("deliver", assets=[warehouse_key(name) for name in names])
    print_delivery(ran)
    return ran.exit
