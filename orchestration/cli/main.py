"""The command `belvedere`: one module a command, each imported when it is called."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType

from orchestration.cli.exits import Exit
from orchestration.cli.stop import is_stopped, stopping
from orchestration.collector import sparing_what_stays

COMMANDS = {
    "sync": "run a whole night: extract, build, deliver",
    "extract": "pull what changed from the connections into the lake",
    "build": "make every table from what the lake holds",
    "backtest": "predict from past dates by every model of retention, and compare with what came",
    "plan": "compare what targets should hold with what they hold, and save the difference",
    "apply": "write a planned difference to its target",
    "conflicts": "list where targets hold something else than is wanted, and decide",
    "undo": "plan to take back what a run wrote",
    "publish": "put all tables into the warehouses",
    "check": "prove that connections work: reachable, authorised, the right account, all fields there",
    "reconcile": "compare what is held with a fresh reading of everything",
    "calibrate": "take new anchors for the criteria of key accounts from the portfolio, and say what they change",
    "customer": "show one customer: the record, its accounts, its scores and why",
    "match": "list accounts that may be one customer, and judge them: same, different, forget",
    "quarantine": "list, show or replay the rows that broke their table's rules",
    "fields": "list the fields that sources show, what is new, gone or retyped of them, and accept it",
    "state": "show or reset what has been read, built and delivered",
    "init": "write the folders of a new project by asking",
    "sandbox": "run stand-ins of HubSpot, Odoo and Zendesk on this machine",
    "demo": "run three nights against the sandbox and say what happened",
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
    module = import_module(f"orchestration.cli.{args.command}")
    try:
        return int(module.run(args))
    except Exception as error:
        if is_stopped():  # whatever else goes wrong on the way out
            raise KeyboardInterrupt from None
        said = _expected(error)
        if said is None:
            raise
        from orchestration.cli.console import fail

        code, message = said
        fail(message)
        return code


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    from orchestration.cli.console import crash

    crash(kind, error, trace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="belvedere",
        description="A sync engine between CRMs, ERPs and helpdesks.",
        epilog="exit codes: 0 done, 1 failed, 2 usage, 3 finished with parts missing or rejected, "
        "75 another run holds the lease, 130 or 143 stopped by Ctrl-C or SIGTERM",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = _asked()
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if asked in (name, None) or asked not in COMMANDS:
            import_module(f"orchestration.cli.{name}").arguments(command)
    return parser


def _asked() -> str | None:
    return next((word for word in sys.argv[1:] if not word.startswith("-")), None)


def _expected(error: Exception) -> tuple[Exit, object] | None:
    """Give exit code and line of an error that a person can act upon; None is a bug and wants its traceback."""
    from connectors.kit.errors import ConnectorError
    from orchestration.storage.disk import explain
    from orchestration.storage.lease import LeaseHeld

    if isinstance(error, LeaseHeld):
        return Exit.HELD, error
    if said := explain(error):
        return Exit.FAILED, said
    return (Exit.FAILED, error) if isinstance(error, ConnectorError) else None


if __name__ == "__main__":
    sys.exit(main())
