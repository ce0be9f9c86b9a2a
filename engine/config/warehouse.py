"""The settings of a warehouse."""

from pydantic import Field

from engine.config.base import Config


class WarehouseConfig(Config):
    """Configure one warehouse: a DuckDB file (default) or any SQLAlchemy URL."""

    url: str | None = Field(None, description="duckdb:///path (default: in the home folder), postgresql://...")
    schema_name: str = Field("belvedere", pattern="^[a-z_][a-z0-9_]{0,62}$", description="Schema in the database")
    tables: list[str] | None = Field(None, description="Tables to publish; all when not given")
