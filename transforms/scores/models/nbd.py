"""The family of BG/NBD: order days by a gamma-distributed rate, and a chance to leave after each of them.

Sources: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2) (BG/NBD);
Batislam, Denizel and Filiztekin (2007), International Journal of Research in Marketing 24(3) (MBG/NBD, where one may
leave after the first order, too); Platzer and Reutterer (2016), Marketing Science 35(5) (orders as regular as every
k-th of a random stream). x order days after the first, the last tx after it, t observed; all in weeks.
"""

from typing import ClassVar

import numpy as np

from transforms.scores.models.base import FEWEST, PRIOR, Chances, Columns, Fit, Floats, Model, ratio
from transforms.scores.models.likelihood import most_likely

WEEK = 7.0
WEEKS_A_MONTH = 365.25 / 12 / 7
STARTS = ((-0.5, 1.5, 0.0, 0.5), (0.0, 2.5, -1.0, 1.0))
NAMES = ("r", "alpha", "a", "b")
SMALL, LONGEST = 1e-9, 400  # of what is still added to an expected count, and of how many terms
FINE = 4_000  # groups: with more of them the fit counts in whole weeks, which moves parameters by a hundredth


class NBD(Model):
    """See a customer by days; `leaves_first` is 1 where one may leave after the very first order, else 0."""

    cells: ClassVar[tuple[str, ...]] = ("orders", "span_days", "known_days")
    period = "day"
    leaves_first: ClassVar[int]

    def fit(self, counts: Columns, *, prior: float = PRIOR) -> Fit | None:
        """Fit on days, or on weeks where the days are too many."""
        if counts["customers"].sum() < FEWEST or np.dot(counts["orders"], counts["customers"]) < FEWEST:
            return None
        return self.fitted(coarse(counts), 1, prior)

    def chances(self, fit: Fit, cells: Columns, *, horizon: int, part: float = 0.0) -> Chances:
        """Tell the chance of an order, never that of being alive: a one-time buyer is always alive in BG/NBD."""
        x, span, age_days = (cells[name] for name in self.cells)
        weeks, history = horizon * WEEKS_A_MONTH, (x, span / WEEK, age_days / WEEK)
        alive = self.alive(fit, *history)
        chance = alive * self.order_if_alive(fit, *history, weeks)
        again = (np.where(age_days > 0, np.maximum(x, 1), 0), age_days / WEEK, age_days / WEEK)
        recent = self.alive(fit, *again) * self.order_if_alive(fit, *again, weeks)
        orders = self.orders_if_alive(fit, *history, weeks)
        return Chances(chance, np.maximum(recent, chance), orders, alive, ratio(chance, alive))

    def fitted(self, counts: Columns, k: int, prior: float, near: Fit | None = None) -> Fit:
        """Fit for one regularity k, starting near another fit where there is one."""
        x, span, age_days, weight = (counts[name] for name in (*self.cells, "customers"))
        fixed = _fixed(counts, k)

        def loglik(p: Floats) -> float:
            return fixed + float(np.dot(weight, _loglik(p, x, span / WEEK, age_days / WEEK, k, self.leaves_first)))

        starts = [np.log([near.values[name] for name in NAMES]).tolist()] if near else STARTS
        values = most_likely(loglik, starts, prior)
        named = dict(zip(NAMES, values.tolist(), strict=True)) | ({"k": float(k)} if k > 1 else {})
        return Fit(self.name, named, loglik(values), int(weight.sum()))

    def alive(self, fit: Fit, x: Floats, tx: Floats, t: Floats) -> Floats:
        """Tell the chance of being still a customer."""
        r, al, a, b = (fit.values[name] for name in NAMES)
        k, d = int(fit.values.get("k", 1)), self.leaves_first
        can_leave = (x > 0) | (d == 1)
        odds = np.log(a) - np.log(np.maximum(b + x + d - 1, SMALL))
        odds = odds + (r + k * x) * np.log((al + t) / (al + tx)) - np.log(_silence(r + k * x, al, tx, t, k))
        return np.where(can_leave, 1 / (1 + np.exp(np.minimum(odds, 700.0))), 1.0)

    def order_if_alive(self, fit: Fit, x: Floats, tx: Floats, t: Floats, weeks: float) -> Floats:
        """Tell the chance of an order within some weeks, of who is still a customer."""
        r, al = fit.values["r"], fit.values["alpha"]
        k = int(fit.values.get("k", 1))
        shape = r + k * x
        none = shape * np.log((al + t) / (al + t + weeks))
        none = none + np.log(_silence(shape, al, tx, t + weeks, k) / _silence(shape, al, tx, t, k))
        return np.asarray(np.clip(-np.expm1(none), 0.0, 1.0))

    def orders_if_alive(self, fit: Fit, x: Floats, tx: Floats, t: Floats, weeks: float) -> Floats:
        """Expect so many order days within some weeks, of who is still a customer: exact for every k.

        The n-th order comes when the stream brings k*n of its events, less those since the last order, and when the
        customer did not leave after any of the n - 1 before.
        """
        r, al = fit.values["r"], fit.values["alpha"]
        k = int(fit.values.get("k", 1))
        shape, moved = r + k * x, (t - tx) / (al + t)
        parts = _rising(shape, moved, k)
        parts = parts / parts.sum(axis=0)
        return np.asarray(sum(parts[j] * self._brought(fit, x, shape + j, t, weeks, j) for j in range(k)))

    def _brought(self, fit: Fit, x: Floats, shape: Floats, t: Floats, weeks: float, ahead: int) -> Floats:
        from scipy.special import betainc

        al, a, b = (fit.values[name] for name in ("alpha", "a", "b"))
        k, total = int(fit.values.get("k", 1)), np.zeros_like(x, dtype=float)
        open_rows, stays = np.arange(len(x)), np.ones(len(x))
        for n in range(1, LONGEST + 1):
            comes = betainc(k * n - ahead, shape[open_rows], weeks / (al + t[open_rows] + weeks))
            total[open_rows] += stays * comes
            b_now = b + x[open_rows] + self.leaves_first + n - 1
            stays = stays * b_now / (a + b_now)
            go_on = stays * comes > SMALL
            open_rows, stays = open_rows[go_on], stays[go_on]
            if not len(open_rows):
                break
        return total


