"""What a build is made of: steps, which are functions whose parameters name what they read."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from inspect import Parameter, signature
from typing import Any

import ibis.expr.types as ir

PREVIOUS = "previous"
PREVIOUS_OF = "previous_"


class RegistryError(Exception):
    """The registry contradicts itself: a programming error."""


class CircleError(RegistryError):
    """Tables read each other: `circle` names them in order, the first one again at the end."""

    def __init__(self, circle: Sequence[str]) -> None:
        super().__init__(f"tables read each other in a circle: {' -> '.join(circle)}")
        self.circle = circle


@dataclass(frozen=True)
class Output:
    """The rows of a table, with notes for people: what was fitted or counted on the way."""

    rows: ir.Table
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A function of the build, with the meaning of its parameters.

    A positional parameter is a table, an internal step, `previous` (the step's own table in the
    current snapshot) or `previous_X` (that of table X). A keyword-only parameter is an internal
    step where there is one of its name, else a setting. `names` gives the name in the build of a
    parameter that the function calls otherwise. With `as_of_facts` the step reads conformed
    tables without what happened after `as_of`.
    """

    make: Callable[..., Any]
    names: Mapping[str, str] = field(default_factory=dict)
    as_of_facts: bool = False

    @property
    def name(self) -> str:
        """The name of the step: that of its function."""
        return self.make.__name__

    @cached_property
    def positional(self) -> tuple[str, ...]:
        """Names in the build of the positional parameters."""
        return tuple(self.names.get(name, name) for name in self._parameters(is_keyword=False))

    @cached_property
    def keywords(self) -> dict[str, str]:
        """Names in the build of the keyword-only parameters, by parameter."""
        return {name: self.names.get(name, name) for name in self._parameters(is_keyword=True)}

    def _parameters(self, *, is_keyword: bool) -> Iterator[str]:
        for name, parameter in signature(self.make).parameters.items():
            if (parameter.kind is Parameter.KEYWORD_ONLY) is is_keyword:
                yield name


@dataclass(frozen=True)
class Internal(Step):
    """A step without a schema: an intermediate table, a fit, or any other value that steps share.

    It is worked out once a build, when a table first needs it. A table is stored in the engine
    unless `is_stored` is false.
    """

    is_stored: bool = True


@dataclass(frozen=True)
class Table(Step):
    """A step whose result is a table of the snapshot, with a schema of the same name.

    Tables of one `unit` are only made together. With `is_daily` a build adds the part of its day.
    """

    group: str = ""
    unit: str = ""
    is_daily: bool = False


@dataclass(frozen=True)
class NamedTable(Table):
    """A table whose name and inputs do not follow from the signature of its function."""

    table: str = ""
    reads: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.table

    @property
    def positional(self) -> tuple[str, ...]:
        """The tables that it is made of."""
        return self.reads


@dataclass(frozen=True)
class UnitTable(NamedTable):
    """A table that the function of its unit makes along with others: `make` yields their results.

    `is_conformed` tables unite the streams that feed them; their rows are checked one by one.
    """

    is_conformed: bool = False


class Registry:
    """All steps of a build, in an order in which each comes after what it reads.

    `facts` names the tables that decide what was known of a table on a day, where that is not the
    table alone. Raises RegistryError when a step reads what is not there, CircleError when tables read each other.
    """

    def __init__(
        self,
        tables: Iterable[Table],
        internals: Iterable[Internal] = (),
        facts: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        listed = {table.name: table for table in tables}
        self.internals = {step.name: step for step in internals}
        self.facts = facts or {}
        self._reads = {name: self._tables_read(step, listed) for name, step in listed.items()}
        self.tables = {name: listed[name] for name in _sorted(self._reads)}

    def inputs(self, step: Step) -> tuple[str, ...]:
        """What a step reads by name: tables, internal steps, earlier versions; no settings."""
        keywords = (name for name in step.keywords.values() if name in self.internals)
        return (*step.positional, *keywords)

    def reads(self, name: str) -> frozenset[str]:
        """The tables that a table is made of, directly or through internal steps."""
        return self._reads[name]

    @cached_property
    def conformed(self) -> tuple[str, ...]:
        """The tables that streams feed, in order."""
        tables = self.tables.items()
        return tuple(name for name, table in tables if isinstance(table, UnitTable) and table.is_conformed)

    def in_unit(self, unit: str) -> tuple[str, ...]:
        """The tables that are made together, in order."""
        return tuple(name for name, table in self.tables.items() if table.unit == unit)

    def downstream(self, names: Collection[str]) -> set[str]:
        """The tables that read some tables, directly or not."""
        readers: set[str] = set()
        for name in self.tables:
            if self._reads[name] & (readers | {*names}):
                readers.add(name)
        return readers

    def upstream(self, name: str, until: Collection[str] = ()) -> tuple[str, ...]:
        """The tables that a table is made of, directly or not, in order; `until` are not followed."""
        wanted = {name}
        for other in reversed(self.tables):
            if other in wanted and other not in until:
                wanted |= self._reads[other]
        return tuple(other for other in self.tables if other in wanted and other != name)

    def _tables_read(self, step: Step, tables: Mapping[str, Table]) -> frozenset[str]:
        """Follow internal steps to the tables behind them; earlier versions are no input."""
        tables_read: set[str] = set()
        for name in self.inputs(step):
            if name in self.internals:
                tables_read |= self._tables_read(self.internals[name], tables)
            elif step.as_of_facts and name in self.facts:
                tables_read |= {*self.facts[name]}
            elif name in tables:
                tables_read.add(name)
            elif name != PREVIOUS and name.removeprefix(PREVIOUS_OF) not in tables:
                raise RegistryError(f"{step.name} reads {name}, which is no table and no internal step")
        return frozenset(tables_read)


def _sorted(reads: Mapping[str, Collection[str]]) -> list[str]:
    """Sort tables so that each comes after what it reads, and otherwise stays where it is listed."""
    sorter = TopologicalSorter(reads)
    try:
        sorter.prepare()
    except CycleError as error:
        raise CircleError(error.args[1]) from None
    order: list[str] = []
    ready: list[str] = []
    places = {name: number for number, name in enumerate(reads)}
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=places.__getitem__)
        order.append(ready.pop(0))
        sorter.done(order[-1])
    return order
