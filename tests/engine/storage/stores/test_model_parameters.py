"""Fitted parameters by date."""

from datetime import date

from engine.storage.ledger import Ledger


def test_the_newest_parameters_of_the_date_or_before_are_found(ledger: Ledger):
    ledger.model_parameters.save("retention", "bgbb-1", date(2026, 1, 10), {"alpha": 1.25})
    ledger.model_parameters.save("retention", "bgbb-1", date(2026, 1, 20), {"alpha": 2.5})
    ledger.model_parameters.save("satisfaction", "eb-1", date(2026, 1, 15), {"mean": 0.7})
    parameters = ledger.model_parameters.newest("retention", date(2026, 1, 19))
    assert parameters is not None
    assert (parameters.as_of, parameters.version, parameters.values) == (date(2026, 1, 10), "bgbb-1", {"alpha": 1.25})
    newest = ledger.model_parameters.newest("retention", date(2026, 1, 20))
    assert newest is not None
    assert newest.values == {"alpha": 2.5}


def test_there_are_no_parameters_before_the_first_fit(ledger: Ledger):
    ledger.model_parameters.save("retention", "bgbb-1", date(2026, 1, 10), {})
    assert ledger.model_parameters.newest("retention", date(2026, 1, 9)) is None
    assert ledger.model_parameters.newest("churn", date(2026, 1, 10)) is None


def test_a_second_fit_of_a_date_replaces_the_first(ledger: Ledger):
    for value in (1, 2):
        ledger.model_parameters.save("retention", f"v{value}", date(2026, 1, 10), {"alpha": value})
    parameters = ledger.model_parameters.newest("retention", date(2026, 2, 1))
    assert parameters is not None
    assert (parameters.version, parameters.values) == ("v2", {"alpha": 2})
