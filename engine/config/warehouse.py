"""The settings of a warehouse."""

from pydantic import Field

from engine.config.base import Config


class WarehouseConfig(Config):
    """One warehouse: a DuckDB file, the default, or a database by its SQLAlchemy URL."""

    url: str | None = Field(
        None, description="duckdb:///PATH or postgresql://...; by default a DuckDB file in the home folder"
    )
    schema_name: str = Field("belvedere", pattern="^[a-z_][a-z0-9_]{0,62}$", description="Schema in the database")
    tables: list[str] | None = Field(None, description="Tables to publish; all by default")
