"""Whatever happens to a target, to its people and to us: nothing is lost, doubled, made up or run over.

Hypothesis makes up histories: our values change, people edit, create and delete, plans are made and applied, newer and
older ones, the process dies at any transaction or request, answers are lost, late or wrong, runs are taken back, people
decide. `histories.py` has the rules, `judge.py` what must hold after each, and in the end: three nights without faults,
and the target holds what it should, wherever the policies let us write. How often: a few histories of each kind of
target, always the same ones; `BELVEDERE_HISTORIES=300 pytest tests/engine/deliver/test_delivery_histories.py`
makes up so many new and longer ones. What fails is printed as a short history, with a line to repeat it.
"""

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.engine.deliver.histories import WAYS, Deliveries

HISTORIES = int(os.environ.get("BELVEDERE_HISTORIES", "0"))
SETTINGS = settings(
    max_examples=HISTORIES or 4,
    stateful_step_count=30 if HISTORIES else 15,
    derandomize=not HISTORIES,
    deadline=None,
    print_blob=True,
    phases=[phase for phase in Phase if HISTORIES or phase is not Phase.shrink],  # to shorten one takes minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.mark.timeout(0 if HISTORIES else 180)
@pytest.mark.parametrize("ways", WAYS)
def test_any_history_of_a_delivery_ends_well(ways: str):
    run_state_machine_as_test(partial(Deliveries, WAYS[ways]), settings=SETTINGS)
