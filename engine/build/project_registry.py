"""The registry of a project: our tables with its own, and every mistake in these that shows without rows.

A mistake is a SettingsError that names the file and the line.
"""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from importlib import import_module
from inspect import Parameter, getsourcefile, signature
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir

from connectors.kit.errors import SettingsError, choices
from engine.build.own_table import OwnTable, normalised
from engine.build.registry import CircleError, Registry
from engine.build.tables import TABLES
from engine.config.defs_file import line_of, short
from engine.config.project import Project
from engine.config.table import TableConfig
from engine.storage.backend import backend
from engine.storage.table_schema import arrow_schema
from schemas.find import tables as schema_names

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
AS_OF = re.compile(r"(?<!:):as_of\b")  # not the cast ::as_of
LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
DAY = date(2000, 1, 1)  # any: no row depends on it


def registry_of(project: Project) -> Registry:
    """The registry of a project: our tables and its own.

    Raises SettingsError for a table whose name, inputs, query or function is wrong.
    """
    if not project.tables:
        return TABLES
    own = [_own_table(project, name, config) for name, config in project.tables.items()]
    try:
        return Registry([*TABLES.tables.values(), *own], TABLES.internals.values(), TABLES.facts)
    except CircleError as error:  # of tables of its own: ours read none of them
        message = f"tables are made of each other in a circle: {' -> '.join(error.circle)}"
        raise _error(project, error.circle[0], ("inputs",), message) from None


def prove(project: Project, registry: Registry) -> None:
    """Make every table of a project's own from inputs without rows, which shows mistakes in columns.

    Raises SettingsError.
    """
    if not project.tables:
        return
    con = backend.connect(threads=1)
    empty = {name: backend.table(con, arrow_schema(name).empty_table()) for name in _ours_read(registry)}
    for name, table in registry.tables.items():
        if isinstance(table, OwnTable):
            rows = _proven(project, table, [empty[other] for other in table.reads], con)
            empty[name] = con.create_table(f"empty_{name}", schema=rows.schema())


def _own_table(project: Project, name: str, config: TableConfig) -> OwnTable:
    taken = {*TABLES.tables, *TABLES.internals, *schema_names()}
    if not NAME.fullmatch(name):
        raise _error(project, name, (), "the folder's name is the table's: small letters, digits and _")
    if name in taken:
        raise _error(project, name, (), "there is a table of ours with this name; give the folder another")
    choosable = {*TABLES.tables, *project.tables} - {name}
    for number, other in enumerate(config.inputs):
        if other not in choosable:
            raise _error(project, name, ("inputs", number), f"no table {other!r}; {choices(other, choosable)}")
    if (config.sql is None) == (config.function is None):
        raise _error(project, name, (), "give `sql`, a file, or `function`, one of the two")
    make, settings = _by_sql(project, name, config) if config.sql else _by_function(project, name, config)
    return OwnTable(
        make,
        group=config.group,
        table=name,
        reads=tuple(config.inputs),
        key=tuple(config.key),
        settings=settings,
    )


def _by_sql(project: Project, name: str, config: TableConfig) -> tuple[Callable[..., ir.Table], tuple[str, ...]]:
    path = project.files[name].parent / str(config.sql)
    if not path.is_file():
        raise _error(project, name, ("sql",), f"there is no file {config.sql!r} beside defs.yaml")
    query = path.read_text("utf-8").strip().rstrip(";")

    def make(*inputs: ir.Table, con: backend.Backend, as_of: date) -> ir.Table:
        dated = AS_OF.sub(f"DATE '{as_of}'", query)
        for input_name, rows in zip(config.inputs, inputs, strict=True):
            con.create_view(input_name, rows, overwrite=True)
        return con.sql(f"{dated}\n", dialect="duckdb")

    return make, ("con", "as_of")


def _by_function(project: Project, name: str, config: TableConfig) -> tuple[Callable[..., ir.Table], tuple[str, ...]]:
    module, _, attribute = str(config.function).partition(":")
    try:
        function: Callable[..., ir.Table] = getattr(import_module(module), attribute)
        parameters = signature(function).parameters.values()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        message = f"{config.function!r} cannot be imported as package.module:function: {error}"
        raise _error(project, name, ("function",), message) from None
    positional = [parameter.name for parameter in parameters if parameter.kind is not Parameter.KEYWORD_ONLY]
    if positional != config.inputs:
        message = (
            f"{config.function} takes {', '.join(positional) or 'nothing'}, but `inputs` has {', '.join(config.inputs)}"
        )
        raise _error(project, name, ("inputs",), message)
    settings = tuple(parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY)
    if {*settings} - {"as_of"}:
        raise _error(project, name, ("function",), f"{config.function} may take as_of by keyword, and nothing else")
    return function, settings


def _ours_read(registry: Registry) -> Iterator[str]:
    """Our tables that tables of one's own are made of."""
    own = {name for name, table in registry.tables.items() if isinstance(table, OwnTable)}
    yield from sorted({other for name in own for other in registry.reads(name)} - own)


def _proven(project: Project, table: OwnTable, inputs: list[ir.Table], con: backend.Backend) -> ir.Table:
    offered: Mapping[str, Any] = {"con": con, "as_of": DAY}
    config, name = project.tables[table.name], table.name
    try:
        rows = table.make(*inputs, **{setting: offered[setting] for setting in table.settings})
    except Exception as error:  # a user's query or code: whatever it raises is a mistake in it
        raise _mistake(project, name, config, error) from None
    try:
        rows = normalised(rows)
    except TypeError as error:
        raise _error(project, name, ("sql" if config.sql else "function",), str(error)) from None
    for group in ("key", "columns"):
        for number, column in enumerate(getattr(config, group)):
            if column not in rows.columns:
                where = ("key", number) if group == "key" else ("columns", column)
                raise _error(project, name, where, f"no column {column!r}; {choices(column, rows.columns)}")
    return rows


def _mistake(project: Project, name: str, config: TableConfig, error: Exception) -> SettingsError:
    """Name the line of the query or of the function that an error came from."""
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    if config.sql:
        path = project.files[name].parent / config.sql
        line_in_message = LINE.search(str(error)) if isinstance(error, duckdb.Error) else None
        return SettingsError(
            f"{short(path)}, line {line_in_message[1] if line_in_message else 1}: table {name!r}: {message}"
        )
    module, _, attribute = str(config.function).partition(":")
    source = getsourcefile(getattr(import_module(module), attribute))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == source]
    line = frames[-1].lineno if frames else 1
    return SettingsError(f"{short(Path(str(source)))}, line {line}: table {name!r}: {message}")


def _error(project: Project, name: str, where: tuple[str | int, ...], message: str) -> SettingsError:
    path = project.files[name]
    return SettingsError(f"{short(path)}, line {line_of(path, 'attributes', *where)}: table {name!r}: {message}")
