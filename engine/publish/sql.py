"""A database as warehouse, by SQLAlchemy: all tables in one transaction.

Readers see the old rows until it commits.

New columns are added. A column whose type changed stops the publication, for a person must decide;
so does a table of one of our names that others made, or a column that others added to ours.
"""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema, SetColumnComment, SetTableComment

from connectors.kit.errors import BusyError, SettingsError
from engine.publish.ownership import LOAD_INFO, is_ours, is_unmarked_load_info, marked, some_of
from engine.publish.table import TableToPublish, count_published

WAIT_FOR_READERS = "30s"  # a reader's open transaction keeps a lock that new columns and comments need


def publish(url: str, schema: str, published: Sequence[TableToPublish]) -> str:
    """Publish all tables or none; returns the URL, without its password, and the schema.

    Raises SettingsError for tables and columns of others, BusyError when the database cannot be
    written now.
    """
    engine = _engine(url)
    shown_url = engine.url.render_as_string(hide_password=True)
    has_schemas = engine.dialect.name not in ("sqlite", "mysql", "mariadb")
    schema_name = schema if has_schemas else None
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{WAIT_FOR_READERS}'"))
            if has_schemas:
                connection.execute(CreateSchema(schema, if_not_exists=True))
            _refuse_foreign(connection, published, schema_name)
            for table in published:
                _replace(connection, table, schema_name)
            _count(connection, published, schema_name)
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:  # COPY raises the error of the driver
        problem = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        raise BusyError(f"nothing was published to the warehouse at {shown_url}: {problem}") from None
    finally:
        engine.dispose()
    return f"{shown_url} schema {schema}" if has_schemas else shown_url


def _count(connection: sa.Connection, published: Sequence[TableToPublish], schema: str | None) -> None:
    quote = connection.dialect.identifier_preparer.quote

    def run(sql: str) -> Sequence[Any]:
        result = connection.execute(sa.text(sql))
        return result.fetchall() if result.returns_rows else ()

    count_published(published, run, lambda table: f"{quote(schema)}.{quote(table)}" if schema else quote(table), quote)


def _engine(url: str) -> sa.Engine:
    try:
        return sa.create_engine(url, hide_parameters=True)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise SettingsError(
            f"warehouse url: {str(error).splitlines()[0]}; pip install 'belvedere[postgres]' for PostgreSQL"
        ) from None


def _refuse_foreign(connection: sa.Connection, published: Sequence[TableToPublish], schema: str | None) -> None:
    """Raise SettingsError for tables of our names, and columns in ours, that others made."""
    inspector = sa.inspect(connection)
    unmarked = _listed_in_load_info(connection, schema)
    names = []
    for table in published:
        if not inspector.has_table(table.name, schema):
            continue
        if not _is_ours(connection, table.name, schema, unmarked):
            names.append(f"table {table.name}")
        elif connection.dialect.supports_comments:
            columns = inspector.get_columns(table.name, schema)
            foreign = [column["name"] for column in columns if not column["comment"]]
            names += [f"column {table.name}.{column}" for column in foreign if column not in table.schema.names]
    if names:
        where = f"schema {schema}" if schema else "the database"
        raise SettingsError(
            f"warehouse: {where} contains {some_of(names)}, which Belvedere did not publish and would empty: nothing was "
            "published; rename them, move them to a schema of your own, or name another schema in `schema_name`"
        )


def _is_ours(connection: sa.Connection, table: str, schema: str | None, unmarked: Collection[str]) -> bool:
    if not connection.dialect.supports_comments:
        return table in unmarked
    return is_ours(table, _comment(connection, table, schema), unmarked)


def _comment(connection: sa.Connection, table: str, schema: str | None) -> str | None:
    return sa.inspect(connection).get_table_comment(table, schema)["text"]


