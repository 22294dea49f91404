"""The step table is the only place that knows the notebooks."""

import ast

import pytest

from mlops_lib.steps.table import STEPS
from tests.conftest import ROOT

#: The table itself, and the components, each of which runs its notebook.
ALLOWED = {"mlops_lib/steps/table.py", "pipelines/components.py"}


@pytest.mark.slow
def test_nothing_else_names_a_notebook():
    """No other module of the library, the pipelines or the service has a notebook's name as a value."""
    names = {step.notebook for step in STEPS}
    found = set()
    for package in ("mlops_lib", "pipelines", "serving"):
        for file in (ROOT / package).rglob("*.py"):
            constants = (
                node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)
            )
            if any(constant.value in names for constant in constants if isinstance(constant.value, str)):
                found.add(str(file.relative_to(ROOT)))
    assert found == ALLOWED


def test_names_are_unique():
    """A step is found by its notebook, and its events by its name."""
    assert len({step.name for step in STEPS}) == len({step.notebook for step in STEPS}) == len(STEPS)


def test_only_training_trains():
    """GPUs of `cluster.gpus` go to the steps that train."""
    assert [step.name for step in STEPS if step.trains] == ["train-model"]
