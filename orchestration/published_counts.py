"""Count in the warehouse itself what has arrived there, stream by stream; nothing is published that does not add up."""

from collections.abc import Callable, Sequence
from typing import Any

from connectors.kit.errors import ReplyError
from orchestration.published import TableToPublish

NAME = "reconciliation"
Run = Callable[[str], Sequence[Any]]


def count_published(
    listed: Sequence[TableToPublish], run: Run, place: Callable[[str], str], quoted: Callable[[str], str]
) -> None:
    """Fill the column `published` of a `reconciliation` that has just been loaded.

    `run` runs SQL, `place` spells a table, `quoted` a name. Raises ReplyError when the warehouse holds another number
    of rows than the build made: then nothing is published.
    """
    present = {one.name for one in listed}
    if NAME not in present:
        return
    ours, fed = place(NAME), quoted("table")
    for (table,) in run(f"SELECT DISTINCT {fed} FROM {ours} WHERE slice = 'all'"):
        if table in present:
            same = " AND ".join(f"t.{name} = {quoted(NAME)}.{name}" for name in ("connection", "stream"))
            count = f"SELECT count(*) FROM {place(table)} t WHERE {same}"
            run(f"UPDATE {ours} SET published = ({count}) WHERE {fed} = '{table}' AND slice = 'all'")
    wrong = run(f"SELECT connection, stream, conformed, published FROM {ours} WHERE published <> conformed")
    if wrong:
        said = ", ".join(f"{connection} {stream} {there} of {made}" for connection, stream, made, there in wrong)
        raise ReplyError(f"rows were lost on the way into the warehouse, which was left as it was: {said}")
