"""`belvedere sync`, `extract`, `build` and `publish`: the stages, with a progress line, then what happened."""

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
    """Run the extract stage and print rows by connection."""
    from engine.config.project import Project
    from orchestration.assets.extract import raw_key
    from orchestration.cli.launch import run

    project = Project.load()
    wanted = project.chosen(list(connections) or list(project.connections), streams)
    assets = [raw_key(name, stream) for name, chosen in wanted.items() for stream in chosen]
    config = {"ops": {f"extract_{name}": {"config": {"full": True}} for name in wanted}} if full else None
    with _rows_landing(project, wanted):
        ran = run("extract", assets=assets, config=config)
    _tell_extract(ran, wanted)
    if ran.held:
        return Exit.LOCKED
    if ran.success and all(passed for _, _, passed, _ in ran.checks):
        return Exit.DONE
    return Exit.PARTS_MISSING if ran.metadata else Exit.FAILED


def build(as_of: str | None = None) -> Exit:
    """Run the build stage and print what was made and what was set aside."""
    from orchestration.assets.build import BUILD_OP
    from orchestration.cli.launch import run
    from orchestration.cli.output import say, say_lines

    with spinner("build"):
        ran = run("build", config={"ops": {BUILD_OP: {"config": {"as_of": as_of}}}} if as_of else None)
    tell_failures(ran)
    made = {key: meta for key, meta in ran.metadata.items() if not key.startswith("raw/")}
    if made:
        aside = made.get("quarantine", {}).get("dagster/row_count", 0)
        say(
            f"build      {len(made)} tables; {made.get('customers', {}).get('dagster/row_count', 0)} customers from "
            f"{made.get('accounts', {}).get('dagster/row_count', 0)} accounts; {aside} rows in quarantine; "
            f"{made.get('reconciliation', {}).get('closed', 'no')} streams add up with their sources"
        )
    for lines in (str(meta["unread"]) for meta in made.values() if "unread" in meta):
        say_lines(lines)
    broken = _tell_checks(ran)
    return ran.exit if ran.exit is not Exit.DONE else (Exit.PARTS_MISSING if broken else Exit.DONE)


def deliver() -> Exit:
    """Run the deliver stage and print what was written where."""
    from orchestration.cli.launch import run

    with spinner("deliver"):
        ran = run("deliver")
    tell_deliver(ran)
    return delivered_exit(ran)


def tell_deliver(ran: "RunResult") -> None:
    """Print one line a plan, a delivery and a warehouse."""
    from orchestration.cli.output import say

    tell_failures(ran)
    for key, meta in ran.metadata.items():
        say(f"{'deliver':<10} {key}: {meta.get('summary', '')}")
    _tell_checks(ran)


def delivered_exit(ran: "RunResult") -> Exit:
    """Tell whether all that was planned was written."""
    if ran.exit is not Exit.DONE:
        return ran.exit
    return Exit.DONE if all(passed for _, _, passed, _ in ran.checks) else Exit.PARTS_MISSING


def _tell_extract(ran: "RunResult", wanted: dict[str, list[str]]) -> None:
    from orchestration.assets.extract import raw_key
    from orchestration.cli.output import say, table

    tell_failures(ran)
    _tell_checks(ran)
    for key, why in ran.warnings:
        say(f"{key.removeprefix('raw/')}: {why}")
    rows = []
    for name, streams in wanted.items():
        found = [meta for stream in streams if (meta := ran.metadata.get(raw_key(name, stream).to_user_string()))]
        total = [sum(int(meta[key]) for meta in found) for key in ("dagster/row_count", *COUNTS)]
        rows.append((name, f"{len(found)} of {len(streams)}", *total))
        for note, about in _notes(ran, name, streams).items():
            say(f"{name} {', '.join(about)}: {note}")
    table(("connection", "streams", "read", *COUNTS), rows, right=("streams", "read", *COUNTS))


def _notes(ran: "RunResult", name: str, streams: list[str]) -> dict[str, list[str]]:
    """Gather what is said of streams, each note once."""
    from orchestration.assets.extract import raw_key

    notes: dict[str, list[str]] = {}
    for stream in streams:
        told = ran.metadata.get(raw_key(name, stream).to_user_string(), {}).get("notes")
        for note in str(told or "").splitlines():
            notes.setdefault(note, []).append(stream)
    return notes


COUNTS = ("held", "new", "changed", "unchanged", "deleted")


def _tell_checks(ran: "RunResult") -> list[str]:
    from orchestration.cli.output import fail

    broken = [f"{key}: {why or check + ' failed'}" for key, check, passed, why in ran.checks if not passed]
    for line in broken:
        fail(line)
    return broken


def tell_failures(ran: "RunResult") -> None:
    """Print why steps failed."""
    from orchestration.cli.output import fail

    for line in ran.failures:
        fail(line)


@contextmanager
def _rows_landing(project: "Project", wanted: dict[str, list[str]]) -> Iterator[None]:
    """Show a bar a connection that follows what lands; the steps run in processes of their own."""
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
                    continue  # the steps say what is the matter with the ledger
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
    """Show that something is at work."""
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
    parser.add_argument("--as-of", metavar="DATE", help="date that the scores are about, YYYY-MM-DD (default: today)")
    parser.add_argument("--no-deliver", action="store_true", help="stop before anything is written anywhere")


def sync_command(args: argparse.Namespace) -> Exit:
    """Run a whole night."""
    return night(args.as_of, with_delivery=not args.no_deliver)


def night(as_of: str | None = None, *, with_delivery: bool = True) -> Exit:
    """Run the stages in order.

    A required connection that failed stops delivery, not the build; so does a check of severity ERROR on a table.
    """
    from engine.config.project import Project
    from engine.extract.run import failed_required
    from orchestration.cli.output import fail

    project = Project.load()
    extracted = extract()
    if extracted is Exit.LOCKED:
        return extracted
    built = build(as_of)
    if built in (Exit.FAILED, Exit.LOCKED):
        if with_delivery:
            fail("nothing is delivered: the build failed, or a check of its tables did")
        return built
    if not with_delivery:
        return max(built, extracted)
    if missing := failed_required(project):
        fail(f"nothing is delivered: required connection {', '.join(missing)} could not be read")
        return Exit.FAILED
    delivered = deliver()
    if delivered in (Exit.LOCKED, Exit.FAILED):
        return delivered
    return Exit.PARTS_MISSING if any((extracted, built, delivered)) else Exit.DONE


def extract_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("connections", nargs="*", metavar="CONNECTION", help="which ones (default: all)")
    parser.add_argument("--stream", action="append", default=[], help="only this stream; may be given more than once")
    parser.add_argument("--full", action="store_true", help="read everything again, without dropping what is held")


def extract_command(args: argparse.Namespace) -> Exit:
    """Run the extract stage."""

    return extract(args.connections, args.stream, full=args.full)


def build_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--as-of", metavar="DATE", help="date that the scores are about, YYYY-MM-DD (default: today)")


def build_command(args: argparse.Namespace) -> Exit:
    """Run the build stage."""

    return build(args.as_of)


def publish_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("warehouses", nargs="*", metavar="WAREHOUSE", help="which ones (default: all)")


def publish_command(args: argparse.Namespace) -> Exit:
    """Publish to each warehouse."""
    from engine.config.project import Project
    from orchestration.assets.publish import warehouse_key
    from orchestration.cli.launch import run as run_job

    project = Project.load()
    names = [project.warehouse(name) and name for name in args.warehouses] or list(project.warehouses)
    ran = run_job("deliver", assets=[warehouse_key(name) for name in names])
    tell_deliver(ran)
    return ran.exit
