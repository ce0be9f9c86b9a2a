"""Public data that the lifetimes wheel ships, read as files: nothing of the package itself is run."""

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from transforms.scores.models.base import Columns


def column(name: str, *names: str) -> list[np.ndarray]:
    """Read columns of a file."""
    text = (Path(find_spec("lifetimes").origin).parent / "datasets" / name).read_text()
    rows = list(csv.DictReader(text.splitlines()))
    return [np.array([float(row[item]) for row in rows]) for item in names]


@pytest.fixture(scope="session")
def cdnow() -> Columns:
    """Read the 1/10 sample of CDNOW, 2,357 customers, 39 weeks."""
    x, tx, t = column("cdnow_customers_summary.csv", "frequency", "recency", "T")
    return {"orders": x, "span_days": tx * 7, "known_days": t * 7, "customers": np.ones(len(x))}


@pytest.fixture(scope="session")
def donations() -> Columns:
    """Read the donation data of Fader, Hardie and Shang (2010), 11,104 donors, six years."""
    x, tx, n, weight = column("donations.csv", "frequency", "recency", "periods", "weights")
    return {"x": x, "tx": tx, "n": n, "customers": weight}
