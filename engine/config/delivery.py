"""The settings of a delivery."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from engine.config.base import Config

WritePolicy = Literal["overwrite", "fill_empty", "owner"]
OnConflict = Literal["keep_target", "keep_ours", "newest", "ask"]


class Target(Config):
    """The stream of a connection that a delivery writes to."""

    connection: str
    stream: str = "accounts"


class FieldDelivery(Config):
    """What one field of the target shall hold, and what happens when the two sides differ."""

    source: Annotated[
        str | None, Field(alias="from", description="Column of the table; of `accounts` where `owner` is set")
    ] = None
    value: Any = Field(None, description="A constant, instead of `from`")
    owner: str | None = Field(
        None, description="Connection or role whose value is delivered, whatever values others have"
    )
    policy: WritePolicy = Field(
        "overwrite",
        description="overwrite all; fill_empty: write empty fields; owner: write what the owner changed",
    )
    on_conflict: OnConflict | None = Field(
        None,
        description="What happens where the policy does not decide; default: `ask` for owned fields, else `keep_target`",
    )
    when_empty: Literal["keep", "clear"] = Field("keep", description="What an empty value does to the target's value")
    tolerance: float = Field(
        0.0, ge=0, description="A number that differs from the target's by no more than this is not written ..."
    )
    along: str | None = Field(None, description="... unless this other field of the target is written")
    refers: bool = Field(
        False, description="The value is an account of the owner: the target's account of the same customer is written"
    )
    required: bool = Field(False, description="A record without this value is not created")
    only_new: bool = Field(False, description="Set only when a record is created")
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    @model_validator(mode="after")
    def _has_source_and_owner(self) -> "FieldDelivery":
        if (self.refers or self.policy == "owner") and not self.owner:
            raise ValueError("`policy: owner` and `refers` need `owner`, the connection or role whose value it is")
        if (self.source is None) == (self.value is None):
            raise ValueError("set either `from`, a column, or `value`, a constant")
        return self


class Key(Config):
    """The field by which a record that Belvedere created is found again, at the target and here."""

    field: str = Field(description="Field of the target, preferably one that is unique there")
    source: Annotated[str, Field(alias="from", description="Column of the table; each value makes one record")]
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Guards(Config):
    """Limits above which a plan is stopped before anything is sent."""

    max_changes: int | None = Field(None, ge=0, description="Number of records changed")
    max_change_pct: float | None = Field(None, ge=0, le=100, description="Percentage of the target's values replaced")
    max_creates: int = Field(0, ge=0, description="Number of records created")
    max_blanks: int = Field(0, ge=0, description="Number of values emptied")
    max_deletes: int = Field(0, ge=0, description="Number of records deleted or archived, which only `undo` does")


class DeliveryConfig(Config):
    """One delivery: which columns of a table go into which fields of a stream."""

    table: str = "customer_360"
    where: str | None = Field(None, description="SQL condition on the table: only such rows are delivered")
    target: Target
    match: Literal["update_only", "upsert", "create_only"] = "update_only"
    key: Key | None = Field(None, description="Key of a created record, by which it is created once")
    create_where: str | None = Field(
        None, description="SQL condition on the table: only such rows create records; all by default"
    )
    fields: dict[str, FieldDelivery]
    gone: dict[str, Any] = Field(
        default_factory=dict,
        description="Values that a record created here gets when its row is gone, such as done: true",
    )
    after: list[str] = Field(default_factory=list, description="Deliveries that run before this one")
    guards: Guards = Field(default_factory=Guards)
    approve: Literal["auto", "manual"] = "auto"
    attempts: int = Field(5, ge=1, description="Rejections in a row after which a person has to look at a record")
    allow_blind_creates: bool = Field(
        False,
        description="True: create records although the target has no unique or idempotency key (duplicates are possible)",
    )
    read_back: int = Field(200, ge=0, description="Number of written records that are read back after each run")

    @model_validator(mode="after")
    def _creates_by_key(self) -> "DeliveryConfig":
        if self.match != "update_only" and self.key is None:
            raise ValueError(f"`match: {self.match}` creates records: it needs `key`")
        if self.gone and self.match != "create_only":
            raise ValueError("`gone` needs `match: create_only`: a delivery closes only the records that it created")
        for name, field in self.fields.items():
            if field.along and field.along not in self.fields:
                raise ValueError(f"fields.{name}.along: this delivery has no field {field.along!r}")
        return self