def _listed_in_load_info(connection: sa.Connection, schema: str | None) -> set[str]:
    """Name the tables that a `load_info` without a mark lists.

    In a database without comments no table has a mark.
    """
    if not sa.inspect(connection).has_table(LOAD_INFO, schema):
        return set()
    info = sa.table(LOAD_INFO, sa.column("table"), sa.column("snapshot"), sa.column("loaded_at"), schema=schema)
    if connection.dialect.supports_comments:
        if not is_unmarked_load_info(_comment(connection, LOAD_INFO, schema)):
            return set()
    elif not {*info.columns.keys()} <= _column_names(connection, schema):
        return set()
    return {LOAD_INFO, *connection.execute(sa.select(info.c.table)).scalars()}


def _column_names(connection: sa.Connection, schema: str | None) -> set[str]:
    return {column["name"] for column in sa.inspect(connection).get_columns(LOAD_INFO, schema)}


def _replace(connection: sa.Connection, table: TableToPublish, schema: str | None) -> None:
    """Create a table, or bring it up to date, and replace its rows."""
    target = sa.Table(
        table.name,
        sa.MetaData(),
        *(
            sa.Column(field.name, _kind(field.type), comment=table.comments.get(field.name) or None)
            for field in table.schema
        ),
        schema=schema,
        comment=marked(table.name, table.comment),
    )
    target.create(connection, checkfirst=True)
    _add_columns(connection, target)
    if connection.dialect.supports_comments and _comment(connection, table.name, schema) != target.comment:
        connection.execute(SetTableComment(target))
    connection.execute(sa.delete(target))
    for batch in table.batches():
        _insert(connection, target, batch)


def _add_columns(connection: sa.Connection, target: sa.Table) -> None:
    """Add the columns that are new; raises SettingsError for one whose type has changed."""
    columns = sa.inspect(connection).get_columns(target.name, target.schema)
    existing = {column["name"]: column["type"] for column in columns}
    quote = connection.dialect.identifier_preparer
    for column in target.columns:
        if column.name not in existing:
            kind = column.type.compile(connection.dialect)
            connection.execute(
                sa.text(f"ALTER TABLE {quote.format_table(target)} ADD COLUMN {quote.quote(column.name)} {kind}")
            )
            if connection.dialect.supports_comments and column.comment:
                connection.execute(SetColumnComment(column))
        elif _family(existing[column.name]) != _family(column.type):
            raise SettingsError(
                f"warehouse: column {target.name}.{column.name} has type {existing[column.name]} and would become "
                f"{column.type}: nothing was published; rename the old column (a view can keep its name) and publish again"
            )


def _insert(connection: sa.Connection, target: sa.Table, batch: pa.RecordBatch) -> None:
    if connection.dialect.name == "postgresql":
        names = ", ".join(f'"{name}"' for name in batch.schema.names)
        table = connection.dialect.identifier_preparer.format_table(target)
        batch = _without_nul(batch)
        raw: Any = connection.connection.driver_connection
        with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
    elif batch.num_rows:
        connection.execute(sa.insert(target), batch.to_pylist())


def _without_nul(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Replace NUL in texts by U+FFFD: it is the one character that PostgreSQL cannot store."""
    columns = [
        pc.replace_substring(column, "\0", "\N{REPLACEMENT CHARACTER}") if pa.types.is_string(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _kind(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    if pa.types.is_decimal(kind):
        return sa.Numeric(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=True)
    kinds: dict[pa.DataType, sa.types.TypeEngine[Any]] = {
        pa.string(): sa.Text(),
        pa.bool_(): sa.Boolean(),
        pa.int64(): sa.BigInteger(),
        pa.float64(): sa.Double(),
        pa.date32(): sa.Date(),
    }
    return kinds[kind]


def _family(kind: sa.types.TypeEngine[Any]) -> type:
    """Return the Python type of a type: databases have many names for one."""
    if isinstance(kind, sa.Float | sa.Double):
        return float
    try:
        return int if isinstance(kind, sa.Boolean) else kind.python_type
    except NotImplementedError:
        return str
