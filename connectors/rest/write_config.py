"""What YAML says of writing to a REST API: how a record is changed, made, deleted, found and read again."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.kit.base import Action, Status

Method = Literal["PATCH", "PUT", "POST"]


RENAMED_SETTINGS = {
    "derived": "uncursored_fields",
    "settles_seconds": "write_timeout_seconds",
    "zero_is_empty": "zero_means_null",
}


class Strict(BaseModel):
    """Settings that refuse unknown names, and name the new one of a setting that was renamed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed_settings(cls, settings: Any) -> Any:
        for old, new in RENAMED_SETTINGS.items():
            if isinstance(settings, Mapping) and old in settings and new in cls.model_fields:
                raise ValueError(f"the setting {old} is now called {new}: rename it")
        return settings


class Version(Strict):
    """Say how a record's version is known, and how a change says at which one it was planned."""

    path: str | None = Field(None, description="Where it lies in a record; the ETag of a single record when not given")
    header: str | None = Field("If-Match", description="Header to send it in")
    member: str | None = Field(None, description="Member of the body to send it in")
    is_number: bool = False

    def sent(self, version: str) -> str | int:
        """Give a version as a body holds it."""
        return int(version) if self.is_number else version


class Create(Strict):
    """Say how a new record is made."""

    path: str
    method: Method = "POST"
    id_path: str | None = Field(None, description="Where the answer tells the new id; the primary key when not given")
    taken: list[int] = Field([409], description="Statuses by which a unique value is refused that is there already")


class Delete(Strict):
    """Say how a record is deleted, or archived: by a body that says so."""

    path: str | None = None
    method: Literal["DELETE", "PATCH", "PUT", "POST"] = "DELETE"
    body: dict[str, Any] | None = None


class Many(Strict):
    """Say how several records are asked for at once: by a parameter that is repeated, or takes a joined list."""

    path: str | None = Field(None, description="The stream's path when not given")
    size: int = Field(50, ge=1, description="How many values one request may name")
    join: str | None = Field(None, description="What stands between the values; the parameter is repeated when null")

    def params(self, name: str, values: list[str]) -> list[tuple[str, str]]:
        """Spell the parameters that ask for some values."""
        return [(name, self.join.join(values))] if self.join is not None else [(name, value) for value in values]


class ReadMany(Many):
    """Say how records are read by their keys, several at once."""

    param: str


class Find(Many):
    """Say by which fields records can be found, and the parameter of each."""

    params_of: dict[str, str] = Field(alias="params", min_length=1)


class Told(Strict):
    """Say where the answer to a batch tells what became of one change."""

    id: str = "id"
    op_id: str | None = None
    status: str | None = Field(None, description="Where a status lies: an HTTP number, or one of `words`")
    words: dict[str, Status] = Field(default_factory=dict)
    record: str | None = Field(None, description="Where the record lies; beside the id when not given")
    message: str | None = Field(None, description="Where the reason lies; without `status`, one that is there refuses")


class Batch(Strict):
    """Say how several changes go into one request.

    Each is an item with the record's `id`, its `values` (beside the id when not given), and what else is named here.
    """

    path: str
    method: Method = "POST"
    size: int = Field(100, ge=1)
    items: str | None = Field(None, description="Member of the body that holds the items; the body itself else")
    id: str = "id"
    id_is_number: bool = False
    values: str | None = None
    op_id: str | None = Field(None, description="Member by which the API names a change in its answer")
    version: str | None = None
    action: str | None = Field(None, description="Member that says what is to be done")
    actions: dict[Action, str] = {"update": "update"}
    outcomes: str = Field("", description="Where the list of outcomes lies in the answer")
    outcome: Told = Told()
    idempotent: bool = Field(False, description="The API knows an item's op_id again and never does it twice")

    @model_validator(mode="after")
    def _tells_apart(self) -> "Batch":
        if "create" in self.actions and not (self.op_id and self.outcome.op_id):
            raise ValueError("new records need op_id and outcome.op_id: nothing else tells which is which")
        if len(self.actions) > 1 and not self.action:
            raise ValueError("several actions need `action`, the member that says which one is meant")
        return self

    def number(self, record_id: str) -> str | int:
        """Give a record's id as an item holds it."""
        return int(record_id) if self.id_is_number and record_id.isdecimal() else record_id


class Pace(Strict):
    """Say how a connection is written to."""

    parallel: int = Field(1, ge=1, description="Requests that may be under way at once")
    lag_seconds: float = Field(0, ge=0, description="How far a read may stay behind a write")
    write_timeout_seconds: float = Field(
        300, ge=0, description="Seconds after which a write that got no response can no longer take effect"
    )
    zero_means_null: bool = False


class Write(Strict):
    """Say how one record is changed, and read again: `{id}` stands for its key.

    What is not sent must stay as it is: `PUT` is for an API that leaves it alone.
    """

    path: str
    method: Method = "PATCH"
    wrap: str | None = Field(
        None, description="Member of the body that holds the values; the body itself when not given"
    )
    record_path: str | None = Field(None, description="Where the record lies in an answer about it alone")
    fields: list[str] = Field(default_factory=list, description="What may be written beside what a first page shows")
    unique: list[str] = Field(default_factory=list, description="Fields of which the API refuses a second equal value")
    idempotency_header: str | None = None
    version: Version | None = None
    create: Create | None = None
    delete: Delete | None = None
    read: ReadMany | None = None
    find: Find | None = None
    batch: Batch | None = None
    conflict: list[int] = Field([412], description="Statuses that say that the record has moved on")
    locked: list[int] = Field([423], description="Statuses that say that others are at work on the record")
    error_path: str | None = Field(None, description="Where a refusal tells its reason")

    @property
    def is_idempotent(self) -> bool:
        """Tell whether the API knows an op_id again however it is sent."""
        return bool(self.idempotency_header) and (self.batch is None or self.batch.idempotent)

    def of(self, number: str, path: str | None = None) -> str:
        """Spell a record's path; a key may hold a slash."""
        return (path or self.path).replace("{id}", quote(number, safe=""))
