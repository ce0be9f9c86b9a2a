"""Models are found by the name of their file, and the settings know the same names."""

from typing import get_args

import pytest

from engine.config.customer_model import RetentionConfig
from transforms.scores.models.find import DEFAULT, find, models


def test_every_model_goes_by_the_name_of_its_file():
    assert [find(name).name for name in models()] == list(models())
    assert DEFAULT in models()


def test_the_settings_offer_every_model():
    offered = get_args(RetentionConfig.model_fields["model"].annotation)
    assert set(offered) == {"auto", *models()}


def test_an_unknown_model_is_told_with_the_choices():
    with pytest.raises(KeyError, match="bgbb"):
        find("crystal_ball")


def test_contracts_need_their_term():
    with pytest.raises(ValueError, match="contract_months"):
        RetentionConfig(model="sbg")
    with pytest.raises(ValueError, match="horizon"):
        RetentionConfig(model="sbg", contract_months=12, horizon_months=6)
