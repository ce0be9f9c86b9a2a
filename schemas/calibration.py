"""Predicted and observed order rates of each retention model, by tenths of the customers."""

from ibis.expr import datatypes as dt

from schemas.base import Table, required, within


class Calibration(Table):
    """Predicted and observed order rate of one tenth of the customers, over all backtested dates."""

    model: str = required("Model: bgbb, bgnbd, mbgnbd, mbgcnbd, sbg, rfm or recency")
    tenth: dt.Int64 = required("1 for the customers with the lowest chances, 10 for the highest", **within(1, 10))
    customers: dt.Int64 = required("Predictions in the tenth: customers times dates", ge=1)
    promised: float = required("Mean chance that the model gave", **within(0, 1))
    came: float = required("Share that ordered within the horizon", **within(0, 1))
    came_low: float = required("Wilson interval of that share, lower end", **within(0, 1))
    came_high: float = required("Wilson interval of that share, upper end", **within(0, 1))
    as_of: dt.Date = required("Date of the build whose orders were looked at")

    class Config(Table.Config):
        unique = ["model", "tenth"]
