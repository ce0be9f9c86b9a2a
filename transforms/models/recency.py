"""Recency alone: what any model must beat. How long ago was the last order, and what did that mean of late."""

import numpy as np

from transforms.models.base import Columns, Floats
from transforms.models.logistic import MONTH, Logistic


class Recency(Logistic):
    """Weigh the days since the last order."""

    name = "recency"

    def features(self, cells: Columns) -> dict[str, Floats]:
        """Take the log, since a week more says less after a year."""
        return {"recency": np.log1p((cells["known_days"] - cells["span_days"]) / MONTH)}


MODEL = Recency()
