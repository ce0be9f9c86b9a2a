"""The scores of one day, with what became of them since an earlier day and why."""

from collections.abc import Mapping
from datetime import date

import ibis
import ibis.expr.types as ir

from transforms.scores.score_changes import parts_of, with_changes

KEY = ("customer_id", "score")
# score: the worst bands, the threshold above them, and how sure it must be
LOW: Mapping[str, tuple[tuple[str, ...], float, float]] = {
    "retention": (("at_risk", "critical"), 50.0, 0.0),
    "satisfaction": (("D", "F"), 65.0, 0.3),
}
REARM = 5.0  # points above the threshold that end a fall: after that the next one is a new one


def score_history(
    retention: ir.Table,
    satisfaction: ir.Table,
    key_accounts: ir.Table,
    key_account_criteria: ir.Table,
    before: ir.Table,
    compared: ir.Table,
    *,
    as_of: date,
    labels: Mapping[str, str],
    most: int = 24,
) -> ir.Table:
    """Take down a day's scores and how they changed.

    `before` is the history of the last day before it, `compared` of the day compared with. `labels` say codes in
    words, `most` is the most parts that a score has.
    """
    today = scores_of_day(retention, satisfaction, key_accounts, key_account_criteria, before, as_of=as_of)
    return with_changes(today, compared.filter(compared.as_of < as_of), labels, most)


def scores_of_day(
    retention: ir.Table,
    satisfaction: ir.Table,
    key_accounts: ir.Table,
    key_account_criteria: ir.Table,
    before: ir.Table,
    *,
    as_of: date,
) -> ir.Table:
    """Gather a day's scores with what is remembered of the days before.

    A churned customer is frozen: no value, the last one kept.
    """
    churned = retention.select("customer_id", is_gone=retention.band == "churned")
    by_criterion = _criteria_parts(key_account_criteria)
    key_accounts = key_accounts.left_join(by_criterion, "customer_id").drop("customer_id_right")
    none = ibis.null("float64")
    today = ibis.union(
        _scores(retention, "retention", retention.band, none, parts_of(retention.reasons)),
        _scores(
            satisfaction, "satisfaction", satisfaction.band, satisfaction.confidence, parts_of(satisfaction.reasons)
        ),
        _scores(key_accounts, "key_account", key_accounts.tier, key_accounts.coverage, key_accounts.parts),
    )
    today = today.left_join(churned, "customer_id").drop("customer_id_right")
    today = _with_state(today.mutate(as_of=ibis.literal(as_of)))
    return _with_memory(today, before.filter(before.as_of < as_of), as_of)


def last_tiers(before: ir.Table) -> ir.Table:
    """Tell the tier of each customer on the last day before, as far as it had one."""
    tiers = before.filter(before.score == "key_account")
    computed = tiers.band_computed.coalesce(tiers.band)
    return tiers.select("customer_id", tier_computed=ibis.ifelse(computed.isin(["A", "B", "C"]), computed, None))


def _scores(
    scores: ir.Table, name: str, band: ir.StringValue, confidence: ir.NumericValue, parts: ir.StringValue
) -> ir.Table:
    computed = (
        scores.tier_computed
        if "tier_computed" in scores.columns
        else ibis.ifelse(scores.override_id.isnull(), band, ibis.null("string"))
    )
    return scores.select(
        "customer_id",
        score=ibis.literal(name),
        value=scores.value,
        value_effective=scores.value_effective,
        band=band,
        band_computed=computed,
        confidence=confidence,
        override_id=scores.override_id,
        model_version=scores.model_version,
        reasons=scores.reasons,
        parts=parts,
    )


def _criteria_parts(criteria: ir.Table) -> ir.Table:
    points = criteria.contribution.round(4).cast("decimal(18, 4)").cast("string")
    t = criteria.mutate(part=ibis.literal('"') + criteria.criterion.upper() + '":' + points)
    grouped = t.group_by("customer_id").agg(all_parts=t.part.group_concat(",", order_by=t.criterion))
    return grouped.select("customer_id", parts=ibis.literal("{") + grouped.all_parts + "}")


def _with_state(today: ir.Table) -> ir.Table:
    is_churned = today.is_gone.coalesce(False)
    state = ibis.cases((is_churned, "frozen"), (today.value_effective.isnull(), "no_data"), else_="scored")
    return today.mutate(
        state=state,
        value=ibis.ifelse(is_churned, None, today.value),
        value_effective=ibis.ifelse(is_churned, None, today.value_effective),
        band=ibis.ifelse(is_churned, "churned", today.band),
    ).drop("is_gone")


def _with_memory(today: ir.Table, before: ir.Table, as_of: date) -> ir.Table:
    """Carry on what is remembered from day to day: the last value, and since when a score is low."""
    memory = ("last_value", "last_on", "low_since", "low_value", "low_band")
    old = before.select(*KEY, **{f"old_{name}": before[name] for name in memory})
    joined = today.left_join(old, KEY)
    t = joined.select(*today.columns, *(f"old_{name}" for name in memory))
    has = t.value_effective.notnull()
    sure = t.confidence.coalesce(1.0)
    is_low = ibis.cases(
        *((t.score == score, t.band.isin(bands) & (sure >= least)) for score, (bands, _, least) in LOW.items()),
        else_=False,
    )
    ends = ibis.cases(
        *((t.score == score, t.value_effective >= floor + REARM) for score, (_, floor, _) in LOW.items()), else_=True
    )
    goes_on = t.old_low_since.notnull() & ~ends.coalesce(t.state == "frozen")
    begins = is_low.coalesce(False) & ~goes_on

    def low(old: ir.Value, new: ir.Value) -> ir.Value:
        return ibis.cases((goes_on, old), (begins, new), else_=None)

    return t.mutate(
        last_value=t.value_effective.coalesce(t.old_last_value),
        last_on=ibis.ifelse(has, ibis.literal(as_of), t.old_last_on),
        low_since=low(t.old_low_since, ibis.literal(as_of)),
        low_value=low(t.old_low_value, t.value_effective),
        low_band=low(t.old_low_band, t.band),
    ).drop(*(f"old_{name}" for name in memory))
