"""One criterion in force: weight, anchors, and where they come from."""

import ibis.expr.datatypes as dt

from schemas.base import Table, one_of, optional, required


class Criteria(Table):
    """One criterion for key accounts as a build used it: weight, anchors, and where they come from."""

    criterion: str = required("Name of the criterion")
    label: str = required("What it measures, in words")
    group: str = required("growth, harmony or value_creation", **one_of("growth", "harmony", "value_creation"))
    weight: float = required("Weight as configured", ge=0)
    measure: str = required("ours, sql or manual", **one_of("ours", "sql", "manual"))
    sql: str = optional("The expression, where a user wrote one")
    table: str = optional("The table that the expression is over")
    anchors: str = required("Ten values that score 1 to 10, separated by spaces")
    anchors_from: str = required("default, calibrated or configured", **one_of("default", "calibrated", "configured"))
    calibrated_on: dt.Date = optional("Date that the anchors were calibrated as of")
    model_version: str = required("Version of criteria, weights and anchors")
    as_of: dt.Date = required("Date that the row is about")

    class Config(Table.Config):
        unique = ["criterion"]
