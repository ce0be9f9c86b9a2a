"""The settings of a connection."""

from typing import Any, Literal

from pydantic import Field

from engine.config.base import Config

Contract = Literal["evolve", "freeze", "discard_row", "discard_value"]


class ConnectionConfig(Config):
    """One connection: which connector, with which settings, in which role."""

    connector: str = Field(description="Name of the connector: hubspot, odoo, zendesk, rest, files, ...")
    role: Literal["crm", "erp", "helpdesk", "other"] = Field("other", description="What the system is to the company")
    required: bool = Field(False, description="True: nothing is delivered in a night in which it fails")
    settings: dict[str, Any] = Field(default_factory=dict, description="The connector's own settings")
    streams: list[str] | None = Field(None, description="Streams to read; all by default")
    fields: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Your own field map, by stream: field of the table -> path in the source"
    )
    start: str | None = Field(
        None, description="Earliest cursor value to read from, ISO date; by default everything is read"
    )
    contract: Contract = Field("evolve", description="What happens when the fields of the source change (schema drift)")
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Above this share of its rows a stream keeps its last good table"
    )
    max_delete_pct: float = Field(
        10.0,
        ge=0,
        le=100,
        description="Delete guard: above this percentage of records nothing is deleted",
    )
    refresh_days: float = Field(
        7, ge=0, description="Days between two readings of the fields whose changes do not move the cursor"
    )
