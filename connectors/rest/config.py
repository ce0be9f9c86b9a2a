"""What YAML says of a REST API: which streams there are, how they page, change and are written."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field, model_validator

from connectors.kit.errors import ReplyError
from connectors.kit.field_map import parse_entry
from connectors.kit.http.paging import AnyPaging, NoPaging, Offset, PageNumber, Range
from connectors.kit.rate_limit.limiter import RateHeader
from connectors.kit.stream import CursorUnit, Deletes, Slice, Stream
from connectors.rest.write_config import Strict, Write

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
EASTERN, WESTERN = timedelta(hours=14), timedelta(hours=12)  # how far days of the world begin before and after UTC's


class Rate(Strict):
    """Name the headers by which the vendor tells what is left in a window of so many seconds, and its limit there."""

    remaining: str
    seconds: float = Field(gt=0)
    limit: str | None = None

    def declared(self) -> RateHeader:
        """Declare it as every connector does."""
        return RateHeader(self.remaining, self.seconds, self.limit)


_EPOCHS: Mapping[str, CursorUnit] = {"epoch_s": "epoch_s", "epoch_ms": "epoch_ms"}


class Cursor(Strict):
    """Say which stamp moves when a record changes, and how to ask for what is newer.

    `until_param` takes the end of a slice as `param` takes its start; with `window_days` a long gap is read by pieces,
    each of which counts by itself. `template` is the value to send, with `{since}` in it; `encode: base64url_json` packs
    it as Tryton wants its domains.
    """

    path: str
    param: str
    format: Literal["iso", "date", "epoch_s", "epoch_ms"] = "iso"
    template: Any = "{since}"
    encode: Literal["none", "json", "base64url_json"] = "none"
    lag_minutes: float = 1
    lookback_minutes: float = 10
    until_param: str | None = Field(None, description="Parameter that bounds a slice from above, where there is one")
    window_days: float | None = Field(None, gt=0, description="How long a slice may be; needs until_param")

    @model_validator(mode="after")
    def _bounded(self) -> "Cursor":
        if self.window_days and not self.until_param:
            raise ValueError("window_days needs until_param, because only a slice with an end can be split")
        return self

    @property
    def unit(self) -> CursorUnit:
        """The unit of the values in records."""
        return _EPOCHS.get(self.format, "text")

    def since(self, start: datetime) -> str:
        """Write the value that asks for what is newer; a day is one of whichever zone, and begins early enough."""
        return self._value(start - self._early)

    def until(self, end: datetime) -> str:
        """Write the value that asks for what is older, by a day that ends late enough, be it taken in or not."""
        return self._value(end + self._late)

    def counted(self, slice_: Slice) -> Slice:
        """Tell what a source counts at most that is asked for a slice: whole seconds, or days of whichever zone.

        An API may take the end in; one that cannot be told it counts all that is newer.
        """
        is_daily = self.format == "date"
        unit, east, west = (DAY, EASTERN, WESTERN) if is_daily else (SECOND, timedelta(0), timedelta(0))
        end = slice_.end if self.until_param else None
        return Slice(
            slice_.start and _begun(slice_.start - self._early, unit) - east,
            end and _begun(end + self._late, unit) + unit + west,
        )

    @property
    def _early(self) -> timedelta:
        return WESTERN if self.format == "date" else timedelta(0)

    @property
    def _late(self) -> timedelta:
        return EASTERN + DAY if self.format == "date" else timedelta(0)

    def _value(self, moment: datetime) -> str:
        written = _formatted(self.template, _since(moment, self.format))
        if self.encode == "none":
            return str(written)
        text = json.dumps(written, separators=(",", ":"))
        return text if self.encode == "json" else urlsafe_b64encode(text.encode()).decode()


class Deletions(Strict):
    """Say where the API tells what was deleted; with `param`, since when (a feed), else all of it (a list)."""

    path: str
    record_path: str = ""
    primary_key: str = "id"
    deleted_at: str | None = Field(None, description="Path to the time of a deletion")
    param: str | None = None
    paging: AnyPaging = NoPaging()

    def with_deletes(self, stream: Stream) -> Stream:
        """Return the stream as which deleted records are read."""
        return replace(stream, primary_key=self.primary_key, cursor=self.deleted_at, deleted_values={})


class RestStream(Strict):
    """Describe one stream."""

    path: str
    params: dict[str, str | list[str]] = Field(default_factory=dict)
    record_path: str = ""
    primary_key: str = "id"
    table: str | None = None
    paging: AnyPaging = NoPaging()
    cursor: Cursor | None = None
    fields: dict[str, Any] = Field(default_factory=dict)
    nulls: list[str] = [""]
    total_path: str | None = None
    deleted: dict[str, list[str]] = Field(default_factory=dict, description="Path -> texts that mark a deleted record")
    uncursored_fields: list[str] = Field(
        default_factory=list, description="Paths whose values change without a new stamp"
    )
    deletions: Deletions | None = None
    ignores: list[str] = Field(default_factory=list)
    write: Write | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """List the fixed parameters, each with one value."""
        return [
            (name, value)
            for name, setting in self.params.items()
            for value in ([setting] if isinstance(setting, str) else setting)
        ]

    @property
    def deletes(self) -> Deletes:
        """Tell in which way deletions are known."""
        if self.deletions:
            return "feed" if self.deletions.param else "list"
        if self.deleted:
            return "flag"
        return "none" if self.cursor else "sweep"

    @property
    def offset_paged(self) -> bool:
        """Tell whether pages are asked for by their number, and nothing notices that rows moved."""
        return isinstance(self.paging, PageNumber | Offset | Range) and not getattr(self.paging, "overlap", False)

    def declared(self, name: str) -> Stream:
        """Declare it as every connector does."""
        cursor = self.cursor
        return Stream(
            name,
            primary_key=self.primary_key,
            fields={field: parse_entry(source) for field, source in self.fields.items()},
            table=self.table,
            object=self.path,
            cursor=cursor.path if cursor else None,
            cursor_unit=cursor.unit if cursor else "text",
            deletes=self.deletes,
            deleted_values={path: tuple(words) for path, words in self.deleted.items()},
            lag=timedelta(minutes=cursor.lag_minutes if cursor else 0),
            lookback=timedelta(minutes=cursor.lookback_minutes if cursor else 0),
            window=timedelta(days=cursor.window_days) if cursor and cursor.window_days else None,
            uncursored_fields=tuple(self.uncursored_fields),
            nulls=tuple(self.nulls),
            ignores=tuple(self.ignores),
            offset_paged=self.offset_paged,
        )


def _begun(moment: datetime, unit: timedelta) -> datetime:
    return moment - (moment - EPOCH) % unit


def _since(moment: datetime, kind: str) -> Any:
    seconds = moment.astimezone(UTC).timestamp()
    return {
        "iso": moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "date": f"{moment.astimezone(UTC):%Y-%m-%d}",
        "epoch_s": int(seconds),
        "epoch_ms": int(seconds * 1000),
    }[kind]


def _formatted(template: Any, since: Any) -> Any:
    """Put the stamp into a template, which may be a list or a mapping; `{year}` and the like serve Tryton's datetimes."""
    if template == "{since}":
        return since
    if isinstance(template, str):
        return template.replace("{since}", str(since))
    if isinstance(template, list):
        return [_formatted(part, since) for part in template]
    if isinstance(template, Mapping):
        return {key: _formatted(part, since) for key, part in template.items()}
    return template


def untagged(value: Any) -> Any:
    """Write tagged values plainly: {"__class__": "date", "year": 2026, ...} becomes 2026-..., a Decimal its digits.

    Raises ReplyError for what is nested too deeply.
    """
    try:
        return _untagged(value)
    except RecursionError:
        raise ReplyError("a record is nested too deeply for tagged_values") from None


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get("__class__") == "Decimal":
        return value.get("decimal")
    if value.get("__class__") in ("date", "datetime"):
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        year, month, day, hour, minute, second, microsecond = (value.get(name, 0) for name in names)
        try:
            moment = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
        except (TypeError, ValueError):  # it stays as it came, for the rules to refuse
            return value
        return moment.isoformat() if value["__class__"] == "datetime" else moment.date().isoformat()
    return {name: _untagged(part) for name, part in value.items()}
