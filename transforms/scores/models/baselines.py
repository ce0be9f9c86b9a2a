"""The baselines that any model must beat: recency alone, and RFM (recency, frequency, money and age)."""

from typing import ClassVar

import numpy as np

from transforms.scores.models.base import Columns, Floats
from transforms.scores.models.logistic import MONTH, Logistic


class Recency(Logistic):
    """Weigh the days since the last order."""

    name = "recency"

    def features(self, cells: Columns) -> dict[str, Floats]:
        """Take the log, since a week more says less after a year."""
        return {"recency": np.log1p((cells["known_days"] - cells["span_days"]) / MONTH)}


RECENCY_MODEL = Recency()


# RFM: recency, frequency, money and age, weighed by what they meant in the last horizon.


class RFM(Logistic):
    """Weigh what every manager looks at."""

    name = "rfm"
    cells: ClassVar[tuple[str, ...]] = ("orders", "span_days", "known_days", "money")

    def features(self, cells: Columns) -> dict[str, Floats]:
        """Take logs, since the second order says more than the twentieth."""
        return {
            "recency": np.log1p((cells["known_days"] - cells["span_days"]) / MONTH),
            "frequency": np.log1p(cells["orders"]),
            "money": cells["money"],
            "age": np.log1p(cells["known_days"] / MONTH),
        }


RFM_MODEL = RFM()
