"""The ledger's tables as version 5 had them, for the steps that upgrade it.

Frozen: nothing in here changes any more.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, Column, Date, Integer, MetaData, String, Table, Text, UniqueConstraint, text

tables = MetaData()


def _id(name: str = "id") -> Column[Any]:
    return Column(name, Integer, primary_key=True)


def _keys(*names: str) -> list[Column[Any]]:
    return [Column(name, String(200), primary_key=True) for name in names]


def _names(*names: str) -> list[Column[Any]]:
    return [Column(name, String(200), nullable=False) for name in names]


def _strings(length: int, *names: str, nullable: bool = False) -> list[Column[Any]]:
    return [Column(name, String(length), nullable=nullable) for name in names]


def _texts(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, nullable=False) for name in names]


def _integers(*names: str, nullable: bool = False) -> list[Column[Any]]:
    return [Column(name, Integer, nullable=nullable) for name in names]


def _instants(*names: str, nullable: bool = False) -> list[Column[Any]]:
    return _strings(32, *names, nullable=nullable)


def _documents(*names: str) -> list[Column[Any]]:
    return [Column(name, JSON, nullable=False) for name in names]


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False)


def _day(name: str) -> Column[Any]:
    return Column(name, Date, nullable=False)


def _file() -> list[Column[Any]]:
    return [
        _id(),
        Column("asset", String(400), nullable=False, index=True),
        Column("path", String(600), nullable=False, unique=True),
        *_integers("rows", "bytes"),
        *_strings(64, "sha256"),
        *_names("run_id"),
        *_instants("created_at"),
    ]


def _slice() -> list[Column[Any]]:
    return [_id(), *_names("connection", "stream"), *_instants("start", "end", nullable=True)]


meta = Table("meta", tables, Column("key", String(50), primary_key=True), *_texts("value"))

leases = Table(
    "leases",
    tables,
    *_keys("name"),
    *_names("holder", "host"),
    *_integers("pid"),
    *_strings(50, "started"),
    *_names("run_id"),
    *_instants("since", "heartbeat"),
)

intervals = Table("intervals", tables, *_slice())

open_slices = Table(
    "open_slices",
    tables,
    *_slice(),
    *_documents("checkpoint"),
    *_integers("mark"),
    *_integers("source_count", nullable=True),
    _flag("is_read"),
    *_names("run_id"),
    *_instants("updated_at"),
)

balances = Table(
    "balances",
    tables,
    *_slice(),
    _flag("is_total"),
    *_integers("source_count", nullable=True),
    *_integers("source_new"),
    *_integers("source_held", nullable=True),
    *_integers("read", "moved", "missing"),
    *_names("run_id"),
    *_instants("at"),
)

manifest = Table("manifest", tables, *_file(), _flag("is_live"))
pending = Table("pending", tables, *_file())

source_fields = Table(
    "source_fields",
    tables,
    *_keys("connection", "stream"),
    Column("path", String(300), primary_key=True),
    *_strings(50, "type"),
    *_texts("label"),
    _flag("is_custom"),
    *_instants("first_seen_at", "last_seen_at"),
    _flag("is_gone"),
    *_instants("gone_at", "back_at", nullable=True),
    *_strings(50, "retyped_from", nullable=True),
    *_strings(20, "change", nullable=True),
    *_integers("seen_in", "seen_of"),
    Column("missed", Integer, nullable=False, server_default=text("0")),
    *_instants("missed_at", nullable=True),
)

field_looks = Table("field_looks", tables, *_keys("connection", "stream"), *_integers("mark"), *_instants("at"))

snapshots = Table(
    "snapshots",
    tables,
    _id("seq"),
    Column("id", String(80), nullable=False, unique=True),
    _day("as_of"),
    *_names("run_id"),
    *_instants("created_at"),
)

snapshot_files = Table(
    "snapshot_files",
    tables,
    Column("snapshot", String(80), primary_key=True),
    Column("asset", String(400), primary_key=True),
    *_strings(600, "path"),
)

parameters = Table(
    "parameters",
    tables,
    _id(),
    *_names("model", "version"),
    _day("as_of"),
    *_documents("values"),
    *_instants("created_at"),
    UniqueConstraint("model", "as_of"),
)

judgements = Table(
    "judgements",
    tables,
    _id(),
    *_names("left_connection", "left_account_id", "right_connection", "right_account_id"),
    *_strings(20, "verdict"),
    *_names("by"),
    *_texts("why"),
    *_instants("at"),
)

plans = Table(
    "plans",
    tables,
    _id("seq"),
    Column("digest", String(64), nullable=False, unique=True),
    *_names("delivery", "run_id"),
    *_instants("created_at"),
    *_strings(20, "status"),
    *_integers("changes"),
    *_strings(600, "path"),
    *_strings(80, "snapshot"),
    *_documents("summary"),
)

approvals = Table(
    "approvals",
    tables,
    _id(),
    Column("digest", String(64), nullable=False, index=True),
    *_names("delivery", "by", "via"),
    *_documents("allowed"),
    *_instants("at"),
)

operations = Table(
    "operations",
    tables,
    Column("op_id", String(80), primary_key=True),
    *_names("delivery"),
    *_strings(64, "digest"),
    *_names("run_id", "connection", "stream"),
    *_strings(200, "record_id", nullable=True),
    *_names("customer_id"),
    *_strings(20, "action"),
    *_documents("before", "after"),
    *_integers("attempt"),
    *_instants("intended_at"),
    *_strings(20, "outcome", nullable=True),
    *_strings(200, "version", nullable=True),
    Column("message", Text),
    *_instants("settled_at", nullable=True),
    *_strings(200, "key", nullable=True),
    Column("confirmed", JSON),
    *_instants("read_back_at", nullable=True),
)

agreements = Table(
    "agreements",
    tables,
    *_keys("delivery", "record_id", "field"),
    *_documents("ours", "held"),
    *_instants("at"),
)

decisions = Table(
    "decisions",
    tables,
    _id(),
    *_names("delivery", "record_id", "field"),
    *_documents("wanted", "held"),
    *_strings(20, "verdict"),
    *_names("by"),
    *_texts("why"),
    *_instants("at"),
)

runs = Table("runs", tables, _id(), *_names("run_id", "beat"), *_instants("at"), *_documents("summary"))
