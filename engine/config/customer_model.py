"""The settings of the customer model: how accounts become customers, and how they are scored."""

import re
from datetime import date, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from engine.config.base import Config


class Survivorship(Config):
    """Whose value of one field a customer gets."""

    rule: Literal["priority", "newest", "longest", "most_frequent", "sum", "any"] = "priority"
    order: list[str] | None = Field(None, description="Connections or roles, the first one that has a value wins")


class MatchingConfig(Config):
    """Which accounts are joined by probability (Splink, extra `matching`)."""

    enabled: bool = Field(
        True, description="False: only the match rules join accounts, as without the extra `matching`"
    )
    auto_link: float = Field(0.99, ge=0.9, le=1, description="Probability from which two accounts are joined")
    suggest: float = Field(
        0.5, ge=0, le=1, description="Probability from which they are suggested (belvedere match list)"
    )
    refit_days: int = Field(30, ge=0, description="Days after which the model is fitted to the accounts again")


class RetentionConfig(Config):
    """How retention is scored."""

    model: Literal["auto", "bgbb", "bgnbd", "mbgnbd", "mbgcnbd", "sbg", "rfm", "recency"] = Field(
        "auto", description="auto is bgbb until a backtest finds another model better by more than a standard error"
    )
    event: Literal["auto", "order", "invoice"] = Field("auto", description="What counts as an order")
    horizon_months: Literal["auto", 3, 6, 12] = Field("auto", description="auto chooses a horizon once and keeps it")
    contract_months: int | None = Field(
        None, ge=1, description="Term of a contract in months; sbg needs it, and takes it for the horizon"
    )
    refit_days: int = Field(7, ge=0, description="Days after which parameters are fitted again")
    backtest_origins: int = Field(6, ge=1, description="Past dates from which `belvedere backtest` predicts")

    @model_validator(mode="after")
    def _term_is_known(self) -> "RetentionConfig":
        if self.model == "sbg" and not self.contract_months:
            raise ValueError("retention: the model sbg needs contract_months")
        if self.model == "sbg" and self.horizon_months not in ("auto", self.contract_months):
            raise ValueError("retention: the horizon of the model sbg is contract_months; leave horizon_months out")
        return self


class SatisfactionConfig(Config):
    """How satisfaction is scored."""

    weights: dict[str, float] = Field(default_factory=dict, description="Component -> weight; 0 disables it")
    first_reply_minutes: dict[str, float] = Field(
        default_factory=lambda: {"urgent": 60.0, "high": 240.0, "normal": 480.0, "low": 1440.0},
        description="Target in minutes of the first reply, by priority",
    )
    resolution_minutes: dict[str, float] = Field(
        default_factory=lambda: {"urgent": 480.0, "high": 1440.0, "normal": 4320.0, "low": 10080.0},
        description="Target in minutes of the solution, by priority",
    )
    refit_days: int = Field(7, ge=0, description="Days after which priors are fitted again")


class CriterionConfig(Config):
    """A criterion of your own, or a change of one of ours, of which the rest stays."""

    weight: float | None = Field(None, ge=0)
    group: Literal["growth", "harmony", "value_creation"] | None = None
    label: str | None = Field(None, description="What it measures, as reasons say it")
    anchors: list[float] | None = Field(None, description="The ten values that score 1 to 10, rising or falling")
    sql: str | None = Field(None, description="SQL expression of the value, over a customer's rows in `table`")
    table: str | None = Field(None, description="Table that `sql` reads; customers by default")
    manual: bool | None = Field(None, description="True: only overrides give it a score")
    enabled: bool = True
    is_overridable: bool = Field(True, description="False: overrides of it are refused")


