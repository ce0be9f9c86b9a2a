"""What our assets are called in Dagster, and the tag by which jobs select them."""

import dagster as dg

STAGE = "belvedere/stage"  # tag of assets and of runs: extract, build, deliver, backtest or history


def raw_key(connection: str, stream: str) -> dg.AssetKey:
    """The key of a stream's raw rows: its path in the lake."""
    return dg.AssetKey(["raw", connection, stream])


def table_key(table: str) -> dg.AssetKey:
    """The key of a table."""
    return dg.AssetKey([table])


def plan_key(delivery: str) -> dg.AssetKey:
    """The key of a delivery's plan."""
    return dg.AssetKey(["plan", delivery])


def delivered_key(delivery: str) -> dg.AssetKey:
    """The key of a delivery's outcomes."""
    return dg.AssetKey(["delivered", delivery])


def warehouse_key(warehouse: str) -> dg.AssetKey:
    """The key of a warehouse."""
    return dg.AssetKey([warehouse])
