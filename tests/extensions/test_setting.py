"""A new setting is one field."""

import pytest
from pydantic import Field

from mlops_lib import config
from mlops_lib.errors import ConfigError
from mlops_lib.settings import Settings, TrainSettings


class Train(TrainSettings):
    warmup_steps: int = Field(0, ge=0, description="steps of a slow start")


class WithWarmup(Settings):
    train: Train = Train()


def test_a_toy_setting_is_read_shown_and_checked(project, monkeypatch):
    """The file, the origin, the list of `mlops config`, the check and the error come from the field alone."""
    monkeypatch.setattr(config, "Settings", WithWarmup)
    project.configure(train={"warmup_steps": 3})
    loaded = config.load_with_origins(project.config_file)
    assert config.flat(loaded.settings)["train.warmup_steps"] == 3
    assert loaded.origins["train.warmup_steps"] == str(project.config_file)
    with pytest.raises(ConfigError, match=r"'train\.warmup_steps' has value -1"):
        project.settings(train__warmup_steps=-1)
