"""The check `rules` of every table of a build: its rows keep the rules of their schema."""

import dagster as dg

from engine.build.context import TableResult
from orchestration.assets.keys import table_key


def rules(result: TableResult) -> dg.AssetCheckResult:
    """Report rows set aside, as a warning; a stream that kept its last table, or a result that breaks its own rules, as an error."""
    not_replaced = [
        f"{stream}: {note['share']:.0%} of its rows are broken; "
        + (f"its last {note['kept_last']} good rows stay" if note["kept_last"] else "there is no earlier table to keep")
        for stream, note in result.notes.items()
        if isinstance(note, dict) and "share" in note
    ]
    broken = [f"{count} rows: {reason}" for reason, count in result.broken.items()]
    broken += [
        f"{stream}: {note['unfit']} rows hold values that are not of their type; the contract is freeze"
        for stream, note in result.notes.items()
        if isinstance(note, dict) and "unfit" in note
    ]
    return dg.AssetCheckResult(
        passed=not not_replaced and not broken,
        check_name="rules",
        asset_key=table_key(result.table),
        description="; ".join([*not_replaced, *broken]) or None,
        metadata={"rows": result.rows},
    )