def _silence(shape: Floats, al: float, tx: Floats, until: Floats, k: int) -> Floats:
    """Sum over the events of the stream that may have come since the last order without making one; 1 for k = 1."""
    share = (until - tx) / (al + until)
    return np.asarray(_rising(shape, share, k).sum(axis=0))


def _rising(shape: Floats, share: Floats, k: int) -> Floats:
    """List the terms 0 to k - 1: rising factorials of the shape, over factorials, times powers of the share."""
    terms = [np.ones_like(shape)]
    for step in range(k - 1):
        terms.append(terms[-1] * (shape + step) / (step + 1) * share)
    return np.array(terms)


def _fixed(counts: Columns, k: int) -> float:
    """Give what the gaps between orders add to the log-likelihood whatever the parameters."""
    from scipy.special import gammaln

    if k == 1:
        return 0.0
    orders = float(np.dot(counts["orders"], counts["customers"]))
    gaps = float(counts["log_gaps"].sum()) - orders * float(np.log(WEEK))
    return (k - 1) * gaps - orders * float(gammaln(k))


def _loglik(p: Floats, x: Floats, tx: Floats, t: Floats, k: int, d: int) -> Floats:
    from scipy.special import betaln, gammaln

    r, al, a, b = p
    shape = r + k * x
    stays = betaln(a, b + x + d) - betaln(a, b) - shape * np.log(al + t) + np.log(_silence(shape, al, tx, t, k))
    can_leave = (x > 0) | (d == 1)
    has_left = betaln(a + 1, np.where(can_leave, b + x + d - 1, 1.0)) - betaln(a, b) - shape * np.log(al + tx)
    either = np.logaddexp(stays, np.where(can_leave, has_left, -np.inf))
    return np.asarray(gammaln(shape) - gammaln(r) + r * np.log(al) + either)


def coarse(counts: Columns) -> Columns:
    """Count in whole weeks where the groups are too many to be fitted one by one."""
    if len(counts["customers"]) <= FINE:
        return counts
    weeks = [np.round(counts[name] / WEEK) * WEEK for name in ("span_days", "known_days")]
    cells = np.column_stack([counts["orders"], *weeks])
    unique, group = np.unique(cells, axis=0, return_inverse=True)
    sums = {name: np.bincount(group.ravel(), counts[name]) for name in ("customers", "log_gaps") if name in counts}
    return dict(zip(NBD.cells, unique.T, strict=True)) | sums


# BG/NBD: order days at random; who has ordered once only never leaves. Known best, ranks worst by
# "alive".


class BGNBD(NBD):
    """Let customers leave after a repeat order."""

    name = "bgnbd"
    leaves_first = 0


BGNBD_MODEL = BGNBD()


# MBG/NBD: order days at random; one may leave after any order, the first one too.


class MBGNBD(NBD):
    """Let customers leave after any order."""

    name = "mbgnbd"
    leaves_first = 1


MBGNBD_MODEL = MBGNBD()


# MBG/CNBD-k: as MBG/NBD, for customers who order regularly: an order is every k-th event of a
# random stream.


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
            candidate = self.fitted(counts, k, prior, best)
            if candidate.loglik <= best.loglik:
                break
            best = candidate
        return best


MBGCNBD_MODEL = MBGCNBD()
