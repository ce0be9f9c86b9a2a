"""Tell the tables that Belvedere published from those of others, by a mark in their comments."""

from collections.abc import Collection, Sequence

LOAD_INFO = "load_info"
LOAD_INFO_COMMENT = "What was loaded, when, and from which build."
SHOWN = 3


def marked(table: str, comment: str) -> str:
    """Return the comment that a published table carries; one that is renamed or made anew loses its mark."""
    return f"{comment} {_mark(table)}".strip()


def is_ours(table: str, comment: str | None, listed: Collection[str]) -> bool:
    """Answer whether Belvedere published a table, by the comment it carries.

    `listed` holds the tables of a `load_info` that carries no mark: until now tables had comments, but no mark.
    """
    if not comment:
        return False
    return comment.endswith(_mark(table)) or table in listed


def is_unmarked_load_info(comment: str | None) -> bool:
    """Answer whether a `load_info` with this comment was written before tables were marked."""
    return comment == LOAD_INFO_COMMENT


def some_of(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _mark(table: str) -> str:
    return f"Published by Belvedere as {table}."
