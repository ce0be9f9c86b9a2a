"""The settings of a table of one's own."""

from pydantic import Field

from engine.config.base import Config


class TableConfig(Config):
    """Configure a table that is made of others, by an SQL query or by a function on Ibis tables."""

    description: str = Field(min_length=3, description="What a row says, for the warehouse and for Dagster")
    grain: str = Field(min_length=3, description="What one row is, such as: one row a customer")
    key: list[str] = Field(min_length=1, description="Columns that are never empty, and together name one row")
    inputs: list[str] = Field(min_length=1, description="Tables that it is made of, ours and your own")
    sql: str | None = Field(None, description="File with one SELECT, beside defs.yaml")
    function: str | None = Field(None, description="In place of `sql`: package.module:function, Ibis in, Ibis out")
    columns: dict[str, str] = Field(default_factory=dict, description="Descriptions of columns")
    group: str = Field("own", pattern="^[a-z][a-z0-9_]*$", description="Group of the asset in Dagster")
