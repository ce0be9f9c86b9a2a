"""How well each retention model would have predicted the orders after past dates."""

import ibis.expr.types as ir
import pandera.ibis as pa
from ibis.expr import datatypes as dt
from pandera.api.ibis.types import IbisData

from schemas.base import Table, optional, required, within


class Backtest(Table):
    """How well a model of retention would have predicted orders from one past date, or (slice all) from all of them.

    Each model is fitted on what was known on that date only. `recency` is the days since the last order alone: the
    baseline that any model must beat. AUC tells how well a model ranks (.5 is a guess), log loss and Brier score how near its chances came
    to what happened (lower is better), the calibration error how far they lie from the shares that ordered.
    """

    model: str = required("Model: bgbb, bgnbd, mbgnbd, mbgcnbd, sbg, rfm or recency")
    slice: str = required("Date predicted from, YYYY-MM-DD, or all: the mean over these dates")
    origins: dt.Int64 = required("Number of dates in the row", ge=1)
    horizon_months: dt.Int64 = required("Months predicted", gt=0)
    customers: dt.Int64 = required("Customers predicted", ge=1)
    ordered: dt.Int64 = required("Of these, how many ordered within the horizon", ge=0)
    promised: float = required("Mean chance that the model gave", **within(0, 1))
    came: float = required("Share that ordered", **within(0, 1))
    auc: float = optional("Area under the ROC curve; null where all or none ordered", **within(0, 1))
    log_loss: float = required("Mean log loss, chances held within 1e-6 and 1 - 1e-6", ge=0)
    brier: float = required("Mean squared error of the chances", **within(0, 1))
    calibration_error: float = required(
        "Mean distance of promised and came, by tenths of the customers", **within(0, 1)
    )
    gain: float = optional("Log loss of the default less that of this model, on the dates both predicted from")
    gain_error: float = optional(
        "Standard error of the gain; null for a single date, or where the dates are too close together", ge=0
    )
    is_default: bool = required("True for the default model")
    is_chosen: bool = required("True for the model that `model: auto` uses from now on")
    model_version: str = optional("Version of the fit on that date")
    as_of: dt.Date = required("Date of the build whose orders were looked at")

    @pa.dataframe_check(error="more customers ordered than were predicted")
    def ordered_is_a_part(cls, data: IbisData) -> ir.BooleanColumn:
        return data.table.ordered <= data.table.customers

    class Config(Table.Config):
        unique = ["model", "slice"]
