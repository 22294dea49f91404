"""The mode of the step cache travels through the environment."""

import pytest
from pydantic import ValidationError

from mlops_lib.step_cache.mode import VARIABLE, StepCacheMode


def test_a_mode_comes_back_from_the_environment():
    """What the runner chose is what the step gets."""
    mode = StepCacheMode(lookup=True, runner_logs=True, answered=("get-data", "train-model"))
    assert StepCacheMode.from_env(mode.to_env()) == mode


def test_without_a_runner_the_step_always_runs():
    """As for a notebook that a user starts by hand."""
    assert StepCacheMode.from_env({}) == StepCacheMode()
    assert not StepCacheMode().lookup and not StepCacheMode().resume


def test_an_unknown_word_is_refused():
    """A slip must not turn the cache off without a word."""
    with pytest.raises(ValidationError, match="lok_up"):
        StepCacheMode.from_env({VARIABLE: '{"lok_up": true}'})
