"""Console output: lines, headings, plain tables, one line per error.

Everything is printed from here, as `Text`: markup and emoji codes in source data are not interpreted, and `visible`
escapes its control characters.
"""

import sys
import traceback
from collections.abc import Iterable, Sequence
from types import TracebackType

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pages.visible import visible

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def heading(text: str) -> None:
    """Print a heading."""
    out.print()
    out.print(Text(visible(text), "bold"))


def print_line(text: str) -> None:
    """Print one line."""
    out.print(Text(visible(text)))


def print_lines(text: str) -> None:
    """Print a text of several lines; only for texts whose line breaks do not come from source data."""
    for line in text.split("\n"):
        print_line(line)


def print_error(message: object) -> None:
    """Print an error to stderr; further lines (the traceback of an unexpected one) are indented."""
    first, *others = str(message).split("\n")
    err.print(Text.assemble(("belvedere: ", "red"), visible(first)))
    for line in others:
        err.print(Text(f"  {visible(line)}"))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """Print rows under column heads; columns named in `right` are aligned right."""
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    numbers = set(right)
    for column in columns:
        grid.add_column(Text(column), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text("" if cell is None else visible(str(cell))) for cell in row))
    (out if sys.stdout.isatty() else Console(width=160, highlight=False)).print(grid)


def crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an unexpected error; a `sys.excepthook`."""
    for part in traceback.format_exception(kind, error, trace):
        for line in part.rstrip("\n").split("\n"):
            err.print(Text(visible(line)))
