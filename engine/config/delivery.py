"""The settings of a delivery."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from engine.config.base import Config

WritePolicy = Literal["overwrite", "fill_empty", "owner"]
OnConflict = Literal["keep_target", "keep_ours", "newest", "ask"]


class Target(Config):
    """Name where a delivery goes."""

    connection: str
    stream: str = "accounts"


class FieldDelivery(Config):
    """Say what one field of the target shall hold, whose it is, and what happens when both sides differ."""

    source: Annotated[
        str | None, Field(alias="from", description="Column of the table; of `accounts` where `owner` is given")
    ] = None
    value: Any = Field(None, description="A constant, in place of `from`")
    owner: str | None = Field(None, description="Connection or role whose value it is, whatever others hold")
    policy: WritePolicy = Field("overwrite", description="ours; only what is empty; what its owner changed")
    on_conflict: OnConflict | None = Field(
        None, description="Where the policy does not decide: `ask` for owned fields, else `keep_target`"
    )
    when_empty: Literal["keep", "clear"] = Field("keep", description="What an empty value does to what is held")
    tolerance: float = Field(0.0, ge=0, description="A number this near to the held one is not written ...")
    along: str | None = Field(None, description="... unless this other field of the target is")
    refers: bool = Field(False, description="The value is an account of the owner: write the target's of that customer")
    required: bool = Field(False, description="Without a value nothing is created")
    only_new: bool = Field(False, description="Given to records that are created here, and never touched after")
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _has_an_owner(self) -> "FieldDelivery":
        if (self.refers or self.policy == "owner") and not self.owner:
            raise ValueError("`policy: owner` and `refers` need `owner`, the connection or role whose value it is")
        if (self.source is None) == (self.value is None):
            raise ValueError("give `from`, a column, or `value`, a constant")
        return self


class Key(Config):
    """Say by which field a record that Belvedere creates is known again, at the target and here."""

    field: str = Field(description="Field of the target, best one that is unique there")
    source: Annotated[str, Field(alias="from", description="Column of the table: one value, one record")]
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Guards(Config):
    """Stop a plan before anything is sent."""

    max_changes: int | None = Field(None, ge=0, description="Records changed")
    max_change_pct: float | None = Field(None, ge=0, le=100, description="Share of the held values replaced")
    max_creates: int = Field(0, ge=0, description="Records created")
    max_blanks: int = Field(0, ge=0, description="Values emptied")
    max_deletes: int = Field(0, ge=0, description="Records deleted or archived (by undo)")


class DeliveryConfig(Config):
    """Configure one delivery: which table's columns go into which fields of which stream."""

    table: str = "customer_360"
    where: str | None = Field(None, description="SQL condition on the table: which rows are delivered")
    target: Target
    match: Literal["update_only", "upsert", "create_only"] = "update_only"
    key: Key | None = Field(None, description="What makes a record that is created the only one")
    create_where: str | None = Field(
        None, description="SQL condition on the table: what may be created; all by default"
    )
    fields: dict[str, FieldDelivery]
    gone: dict[str, Any] = Field(
        default_factory=dict, description="What a record created here gets when its row is no more, such as done: true"
    )
    after: list[str] = Field(default_factory=list, description="Deliveries that go first: parents before children")
    guards: Guards = Field(default_factory=Guards)
    approve: Literal["auto", "manual"] = "auto"
    attempts: int = Field(5, ge=1, description="Refusals in a row after which a person must look")
    allow_blind_creates: bool = Field(
        False, description="Create even where the target knows neither a unique key nor an idempotency key"
    )
    read_back: int = Field(200, ge=0, description="How many written records are read again after each run")

    @model_validator(mode="after")
    def _creates_by_key(self) -> "DeliveryConfig":
        if self.match != "update_only" and self.key is None:
            raise ValueError(f"`match: {self.match}` creates records: it needs `key`")
        if self.gone and self.match != "create_only":
            raise ValueError("`gone` is for `match: create_only`: only records of its own may be closed")
        for name, field in self.fields.items():
            if field.along and field.along not in self.fields:
                raise ValueError(f"fields.{name}.along: this delivery has no field {field.along!r}")
        return self