class Override(Config):
    """A score, a criterion or a tier of one customer that a person has set."""

    customer_id: str
    what: str = Field(description="retention, satisfaction, key_account, tier, or the name of a criterion")
    value: float | Literal["A", "B", "C"] = Field(
        description="The number, or the tier, that counts in place of the computed one"
    )
    reason: str = Field(min_length=3)
    author: str = Field(min_length=1)
    created_on: date
    expires_on: date | None = Field(None, description="180 days after created_on by default; 365 at most")

    @model_validator(mode="after")
    def makes_sense(self) -> "Override":
        """Refuse a value out of range, and an end before or far after the beginning."""
        if self.what == "tier":
            if not isinstance(self.value, str):
                raise ValueError("a tier must be A, B or C")
        else:
            # Retention and satisfaction are percentages, criteria and totals of key accounts run from 1 to 10.
            low, high = (0, 100) if self.what in ("retention", "satisfaction") else (1, 10)
            if isinstance(self.value, str) or not low <= self.value <= high:
                raise ValueError(f"{self.what} must be a number from {low} to {high}")
        days = (self.end - self.created_on).days
        if not 0 < days <= 365:
            raise ValueError("expires_on must be after created_on, by 365 days at most")
        return self

    @property
    def end(self) -> date:
        """Return the first day on which it is no longer in force."""
        return self.expires_on or self.created_on + timedelta(days=180)

    def row(self) -> dict[str, Any]:
        """Return the row of the table `overrides`.

        Its id is a digest of customer, what, day and author.
        """
        identity = "/".join((self.customer_id, self.what, self.created_on.isoformat(), self.author))
        return {
            "override_id": sha256(identity.encode()).hexdigest()[:12],
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
    """How key accounts are chosen."""

    criteria: dict[str, CriterionConfig] = Field(default_factory=dict)
    missing: Literal["neutral", "renormalise", "zero"] = "neutral"
    min_total: float = 6.0
    min_coverage: float = 0.6
    capacity: int | None = Field(
        None, ge=1, description="Number of key accounts; by default it follows from the account managers"
    )
    review_months: int = Field(3, ge=1, description="Months between two changes of tiers")
    cost_per_ticket: float = Field(25.0, description="In the reporting currency")
    cost_per_agent_hour: float = Field(45.0, description="In the reporting currency")


Kind = Literal[
    "contact", "quarterly_review", "retention_fell", "satisfaction_low", "invoice_overdue", "renewal", "handover"
]
Tier = Literal["A", "B", "C"]
Days = Annotated[int, Field(ge=1)]


class RemindersConfig(Config):
    """What account managers are reminded of."""

    kinds: list[Kind] = Field(default_factory=lambda: list(get_args(Kind)), description="Kinds of reminders to make")
    cadence_days: dict[Tier, Days] = Field(
        default={"A": 14, "B": 30, "C": 90},
        description="Days between two contacts, by tier; a tier that is not named has no cadence",
    )
    review_days: dict[Tier, Days] = Field(default={"A": 91}, description="Days between two reviews, by tier")
    risk_tiers: list[Tier] = Field(default=["A", "B"], description="Tiers of which a falling score makes a reminder")
    invoice_days: int = Field(15, ge=0, description="Days that an invoice may be overdue before a reminder")
    renewal_days: int = Field(60, ge=0, description="Days before the close date of an open deal of existing business")


class SparkConfig(Config):
    """Where Spark runs, when it is the engine of a build (extra `spark`)."""

    master: str = Field("local[*]", description="local[*] for this machine, spark://host:port, yarn, k8s://...")
    config: dict[str, str | int | bool] = Field(
        default_factory=dict, description="Spark's own settings by their full names, such as spark.driver.memory"
    )

    @field_validator("master")
    @classmethod
    def _is_master(cls, master: str) -> str:
        if not re.fullmatch(r"local(\[(\*|\d+)\])?|yarn|(spark|k8s)://\S+", master):
            raise ValueError("is one of local[*], local[4], spark://host:port, yarn, k8s://host:port")
        return master

    @field_validator("config")
    @classmethod
    def _is_named_in_full(cls, config: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        for name in config:
            if not name.startswith("spark."):
                raise ValueError(f"{name!r} is not a setting of Spark: their names begin with spark.")
        return config


class CustomerModelConfig(Config):
    """How accounts become customers and how they are scored."""

    engine: Literal["duckdb", "spark"] = Field("duckdb", description="Engine that makes the tables of a build")
    spark: SparkConfig = Field(default_factory=SparkConfig)
    reporting_currency: str = Field("EUR", pattern="^[A-Z]{3}$")
    links: dict[str, str] = Field(
        default_factory=dict, description="Connection whose accounts hold a link -> connection that the link points to"
    )
    survivorship: dict[str, Survivorship] = Field(default_factory=dict)
    max_cluster: int = Field(50, ge=2, description="A customer of more accounts than this goes to review")
    matching: MatchingConfig = Field(default_factory=MatchingConfig)
    rates: str | None = Field(
        None, description="Exchange rates: an ECB eurofxref-hist file (csv or zip); the one we ship by default"
    )
    max_rate_age_days: int = Field(
        7, ge=0, description="Days that a rate may be old; a row whose rate is older goes to quarantine"
    )
    retention: RetentionConfig = Field(default_factory=RetentionConfig)
    satisfaction: SatisfactionConfig = Field(default_factory=SatisfactionConfig)
    key_accounts: KeyAccountsConfig = Field(default_factory=KeyAccountsConfig)
    overrides: list[Override] = Field(
        default_factory=list, description="Values that people set in place of computed ones"
    )
    handover_days: int = Field(14, ge=1, description="Days until a customer who was won is to be handed over")
    reminders: RemindersConfig = Field(default_factory=RemindersConfig)
    history_start: date = Field(date(2020, 1, 1), description="First day for which the history of scores can be filled")
    keep_builds: int = Field(7, ge=1, description="Number of builds whose tables are kept")
