"""Alerts of falling scores: each fall is told once."""

from datetime import date, timedelta
from typing import Any

import pytest

from transforms.scores.score_alerts import score_alerts

FIRST = date(2026, 6, 1)
Day = tuple[int, float | None, float, str, str]  # day, value 30 days before, value now, band before, band


@pytest.fixture
def alerts(con: Any, rows: Any):
    """Run builds one after the other and list the alerts after the last."""

    def run(
        *days: Day, score: str = "retention", sure: float | None = None, state: str = "scored"
    ) -> list[dict[str, Any]]:
        stored: list[dict[str, Any]] = []
        for day, before, now, band_before, band in days:
            as_of = FIRST + timedelta(days=day)
            item = {
                "customer_id": "C1",
                "score": score,
                "as_of": as_of,
                "state": state,
                "value_effective": now,
                "delta": None if before is None else now - before,
                "band": band,
                "band_before": band_before,
                "compared_on": as_of - timedelta(days=30),
                "confidence": sure,
            }
            people = rows("customers", {"customer_id": "C1", "name": "Hansa", "account_manager": "Mia"})
            table = score_alerts(rows("score_history", item), people, rows("score_alerts", *stored), as_of=as_of)
            stored = table.order_by("opened_on").to_pyarrow().to_pylist()
        return stored

    return run


def opened(result: list[dict[str, Any]]) -> list[int]:
    return [(row["opened_on"] - FIRST).days for row in result]


DOWN: Day = (0, 80.0, 70.0, "healthy", "watch")


def test_a_drop_of_ten_points_is_told_once_with_who_looks_after_it(alerts):
    (row,) = alerts(DOWN, (1, 80.0, 65.0, "healthy", "watch"), (2, 80.0, 40.0, "healthy", "at_risk"))
    assert (row["alert_id"], row["kind"], row["account_manager"]) == ("C1/retention/2026-06-01", "drop", "Mia")
    assert (row["value_before"], row["value"], row["band_before"], row["band"]) == (80, 70, "healthy", "watch")


def test_a_worse_band_is_told_however_small_the_step(alerts):
    (row,) = alerts((0, 75.5, 74.5, "healthy", "watch"))
    assert row["kind"] == "band"
    assert alerts((0, 70.0, 61.0, "watch", "watch")) == []
    assert alerts((0, 40.0, 60.0, "at_risk", "watch")) == []
    assert alerts((0, None, 10.0, "watch", "critical")) != []


def test_after_a_recovery_of_five_points_it_falls_from_there(alerts):
    up: Day = (1, 80.0, 75.0, "healthy", "healthy")
    (row,) = alerts(DOWN, (1, 80.0, 74.9, "healthy", "watch"))
    assert row["recovered_on"] is None
    result = alerts(DOWN, up, (2, 80.0, 75.0, "healthy", "healthy"))
    assert (opened(result), result[0]["recovered_on"]) == ([0], FIRST + timedelta(days=1))
    again = alerts(DOWN, up, (3, 80.0, 65.0, "healthy", "watch"))
    assert opened(again) == [0, 3]
    assert again[1]["value_before"] == 75


def test_a_second_build_of_a_day_changes_nothing(alerts):
    up: Day = (1, 80.0, 75.0, "healthy", "healthy")
    assert alerts(DOWN, DOWN) == alerts(DOWN)
    assert alerts(DOWN, up, up) == alerts(DOWN, up)
    assert alerts(DOWN, up, (1, 80.0, 70.0, "healthy", "watch")) == alerts(DOWN)


def test_what_little_is_known_of_or_frozen_raises_none(alerts):
    fall: Day = (0, 80.0, 50.0, "B", "D")
    assert alerts(fall, score="satisfaction", sure=0.29) == []
    assert len(alerts(fall, score="satisfaction", sure=0.3)) == 1
    assert alerts(fall, score="satisfaction", sure=0.3, state="frozen") == []


def test_key_accounts_count_in_their_own_points_and_tiers_are_no_bands(alerts):
    assert len(alerts((0, 7.0, 6.0, "A", "B"), score="key_account", sure=0.9)) == 1
    assert alerts((0, 7.0, 6.1, "A", "B"), score="key_account", sure=0.9) == []
