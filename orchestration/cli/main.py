"""The command `belvedere`. The module of a subcommand is imported only when it runs, so that `--help` is fast."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any

from engine.storage.gc_tuning import rare_garbage_collection
from orchestration.cli.exits import Exit
from orchestration.cli.stop import is_stopped, stopping
from orchestration.cli.subcommands import add_command

COMMANDS = {  # command: its module, and what it does
    "sync": ("run", "run one night: extract, build, deliver"),
    "extract": ("run", "read what changed in the connected systems into the raw lake"),
    "build": ("run", "make every table from the raw lake"),
    "backtest": (
        "models",
        "forecast orders from past dates with every retention model, and compare with what customers ordered",
    ),
    "plan": ("deliver", "compare what targets should hold with what they hold now, and save the changes as a plan"),
    "apply": ("deliver", "approve a plan and write it to its target"),
    "conflicts": ("deliver", "list values on which a target and its delivery disagree, and decide which one counts"),
    "undo": ("deliver", "plan the reverse of what a run wrote"),
    "publish": ("run", "copy all tables into the warehouses"),
    "check": ("check", "check connections: reachable, authorised, the right account, all mapped fields present"),
    "reconcile": ("check", "read the sources in full and compare them with the records stored"),
    "calibrate": (
        "models",
        "compute new anchors for the key-account criteria, and show which scores and tiers they change",
    ),
    "customer": ("inspect", "show one customer: its record, accounts, scores with reasons, and recent activity"),
    "match": ("match", "list accounts that may belong to one customer, and record whether they do"),
    "quarantine": ("inspect", "list, show or recheck the rows that broke a rule of their table"),
    "fields": ("inspect", "list the fields of the sources and what changed (new, gone, retyped), and accept changes"),
    "state": ("inspect", "show what has been read, built and delivered; reset or unpin a connection"),
    "init": ("init", "set up connections by answering questions"),
    "sandbox": ("demo", "run the stand-ins of HubSpot, Odoo and Zendesk on this machine"),
    "demo": ("demo", "run three nights against the sandbox and report what happened"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle threads spin; no matrix here is large
    # pandera imports PySpark where it is installed; the parts that it warns of are not used here.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    sys.excepthook = _crash
    with stopping(_command_word() or "the command") as stop, rare_garbage_collection():
        try:
            return _run(argv)
        except KeyboardInterrupt:
            stop.report(_command_word() or "the command")
            return stop.code


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    try:
        return int(_function(args.command, "command")(args))
    except Exception as error:
        if is_stopped():  # errors on the way out are not reported
            raise KeyboardInterrupt from None
        answer = _expected(error)
        if answer is None:
            raise
        from orchestration.cli.output import print_error

        code, message = answer
        print_error(message)
        return code


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    from orchestration.cli.output import crash

    crash(kind, error, trace)


def _function(command: str, role: str) -> Callable[..., Any]:
    """Import the function that runs a command (role `command`) or adds its arguments (`arguments`)."""
    module, _ = COMMANDS[command]
    function: Callable[..., Any] = getattr(import_module(f"orchestration.cli.{module}"), f"{command}_{role}")
    return function


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="belvedere",
        description="Sync CRMs, ERPs and helpdesks: read, check, join, score and deliver customer data.",
        epilog="Exit codes: 0 done; 1 failed; 2 wrong usage; 3 finished, but parts are missing or were rejected; "
        "75 another run is at work, try again later; 130 or 143 stopped by Ctrl-C or SIGTERM.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = _command_word()
    for name, (_, summary) in COMMANDS.items():
        command = add_command(commands, name, summary)
        if wanted in (name, None) or wanted not in COMMANDS:
            _function(name, "arguments")(command)
    return parser


def _command_word() -> str | None:
    return next((word for word in sys.argv[1:] if not word.startswith("-")), None)


def _expected(error: Exception) -> tuple[Exit, object] | None:
    """Return exit code and message of an error that the user can act on; None for a bug, whose traceback is shown."""
    from connectors.kit.errors import ConnectorError
    from engine.storage.disk import explain
    from engine.storage.lease import LeaseTaken

    if isinstance(error, LeaseTaken):
        return Exit.LOCKED, error
    if reason := explain(error):
        return Exit.FAILED, reason
    return (Exit.FAILED, error) if isinstance(error, ConnectorError) else None


if __name__ == "__main__":
    sys.exit(main())
