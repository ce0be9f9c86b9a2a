"""How the command line speaks: one console, plain tables, one line an error."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def heading(text: str) -> None:
    """Print a heading."""
    out.print(f"\n[bold]{escape(text)}[/bold]")


def say(text: str) -> None:
    """Print a line as it is."""
    out.print(escape(text))


def fail(message: object) -> None:
    """Print one line of error."""
    err.print(f"[red]belvedere:[/red] {escape(str(message))}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[str] = ()) -> None:
    """Print rows under column heads; columns named in `right` hold numbers."""
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    numbers = set(right)
    for column in columns:
        grid.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
    (out if sys.stdout.isatty() else Console(width=160, highlight=False)).print(grid)
