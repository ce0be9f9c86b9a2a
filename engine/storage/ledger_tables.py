"""The ledger's tables as they are today. A change needs a step in `migrations.steps`."""

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Dialect,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Instant(TypeDecorator[datetime]):
    """An aware instant, stored as ISO text in UTC, which every database sorts alike.

    Raises ValueError for a naive one.
    """

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


@lru_cache(16)  # the rows of one statement share their instants
def _text(instant: datetime) -> str:
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


class Day(TypeDecorator[date]):
    """A calendar day."""

    impl = Date
    cache_ok = True


ledger = MetaData()


def _name(column: str) -> Column[Any]:
    return Column(column, String(200), nullable=False)


# The version of the schema, the ledger's id, and the pins.
meta = Table("meta", ledger, Column("key", String(50), primary_key=True), Column("value", Text, nullable=False))

leases = Table(
    "leases",
    ledger,
    Column("name", String(200), primary_key=True),
    _name("holder"),
    _name("host"),
    Column("pid", Integer, nullable=False),
    Column("started", String(50), nullable=False),
    _name("run_id"),
    Column("since", Instant, nullable=False),
    Column("heartbeat", Instant, nullable=False),
)

# What was read of each state of a stream, as `sync_state` names them.
intervals = Table(
    "intervals",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("connection"),
    _name("stream"),
    Column("start", Instant),
    Column("end", Instant),
)

open_slices = Table(
    "open_slices",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("connection"),
    _name("stream"),
    Column("start", Instant),
    Column("end", Instant),
    Column("checkpoint", JSON, nullable=False),
    Column("mark", Integer, nullable=False),
    Column("source_count", Integer),
    Column("is_read", Boolean, nullable=False),
    _name("run_id"),
    Column("updated_at", Instant, nullable=False),
)

generations = Table(
    "generations",
    ledger,
    Column("connection", String(200), primary_key=True),
    Column("stream", String(200), primary_key=True),
    Column("complete", Integer, nullable=False),
    Column("newest", Integer, nullable=False),
    Column("has_new_key", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
)

# The source's counts: `SliceCount`.
balances = Table(
    "balances",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("connection"),
    _name("stream"),
    Column("start", Instant),
    Column("end", Instant),
    Column("is_total", Boolean, nullable=False),
    Column("source_count", Integer),
    Column("source_new", Integer, nullable=False),
    Column("source_held", Integer),
    Column("read", Integer, nullable=False),
    Column("moved", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    _name("run_id"),
    Column("at", Instant, nullable=False),
)


def _file() -> list[Column[Any]]:
    return [
        Column("id", Integer, primary_key=True),
        Column("asset", String(400), nullable=False, index=True),
        Column("path", String(600), nullable=False, unique=True),
        Column("rows", Integer, nullable=False),
        Column("bytes", Integer, nullable=False),
        Column("sha256", String(64), nullable=False),
        _name("run_id"),
        Column("created_at", Instant, nullable=False),
    ]


# Files that count; those that a compaction replaced are no longer live, and are deleted later.
manifest = Table("manifest", ledger, *_file(), Column("is_live", Boolean, nullable=False))
# Files that count only once they are released: tombstones, and the keys that open slices have shown.
pending = Table("pending", ledger, *_file())

source_fields = Table(
    "source_fields",
    ledger,
    Column("connection", String(200), primary_key=True),
    Column("stream", String(200), primary_key=True),
    Column("path", String(300), primary_key=True),
    Column("type", String(50), nullable=False),
    Column("label", Text, nullable=False),
    Column("is_custom", Boolean, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("is_gone", Boolean, nullable=False),
    Column("gone_at", Instant),
    Column("back_at", Instant),
    Column("retyped_from", String(50)),
    Column("change", String(20)),
    Column("seen_in", Integer, nullable=False),
    Column("seen_of", Integer, nullable=False),
    Column("missed", Integer, nullable=False, server_default=text("0")),
    Column("missed_at", Instant),
)

# Up to which file of the manifest the fields of a stream were observed.
field_looks = Table(
    "field_looks",
    ledger,
    Column("connection", String(200), primary_key=True),
    Column("stream", String(200), primary_key=True),
    Column("mark", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)

snapshots = Table(
    "snapshots",
    ledger,
    Column("seq", Integer, primary_key=True),
    Column("id", String(80), nullable=False, unique=True),
    Column("as_of", Day, nullable=False),
    _name("run_id"),
    Column("created_at", Instant, nullable=False),
)

snapshot_files = Table(
    "snapshot_files",
    ledger,
    Column("snapshot", String(80), primary_key=True),
    Column("asset", String(400), primary_key=True),
    Column("path", String(600), nullable=False),
)

# Parameters of fitted models.
parameters = Table(
    "parameters",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("model"),
    _name("version"),
    Column("as_of", Day, nullable=False),
    Column("values", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("model", "as_of"),
)

judgements = Table(
    "judgements",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("left_connection"),
    _name("left_account_id"),
    _name("right_connection"),
    _name("right_account_id"),
    Column("verdict", String(20), nullable=False),
    _name("by"),
    Column("why", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

plans = Table(
    "plans",
    ledger,
    Column("seq", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    _name("delivery"),
    _name("run_id"),
    Column("created_at", Instant, nullable=False),
    Column("status", String(20), nullable=False),
    Column("changes", Integer, nullable=False),
    Column("path", String(600), nullable=False),
    Column("snapshot", String(80), nullable=False),
    Column("summary", JSON, nullable=False),
)

approvals = Table(
    "approvals",
    ledger,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, index=True),
    _name("delivery"),
    _name("by"),
    _name("via"),
    Column("allowed", JSON, nullable=False),
    Column("at", Instant, nullable=False),
)

operations = Table(
    "operations",
    ledger,
    Column("op_id", String(80), primary_key=True),
    _name("delivery"),
    Column("digest", String(64), nullable=False),
    _name("run_id"),
    _name("connection"),
    _name("stream"),
    Column("record_id", String(200)),
    _name("customer_id"),
    Column("action", String(20), nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("intended_at", Instant, nullable=False),
    Column("outcome", String(20)),
    Column("version", String(200)),
    Column("message", Text),
    Column("settled_at", Instant),
    Column("key", String(200)),
    Column("confirmed", JSON(none_as_null=True)),
    Column("read_back_at", Instant),
)

# Synced values: on which value a target and we agreed last.
agreements = Table(
    "agreements",
    ledger,
    Column("delivery", String(200), primary_key=True),
    Column("record_id", String(200), primary_key=True),
    Column("field", String(200), primary_key=True),
    Column("ours", JSON, nullable=False),
    Column("held", JSON, nullable=False),
    Column("at", Instant, nullable=False),
)

# What people decided on conflicts.
decisions = Table(
    "decisions",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("delivery"),
    _name("record_id"),
    _name("field"),
    Column("wanted", JSON, nullable=False),
    Column("held", JSON, nullable=False),
    Column("verdict", String(20), nullable=False),
    _name("by"),
    Column("why", Text, nullable=False),
    Column("at", Instant, nullable=False),
)

runs = Table(
    "runs",
    ledger,
    Column("id", Integer, primary_key=True),
    _name("run_id"),
    _name("stage"),
    Column("at", Instant, nullable=False),
    Column("summary", JSON, nullable=False),
)
