"""A mark in the comments of published tables, by which they are told from the tables of others."""

from collections.abc import Collection, Sequence

LOAD_INFO = "load_info"
LOAD_INFO_COMMENT = "What was loaded, when, and from which build."
NAMED_AT_MOST = 3


def marked(table: str, comment: str) -> str:
    """Return the comment of a published table with its mark.

    A table that others rename or make again lacks the right mark.
    """
    return f"{comment} {_mark(table)}".strip()


def is_ours(table: str, comment: str | None, listed: Collection[str]) -> bool:
    """Say whether Belvedere published a table, by its comment.

    `listed` are the tables that an unmarked `load_info` names: a version before marks has published
    those.
    """
    if not comment:
        return False
    return comment.endswith(_mark(table)) or table in listed


def is_unmarked_load_info(comment: str | None) -> bool:
    """Say whether a `load_info` with this comment was written by a version that set no marks."""
    return comment == LOAD_INFO_COMMENT


def some_of(names: Sequence[str]) -> str:
    """Name the first few, and say how many more there are."""
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def _mark(table: str) -> str:
    return f"Published by Belvedere as {table}."
