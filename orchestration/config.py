"""What a user configures, as data: one model per kind of component in `defs/<name>/defs.yaml`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

WritePolicy = Literal["overwrite", "fill_empty", "owner"]
Contract = Literal["evolve", "freeze", "discard_row", "discard_value"]


class Config(BaseModel):
    """Refuse what is not known, so that a misspelt setting is an error and not a silence."""

    model_config = ConfigDict(extra="forbid")


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


class Survivorship(Config):
    """Say whose value survives for one field."""

    rule: Literal["priority", "newest", "longest", "most_frequent", "sum", "any"] = "priority"
    order: list[str] | None = Field(None, description="Connections or roles, the first one wins")


class MatchingConfig(Config):
    """Set which accounts join because they are very probably one customer (Splink, extra `matching`)."""

    enabled: bool = Field(True, description="False leaves it at the rules; without the extra there is nothing else")
    auto_link: float = Field(0.99, ge=0.9, le=1, description="At this probability two accounts join")
    suggest: float = Field(0.5, ge=0, le=1, description="From this on they are suggested (belvedere match list)")
    refit_days: int = Field(30, ge=0, description="What was learnt from the accounts is learnt anew after so long")


class RetentionConfig(Config):
    """Set how retention is scored."""

    model: Literal["bgbb"] = "bgbb"
    event: Literal["auto", "order", "invoice"] = Field("auto", description="What counts as an order")
    horizon_months: Literal["auto", 3, 6, 12] = "auto"
    refit_days: int = Field(7, ge=0, description="Parameters older than this are fitted anew")


class SatisfactionConfig(Config):
    """Set how satisfaction is scored."""

    weights: dict[str, float] = Field(default_factory=dict, description="Component -> weight; 0 disables it")
    first_reply_minutes: dict[str, float] = Field(
        default_factory=lambda: {"urgent": 60, "high": 240, "normal": 480, "low": 1440},
        description="Target of the first reply by priority",
    )
    resolution_minutes: dict[str, float] = Field(
        default_factory=lambda: {"urgent": 480, "high": 1440, "normal": 4320, "low": 10080},
        description="Target of the solution by priority",
    )
    refit_days: int = Field(7, ge=0)


class CriterionConfig(Config):
    """Change one of the criteria: what is not given stays as it is by default."""

    weight: float | None = Field(None, ge=0)
    group: Literal["growth", "harmony", "value_creation"] | None = None
    anchors: list[float] | None = Field(None, description="Ten values that score 1 to 10, rising or falling")
    enabled: bool = True


class KeyAccountsConfig(Config):
    """Set how key accounts are chosen."""

    criteria: dict[str, CriterionConfig] = Field(default_factory=dict)
    missing: Literal["neutral", "renormalise", "zero"] = "neutral"
    min_total: float = 6.0
    min_coverage: float = 0.6
    capacity: int | None = Field(None, ge=1, description="How many key accounts; by default from the managers")
    review_months: int = Field(3, ge=1, description="Tiers change only at the start of such a period")
    cost_per_ticket: float = Field(25.0, description="In the reporting currency")
    cost_per_agent_hour: float = Field(45.0, description="In the reporting currency")
    overrides: list[dict[str, Any]] = Field(default_factory=list)


class CustomerModelConfig(Config):
    """Configure how accounts become customers and how they are scored."""

    reporting_currency: str = Field("EUR", pattern="^[A-Z]{3}$")
    links: dict[str, str] = Field(
        default_factory=dict, description="Connection whose accounts carry a link -> connection it points to"
    )
    survivorship: dict[str, Survivorship] = Field(default_factory=dict)
    max_cluster: int = Field(50, ge=2, description="More accounts than this in one customer go to review")
    matching: MatchingConfig = Field(default_factory=MatchingConfig)
    rates: str | None = Field(None, description="ECB eurofxref-hist file (csv or zip); the shipped one by default")
    max_rate_age_days: int = Field(7, ge=0, description="An older rate is no rate: the row goes to quarantine")
    retention: RetentionConfig = Field(default_factory=RetentionConfig)
    satisfaction: SatisfactionConfig = Field(default_factory=SatisfactionConfig)
    key_accounts: KeyAccountsConfig = Field(default_factory=KeyAccountsConfig)
    keep_builds: int = Field(7, ge=1, description="How many builds are kept")


class Target(Config):
    """Name where a delivery goes."""

    connection: str
    stream: str = "accounts"


class FieldDelivery(Config):
    """Say what one field of the target shall hold."""

    source: Annotated[str, Field(alias="from", description="Column of the delivered table")]
    policy: WritePolicy = "overwrite"
    tolerance: float = Field(0.0, ge=0, description="A number this near to the held one is not written")
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Guards(Config):
    """Stop a plan before anything is sent."""

    max_changes: int | None = Field(None, ge=0, description="Records changed")
    max_change_pct: float | None = Field(None, ge=0, le=100, description="Share of the held values replaced")
    max_creates: int = Field(0, ge=0, description="Records created")
    max_blanks: int = Field(0, ge=0, description="Values emptied")


class DeliveryConfig(Config):
    """Configure one delivery: which table's columns go into which fields of which stream."""

    table: str = "customer_360"
    target: Target
    match: Literal["update_only", "upsert", "create_only"] = "update_only"
    fields: dict[str, FieldDelivery]
    guards: Guards = Field(default_factory=Guards)
    approve: Literal["auto", "manual"] = "auto"


class WarehouseConfig(Config):
    """Configure one warehouse: a DuckDB file (default) or any SQLAlchemy URL."""

    url: str | None = Field(None, description="duckdb:///path (default: in the home folder), postgresql://...")
    schema_name: str = Field("belvedere", pattern="^[a-z_][a-z0-9_]{0,62}$", description="Schema in the database")
    tables: list[str] | None = Field(None, description="Tables to publish; all when not given")
