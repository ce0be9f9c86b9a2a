"""The settings of a connection."""

from typing import Any, Literal

from pydantic import Field

from engine.config.base import Config

Contract = Literal["evolve", "freeze", "discard_row", "discard_value"]


class ConnectionConfig(Config):
    """Configure one connection: which connector, with which settings, in which role."""

    connector: str = Field(description="Name of the connector: hubspot, odoo, zendesk, rest, files, ...")
    role: Literal["crm", "erp", "helpdesk", "other"] = Field("other", description="What the system is to the company")
    required: bool = Field(False, description="When it fails, nothing is delivered that night")
    settings: dict[str, Any] = Field(default_factory=dict, description="The connector's own settings")
    streams: list[str] | None = Field(None, description="Streams to read; all when not given")
    fields: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Your own field map, by stream: unified field -> path in the source"
    )
    start: str | None = Field(None, description="Earliest cursor to read from, ISO date; all when not given")
    contract: Contract = Field("evolve", description="What happens when the source changes its fields")
    max_quarantine_share: float = Field(0.05, ge=0, le=1, description="Above it a stream keeps its last good table")
    max_delete_pct: float = Field(10.0, ge=0, le=100, description="Above it a stream tombstones nothing")
    refresh_days: float = Field(7, ge=0, description="How often fields that move no cursor are read anew, in days")
