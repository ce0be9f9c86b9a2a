"""The command `belvedere`: the module of a command is imported when it is called."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from types import TracebackType
from typing import Any

from engine.storage.gc_tuning import sparing_what_stays
from orchestration.cli.exits import Exit
from orchestration.cli.stop import is_stopped, stopping

COMMANDS = {  # command: its module, and what it does
    "sync": ("run", "run a whole night: extract, build, deliver"),
    "extract": ("run", "pull what changed from the connections into the lake"),
    "build": ("run", "make every table from what the lake holds"),
    "backtest": ("models", "predict from past dates by every model of retention, and compare with what came"),
    "plan": ("deliver", "compare what targets should hold with what they hold, and save the difference"),
    "apply": ("deliver", "write a planned difference to its target"),
    "conflicts": ("deliver", "list where targets hold something else than is wanted, and decide"),
    "undo": ("deliver", "plan to take back what a run wrote"),
    "publish": ("run", "put all tables into the warehouses"),
    "check": ("check", "prove that connections work: reachable, authorised, the right account, all fields there"),
    "reconcile": ("check", "compare what is held with a fresh reading of everything"),
    "calibrate": (
        "models",
        "take new anchors for the criteria of key accounts from the portfolio, and say what they change",
    ),
    "customer": ("inspect", "show one customer: the record, its accounts, its scores and why"),
    "match": ("match", "list accounts that may be one customer, and judge them: same, different, forget"),
    "quarantine": ("inspect", "list, show or replay the rows that broke their table's rules"),
    "fields": ("inspect", "list the fields that sources show, what is new, gone or retyped of them, and accept it"),
    "state": ("inspect", "show or reset what has been read, built and delivered"),
    "init": ("init", "write the folders of a new project by asking"),
    "sandbox": ("demo", "run stand-ins of HubSpot, Odoo and Zendesk on this machine"),
    "demo": ("demo", "run three nights against the sandbox and say what happened"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and answer its exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads spin when numpy starts; no matrix here is large
    # pandera imports PySpark where it is installed; the parts that it warns of are not used here.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    sys.excepthook = _crash
    with stopping(_asked() or "the command") as stop, sparing_what_stays():
        try:
            return _run(argv)
        except KeyboardInterrupt:
            stop.say(_asked() or "the command")
            return stop.code


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)
    try:
        return int(_function(args.command, "command")(args))
    except Exception as error:
        if is_stopped():  # whatever else goes wrong on the way out
            raise KeyboardInterrupt from None
        said = _expected(error)
        if said is None:
            raise
        from orchestration.cli.output import fail

        code, message = said
        fail(message)
        return code


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    from orchestration.cli.output import crash

    crash(kind, error, trace)


def _function(command: str, role: str) -> Callable[..., Any]:
    """Import what a command does (`command`), or what adds its arguments (`arguments`)."""
    module, _ = COMMANDS[command]
    found: Callable[..., Any] = getattr(import_module(f"orchestration.cli.{module}"), f"{command}_{role}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="belvedere",
        description="A sync engine between CRMs, ERPs and helpdesks.",
        epilog="exit codes: 0 done, 1 failed, 2 usage, 3 finished with parts missing or rejected, "
        "75 another run holds the lease, 130 or 143 stopped by Ctrl-C or SIGTERM",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = _asked()
    for name, (_, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if asked in (name, None) or asked not in COMMANDS:
            _function(name, "arguments")(command)
    return parser


def _asked() -> str | None:
    return next((word for word in sys.argv[1:] if not word.startswith("-")), None)


def _expected(error: Exception) -> tuple[Exit, object] | None:
    """Give exit code and line of an error that a person can act upon; None is a bug and wants its traceback."""
    from connectors.kit.errors import ConnectorError
    from engine.storage.disk import explain
    from engine.storage.lease import LeaseTaken

    if isinstance(error, LeaseTaken):
        return Exit.LOCKED, error
    if said := explain(error):
        return Exit.FAILED, said
    return (Exit.FAILED, error) if isinstance(error, ConnectorError) else None


if __name__ == "__main__":
    sys.exit(main())
