"""Alerts: a score that drops by 10 of 100 points in 30 days, or falls into a worse band, once a fall."""

from collections.abc import Mapping, Sequence
from datetime import date

import ibis
import ibis.expr.types as ir

KEY = ("customer_id", "score")
DROP, REARM, SURE = 10.0, 5.0, 0.3
# best first
BANDS: Mapping[str, Sequence[str]] = {
    "retention": ("healthy", "watch", "at_risk", "critical"),
    "satisfaction": ("A", "B", "C", "D", "F"),
}
SCALE = {"key_account": 10.0}  # its points are of 10
_COLUMNS = (
    *("alert_id", "customer_id", "customer_name", "account_manager", "score", "kind", "opened_on", "value_before"),
    *("value", "band_before", "band", "changes", "recovered_on", "recovered_value", "recovered_band"),
)


def score_alerts(score_history: ir.Table, customers: ir.Table, previous: ir.Table, *, as_of: date) -> ir.Table:
    """Close the alerts that have recovered and open those of today; alerts of later days stay as they are.

    After a recovery a score falls from what it had recovered to, not from what it was before. What is known too little
    of (confidence below .3) or frozen raises none. A tier of key accounts is no band: reviews move it.
    """
    earlier = _without_later_recoveries(previous.filter(previous.opened_on < as_of), as_of)
    later = previous.filter(previous.opened_on > as_of).select(*_COLUMNS)
    today = score_history.filter(score_history.as_of == as_of, score_history.state == "scored")
    closed = _with_recoveries(earlier, today, as_of)
    return ibis.union(closed, _new_alerts(today, customers, closed, as_of), later)


def _without_later_recoveries(alerts: ir.Table, as_of: date) -> ir.Table:
    """Take back recoveries that a build of this date or a later one has seen."""
    is_before = (alerts.recovered_on < as_of).coalesce(False)
    names = ("recovered_on", "recovered_value", "recovered_band")
    recovery = {name: ibis.ifelse(is_before, alerts[name], None) for name in names}
    return alerts.mutate(**recovery).select(*_COLUMNS)


def _with_recoveries(alerts: ir.Table, today: ir.Table, as_of: date) -> ir.Table:
    now = today.select(*KEY, now="value_effective", now_band="band")
    t = alerts.left_join(now, KEY).drop("customer_id_right", "score_right")
    recovers = (t.recovered_on.isnull() & ((t.now - t.value) * _scale(t) >= REARM)).coalesce(False)
    return t.mutate(
        recovered_on=ibis.ifelse(recovers, ibis.literal(as_of), t.recovered_on),
        recovered_value=ibis.ifelse(recovers, t.now, t.recovered_value),
        recovered_band=ibis.ifelse(recovers, t.now_band, t.recovered_band),
    ).select(*_COLUMNS)


def _new_alerts(today: ir.Table, customers: ir.Table, alerts: ir.Table, as_of: date) -> ir.Table:
    last = ibis.row_number().over(group_by=list(KEY), order_by=[alerts.opened_on.desc(), alerts.alert_id])
    last_one = alerts.mutate(nth=last).filter(lambda row: row.nth == 0)
    last_one = last_one.select(*KEY, "recovered_on", "recovered_value", "recovered_band", is_known=ibis.literal(True))
    t = today.left_join(last_one, KEY).drop("customer_id_right", "score_right")
    t = t.inner_join(customers.select("customer_id", "account_manager", customer_name="name"), "customer_id")
    since = (t.recovered_on > t.compared_on).coalesce(False)
    before = ibis.ifelse(since, t.recovered_value, t.value_effective - t.delta)
    t = t.mutate(before=before.round(4), from_band=ibis.ifelse(since, t.recovered_band, t.band_before))
    drops = ((t.value_effective - t.before) * _scale(t) <= -DROP).coalesce(False)
    falls = (_band_rank(t, t.band) > _band_rank(t, t.from_band)).coalesce(False)
    is_open = t.is_known.coalesce(False) & t.recovered_on.isnull()
    sure = t.confidence.coalesce(1.0) >= SURE
    new = t.mutate(drops=drops).filter((drops | falls) & sure & ~is_open)
    return new.select(
        "customer_id",
        "customer_name",
        "account_manager",
        "score",
        "band",
        "changes",
        alert_id=new.customer_id + "/" + new.score + f"/{as_of.isoformat()}",
        kind=ibis.ifelse(new.drops, "drop", "band"),
        opened_on=ibis.literal(as_of),
        value_before=new.before,
        value=new.value_effective,
        band_before=new.from_band,
        recovered_on=ibis.null("date"),
        recovered_value=ibis.null("float64"),
        recovered_band=ibis.null("string"),
    ).select(*_COLUMNS)


def _scale(t: ir.Table) -> ir.NumericValue:
    return ibis.cases(*((t.score == score, scale) for score, scale in SCALE.items()), else_=1.0)


def _band_rank(t: ir.Table, band: ir.StringValue) -> ir.IntegerValue:
    """Count from the best band down; null for what is none."""
    places = [
        ((t.score == score) & (band == name), rank) for score, bands in BANDS.items() for rank, name in enumerate(bands)
    ]
    return ibis.cases(*places, else_=ibis.null("int64"))
