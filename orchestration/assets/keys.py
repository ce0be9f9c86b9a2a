"""What our assets are called in Dagster, and the tag by which jobs select them."""

import dagster as dg

from engine.config.loader import asset_prefix

STAGE = "belvedere/stage"  # tag of assets and of runs: extract, build, deliver, backtest or history


def name_of(key: dg.AssetKey) -> str:
    """The name of one of our assets without the prefix: its path in the lake."""
    return "/".join(key.path[len(asset_prefix()) :])


def raw_key(connection: str, stream: str) -> dg.AssetKey:
    """The key of a stream's raw rows: its path in the lake."""
    return _key("raw", connection, stream)


def table_key(table: str) -> dg.AssetKey:
    """The key of a table."""
    return _key(table)


def plan_key(delivery: str) -> dg.AssetKey:
    """The key of a delivery's plan."""
    return _key("plan", delivery)


def delivered_key(delivery: str) -> dg.AssetKey:
    """The key of a delivery's outcomes."""
    return _key("delivered", delivery)


def warehouse_key(warehouse: str) -> dg.AssetKey:
    """The key of a warehouse."""
    return _key(warehouse)


def _key(*parts: str) -> dg.AssetKey:
    return dg.AssetKey([*asset_prefix(), *parts])
