"""What a build leaves out of a stream's rows: values against the contract, and fields that were not asked for."""

from collections.abc import Collection
from typing import Any

import ibis.expr.types as ir

from connectors.kit.stream import Stream
from orchestration.config import Contract
from orchestration.storage import engine
from transforms.payload import lacks


def left_out(
    connection: str,
    stream: Stream,
    newest: ir.Table,
    typed: ir.Table,
    sparse: Collection[str],
    contract: Contract,
) -> dict[str, Any]:
    """Count the values that were discarded, by reason; say in words which mapped fields rows were read without.

    `sparse` are the mapped paths that some file has no column for; nothing else needs a look at the payloads. Where
    only the records tell which fields there are, one without a field may well be whole. `unfit` counts the rows that
    hold what the contract `freeze` would never let in: values that are not of their type.
    """
    discarded = _discarded(typed) if "_discarded" in typed.columns else {}
    asked = [path for path in stream.paths if path in sparse and not path.startswith("_")]
    unread = _unread(connection, stream, newest, asked) if asked and stream.described else []
    unfit = engine.row_count(typed.filter(typed._unreadable.notnull())) if contract == "freeze" else 0
    found = {"discarded": discarded, "unread": unread, "unfit": unfit}
    return {name: told for name, told in found.items() if told}


def _discarded(typed: ir.Table) -> dict[str, int]:
    single = typed.filter(typed._discarded.notnull()).select(reason=typed._discarded.split("; ").unnest())
    rows = single.group_by("reason").agg(rows=single.count()).order_by("reason").to_pyarrow().to_pylist()
    return {row["reason"]: row["rows"] for row in rows}


def _unread(connection: str, stream: Stream, newest: ir.Table, asked: list[str]) -> list[str]:
    named = {f"n{number}": lacks(newest, path).sum() for number, path in enumerate(asked)}
    row = newest.agg(rows=newest.count(), **named).to_pyarrow().to_pylist()[0]
    return [
        f"{row[f'n{number}']} of {row['rows']} held rows were read before {path} was asked for: "
        f"belvedere extract {connection} --stream {stream.name} --full"
        for number, path in enumerate(asked)
        if row[f"n{number}"]
    ]
