"""MBG/CNBD-k: as MBG/NBD, for customers who order regularly: an order is every k-th event of a random stream."""

from typing import ClassVar

import numpy as np

from transforms.models.base import FEWEST, PRIOR, Columns, Fit
from transforms.models.nbd import NBD, coarse

MOST_REGULAR = 12


class MBGCNBD(NBD):
    """Choose the regularity by likelihood, too."""

    name = "mbgcnbd"
    sums: ClassVar[tuple[str, ...]] = ("log_gaps",)
    leaves_first = 1

    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Raise k as long as the likelihood rises."""
        if counts["customers"].sum() < FEWEST or np.dot(counts["orders"], counts["customers"]) < FEWEST:
            return None
        counts = coarse(counts)
        best = self.fitted(counts, 1, prior)
        for k in range(2, MOST_REGULAR + 1):
            found = self.fitted(counts, k, prior, best)
            if found.loglik <= best.loglik:
                break
            best = found
        return best


MODEL = MBGCNBD()
