"""What the models of retention share: a fit on grouped counts, then the chance of an order within the horizon.

A model sees a customer as a cell: a few whole numbers of `retention_statistics`. It is fitted on the cells and how
many customers are in each, so a fit costs the same for ten thousand customers as for ten million.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = Mapping[str, Floats]

FEWEST = 30  # customers, and repeat events: below this no probability is published
PRIOR = 1 / 8  # on the squared logs of the parameters: a standard deviation of 2


@dataclass(frozen=True)
class Fit:
    """Hold a fit: the parameters by name, the log-likelihood, and how many customers it rests on."""

    model: str
    values: Mapping[str, float]
    loglik: float = 0.0
    customers: int = 0


@dataclass(frozen=True)
class Chances:
    """Say of each cell: `p`, an order within the horizon; `p_recent`, the same had it ordered just now.

    A model that knows of leaving tells `p_alive` and `p_order_if_alive`, too; their product is `p`. `orders_if_alive`
    counts the model's periods (months, days) with an order to expect within the horizon of who is still a customer.
    """

    p: Floats
    p_recent: Floats
    orders_if_alive: Floats
    p_alive: Floats | None = None
    p_order_if_alive: Floats | None = None


class Model(ABC):
    """Fit on cells, and tell chances of cells."""

    name: ClassVar[str]
    cells: ClassVar[tuple[str, ...]]  # columns of the statistics that tell customers apart
    fit_cells: ClassVar[tuple[str, ...]] = ()  # those that the fit depends on, where it does not on all
    sums: ClassVar[tuple[str, ...]] = ()  # columns whose sum by cell the fit needs
    revision: ClassVar[int] = 1  # raise it when the same data gives another fit than before
    period: ClassVar[Literal["month", "day"]] = "month"
    is_taught: ClassVar[bool] = False  # learns from what customers did in the horizon after an earlier date

    @abstractmethod
    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Fit on cells and `customers` in each (and `ordered`, where it is taught); None when they are too few.

        The penalty `prior` makes it a maximum a posteriori fit; 0 gives maximum likelihood, as papers have it.
        """

    @abstractmethod
    def chances(self, fit: Fit, cells: Columns, *, horizon: int, part: float = 0.0) -> Chances:
        """Tell the chances of each cell within a horizon of months; `part` of the month that has begun is over."""


def digest(columns: Columns) -> str:
    """Digest columns of numbers: the same on every machine for equal columns with rows in equal order."""
    hashed = sha256()
    for name in sorted(columns):
        hashed.update(f"{name}:{len(columns[name])}:".encode())
        hashed.update((np.asarray(columns[name], "<f8") + 0.0).tobytes())  # + 0.0: there is one zero
    return hashed.hexdigest()


def fit_version(model: Model, counts: Columns, horizon: int, *, prior: float = PRIOR) -> str:
    """Name a fit by its data and settings, never by the fitted parameters, whose last digits differ between machines.

    `horizon` is in months.
    """
    settings = f"{model.name}/{model.revision}/{horizon}/{prior!r}/{digest(counts)}"
    return f"{model.name}-{sha256(settings.encode()).hexdigest()[:8]}-h{horizon}"


def ratio(p: Floats, p_alive: Floats) -> Floats:
    """Give the chance of an order of who is still a customer, from the product; 0 where nobody can be one."""
    return np.asarray(np.clip(np.divide(p, p_alive, out=np.zeros_like(p), where=p_alive > 0), 0.0, 1.0))
