"""The settings of the customer model: how accounts become customers, and how they are scored."""

import re
from datetime import date, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from engine.config.base import Config


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

    model: Literal["auto", "bgbb", "bgnbd", "mbgnbd", "mbgcnbd", "sbg", "rfm", "recency"] = Field(
        "auto", description="auto is bgbb until a backtest shows another to be better by more than a standard error"
    )
    event: Literal["auto", "order", "invoice"] = Field("auto", description="What counts as an order")
    horizon_months: Literal["auto", 3, 6, 12] = Field("auto", description="auto chooses once and keeps it")
    contract_months: int | None = Field(None, ge=1, description="Term of contracts: the horizon, and needed by sbg")
    refit_days: int = Field(7, ge=0, description="Parameters older than this are fitted anew")
    backtest_origins: int = Field(6, ge=1, description="Past dates from which `belvedere backtest` predicts")

    @model_validator(mode="after")
    def _term_is_known(self) -> "RetentionConfig":
        if self.model == "sbg" and not self.contract_months:
            raise ValueError("retention: the model sbg needs contract_months")
        if self.model == "sbg" and self.horizon_months not in ("auto", self.contract_months):
            raise ValueError("retention: the horizon of the model sbg is contract_months; leave horizon_months out")
        return self


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
    """Change one of the criteria (what is not given stays as it is), or add one of your own."""

    weight: float | None = Field(None, ge=0)
    group: Literal["growth", "harmony", "value_creation"] | None = None
    label: str | None = Field(None, description="What it measures, in words that reasons use")
    anchors: list[float] | None = Field(None, description="Ten values that score 1 to 10, rising or falling")
    sql: str | None = Field(None, description="What it measures: an SQL expression over a customer's rows in `table`")
    table: str | None = Field(None, description="Table that `sql` is over; customers when not given")
    manual: bool | None = Field(None, description="True when only people give it a score, by overrides")
    enabled: bool = True
    is_overridable: bool = Field(True, description="False when no override of it is taken")


class Override(Config):
    """Set a score, a criterion or a tier of one customer by hand, for a reason and a time."""

    customer_id: str
    what: str = Field(description="retention, satisfaction, key_account, tier, or the name of a criterion")
    value: float | Literal["A", "B", "C"] = Field(description="The value or tier that counts instead")
    reason: str = Field(min_length=3)
    author: str = Field(min_length=1)
    created_on: date
    expires_on: date | None = Field(None, description="180 days after created_on when not given; 365 at most")

    @model_validator(mode="after")
    def makes_sense(self) -> "Override":
        """Refuse a value out of range and an end that is none."""
        if self.what == "tier":
            if not isinstance(self.value, str):
                raise ValueError("a tier is A, B or C")
        else:
            low, high = (0, 100) if self.what in ("retention", "satisfaction") else (1, 10)
            if isinstance(self.value, str) or not low <= self.value <= high:
                raise ValueError(f"{self.what} is a number from {low} to {high}")
        days = (self.end - self.created_on).days
        if not 0 < days <= 365:
            raise ValueError("expires_on lies after created_on, by 365 days at most")
        return self

    @property
    def end(self) -> date:
        """Return the day on which it holds no more."""
        return self.expires_on or self.created_on + timedelta(days=180)

    def row(self) -> dict[str, Any]:
        """Return it as a row of the table `overrides`; its id is made of what it is."""
        said = "/".join((self.customer_id, self.what, self.created_on.isoformat(), self.author))
        return {
            "override_id": sha256(said.encode()).hexdigest()[:12],
            "customer_id": self.customer_id,
            "what": self.what,
            "score": None if isinstance(self.value, str) else float(self.value),
            "tier": self.value if isinstance(self.value, str) else None,
            "reason": self.reason,
            "author": self.author,
            "created_on": self.created_on,
            "expires_on": self.end,
        }


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


Kind = Literal[
    "contact", "quarterly_review", "retention_fell", "satisfaction_low", "invoice_overdue", "renewal", "handover"
]
Tier = Literal["A", "B", "C"]
Days = Annotated[int, Field(ge=1)]


class RemindersConfig(Config):
    """Set what account managers are reminded of."""

    kinds: list[Kind] = Field(default_factory=lambda: list(get_args(Kind)), description="Kinds that are on")
    cadence_days: dict[Tier, Days] = Field(
        default_factory=lambda: {"A": 14, "B": 30, "C": 90},
        description="Days between two talks by tier; a tier that is not named has no cadence",
    )
    review_days: dict[Tier, Days] = Field(
        default_factory=lambda: {"A": 91}, description="Days between two meetings by tier"
    )
    risk_tiers: list[Tier] = Field(
        default_factory=lambda: ["A", "B"], description="Tiers whose falling scores raise a reminder"
    )
    invoice_days: int = Field(15, ge=0, description="Days an invoice may be overdue")
    renewal_days: int = Field(60, ge=0, description="Days before an open deal of existing business is to close")


class SparkConfig(Config):
    """Set where Spark runs, when it is the engine of a build (extra `spark`)."""

    master: str = Field("local[*]", description="local[*] for this machine, spark://host:port, yarn, k8s://...")
    config: dict[str, str | int | bool] = Field(
        default_factory=dict, description="Spark's own settings by their full names, such as spark.driver.memory"
    )

    @field_validator("master")
    @classmethod
    def _is_a_place(cls, master: str) -> str:
        if not re.fullmatch(r"local(\[(\*|\d+)\])?|yarn|(spark|k8s)://\S+", master):
            raise ValueError("is one of local[*], local[4], spark://host:port, yarn, k8s://host:port")
        return master

    @field_validator("config")
    @classmethod
    def _is_named_in_full(cls, config: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in config:
            if not name.startswith("spark."):
                raise ValueError(f"{name!r} is no setting of Spark: their names begin with spark.")
        return config


class CustomerModelConfig(Config):
    """Configure how accounts become customers and how they are scored."""

    engine: Literal["duckdb", "spark"] = Field("duckdb", description="What makes the tables of a build")
    spark: SparkConfig = Field(default_factory=SparkConfig)
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
    overrides: list[Override] = Field(default_factory=list, description="People's word against computed scores")
    handover_days: int = Field(14, ge=1, description="Days in which a won customer is handed over")
    reminders: RemindersConfig = Field(default_factory=RemindersConfig)
    history_start: date = Field(date(2020, 1, 1), description="First day that the history of scores can be filled for")
    keep_builds: int = Field(7, ge=1, description="How many builds are kept")
