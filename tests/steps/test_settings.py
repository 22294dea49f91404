"""The settings of a step: one function for runner, step cache and notebook."""

import pytest

from mlops_lib import config
from mlops_lib.errors import ConfigError, ContractError
from mlops_lib.settings import Settings
from mlops_lib.settings.readers import markers
from mlops_lib.steps.settings import resolve
from mlops_lib.steps.table import STEPS, step_of


@pytest.fixture
def settings(project, monkeypatch):
    """The settings of a project, which `resolve` also finds."""
    monkeypatch.setenv(config.CONFIG_ENV, str(project.config_file))
    return project.settings()


def test_parameters_replace_the_settings_that_they_stand_for(settings):
    """A value replaces its setting; a default leaves it alone; a parameter without a setting changes none."""
    resolved = resolve("02_train", max_epochs=7, seed=-1)
    assert (resolved.train.max_epochs, resolved.train.seed) == (7, settings.train.seed)
    assert resolve("02_train", settings, max_epochs=7) == resolved
    assert resolve("03_evaluate", threshold=0.7).evaluation.threshold == 0.7
    assert resolve("01_get_data", source="rows.csv", limit=5).data.source == "rows.csv"
    assert resolve("04_register", model_name="other").model.name == settings.model.name


def test_old_notebooks_get_the_same_settings(settings):
    """Projects have copies of the notebooks, which call `config.load` with overrides."""
    overrides = {"train.max_epochs": 7, "train.seed": None}
    assert config.load(overrides=overrides) == resolve("02_train", max_epochs=7, seed=-1)


def test_arguments_leave_the_configuration_digest_alone(settings):
    """So that all runs of one pipeline run have the same digest, although each step has other arguments."""
    assert resolve("02_train", max_epochs=7).digest() == settings.digest()
    assert resolve("03_evaluate", threshold=0.7).digest() == settings.digest()


def test_wrong_parameters_are_refused(settings):
    """An unknown name by the contract, a value that its setting does not allow by the settings."""
    with pytest.raises(ContractError, match="epochs.*It takes: parent_run_id, data, max_epochs, seed"):
        resolve("02_train", epochs=3)
    with pytest.raises(ConfigError, match="'evaluation.threshold' has value 2.0 in argument"):
        resolve("03_evaluate", threshold=2.0)


def test_a_setting_without_a_marker_is_read_by_every_step(settings):
    """A new setting is never overlooked; nor is any setting by a step that no marker names."""
    train, unknown = step_of("02_train"), STEPS[0].__class__("05_toy", "toy", *[STEPS[0].parameters] * 2)
    assert all(step.reads("mlflow.experiment") for step in STEPS)
    assert train.reads("train.seed") and not train.reads("serving.port")
    assert all(unknown.reads(setting) for setting in config.flat(settings))
    assert unknown.runs_code_of("data.prepare") and not unknown.runs_code_of("train.seed")


def test_every_marker_names_steps_of_the_table():
    """A misspelt step name would make a setting count for no step."""
    names = {step.name for step in STEPS}
    for marker in markers(Settings).values():
        assert {*(marker.steps or ()), *marker.code} <= names
        assert marker.steps is None or set(marker.code) <= set(marker.steps)
