"""How commands and their actions are declared."""

from argparse import ArgumentParser
from typing import Any


def add_command(commands: Any, name: str, summary: str) -> ArgumentParser:
    """Add a command or an action whose own `--help` shows the summary as well.

    `commands` is what `ArgumentParser.add_subparsers` returns; argparse keeps its class private.
    """
    parser: ArgumentParser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    return parser
