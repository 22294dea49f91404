"""Settings that name a column which the prepared data lacks, found before a model is trained."""

from typing import Any

import pandas as pd
import pytest

from mlops_lib import config, loaders, wrappers
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError, PluginError
from mlops_lib.settings import Settings

ROWS = {"id": range(60), "지역": ["서울", "부산"] * 30, "city": ["a", "b", "c"] * 20, "left": [0, 1] * 30}


@pytest.fixture
def configured(tmp_path):
    """Settings of a project with some rows and what the arguments set."""
    pd.DataFrame(ROWS).to_csv(tmp_path / "rows.csv", index=False)
    basic = {
        "data.source": "rows.csv",
        "data.label": "left",
        "data.key": "id",
        "evaluation.threshold": 0.5,
        "mlflow.tracking_uri": "sqlite:///mlflow.db",
    }

    def settings(given: dict[str, Any]) -> Settings:
        (tmp_path / "config.yaml").write_text("data: {}")
        return config.load(tmp_path / "config.yaml", {**basic, **given})

    return settings


def prepared(settings: Settings) -> None:
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"evaluation.gate.slices": {"지여": "all"}},
            r"evaluation.gate.slices names '지여'.*Did you mean '지역'\? It has: id, 지역, city, left\.$",
        ),
        (
            {"evaluation.gate.slices": {"지역": "all"}, "data.features": ["city"]},
            "slices names '지역', which data.features leaves out. Add it to data.features",
        ),
        (
            {"data.checks.columns": {"city": {}}, "data.columns": {"city": "drop"}},
            "data.checks.columns names 'city', which data.columns drops",
        ),
        (
            {"data.checks.columns": {"지역": {"values": ["서울"]}, "city": {}}, "data.features": ["city"]},
            "^data.checks.columns names '지역', which data.features leaves out.[^\n]*$",
        ),
        (
            {"data.checks.unique": ["id", "City"]},
            "data.checks.unique names 'City', which is no column of the prepared data. Did you mean 'city'",
        ),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_reason(configured, given, words):
    """In the first step: no rows are counted, since the rows are not to blame."""
    settings = configured(given)
    with pytest.raises(DataError, match=words):
        prepared(settings)
    assert not (loaders.prepared_folder(settings) / "train.parquet").exists()


def test_functions_of_a_row_are_looked_for_too(configured):
    """Columns, keys and labels pass; a function that is not there does not."""
    prepared(configured({"evaluation.gate.slices": {"city": "all", "id": ["1"], "left": "all"}}))
    with pytest.raises(PluginError, match="has no 'nothing'"):
        prepared(configured({"evaluation.gate.slices": {f"{__name__}:nothing": "all"}}))


def test_a_slice_that_was_added_after_the_first_step_is_found_before_the_training(configured):
    """The step cache skips the first step then, since its rows do not depend on the gate."""
    settings = configured({"model.wrapper": "sklearn"})
    prepared(settings)
    changed = configured({"model.wrapper": "sklearn", "evaluation.gate.slices": {"sity": "all"}})
    with pytest.raises(DataError, match="Did you mean 'city'"):
        wrappers.from_settings(changed).train(loaders.prepared(changed), changed)
