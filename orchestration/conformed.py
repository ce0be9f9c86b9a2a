"""What a build makes of a stream's newest rows, before the rules look at them."""

import ibis.expr.types as ir

from connectors.kit.stream import Stream
from orchestration import drift
from orchestration.project import Project
from transforms.conform import conform


def conformed(project: Project, connection: str, stream: Stream, newest: ir.Table) -> ir.Table:
    """Read the columns of a stream's table from its newest rows, under the connection's contract."""
    return conform(
        newest,
        connection=connection,
        stream=stream.name,
        table=str(stream.table),
        fields=stream.fields,
        nulls=stream.nulls,
        sparse=sparse(project, connection, stream),
        terms=drift.terms(project, connection, stream),
    )


def sparse(project: Project, connection: str, stream: Stream) -> set[str]:
    """Name the paths for which some file has no column: there the payload is looked at."""
    return {*stream.paths} - project.lake.columns(f"raw/{connection}/{stream.name}")
