"""Contract = parameters cell = component signature, and contract outputs = component outputs = glue."""

import ast
import inspect
from pathlib import Path

import nbformat
import pytest
from pydantic import ValidationError

from mlops_lib.steps.contracts import EvaluateOutputs, EvaluateParameters, TrainParameters, may_be_none
from mlops_lib.steps.table import STEPS

ROOT = Path(__file__).parents[2]

every_step = pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)


def cell(notebook: str, tag: str) -> str:
    """Source of the one cell with a tag."""
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (found,) = [cell.source for cell in cells if tag in cell.metadata.get("tags", [])]
    return found


def component(step):
    """The Kubeflow component of a step."""
    from pipelines import components

    return getattr(components, step.name.replace("-", "_"))


@every_step
def test_the_parameters_cell_is_the_contract(step):
    """Names, types, defaults and comments of the cell are those of the contract's fields."""
    source = cell(step.notebook, "parameters")
    in_cell = {}
    for line, node in zip(source.splitlines(), ast.parse(source).body, strict=True):
        comment = line.partition("  # ")[2]
        in_cell[node.target.id] = (node.annotation.id, ast.literal_eval(node.value), comment)
    fields = step.parameters.model_fields
    assert in_cell == {
        name: (field.annotation.__name__, field.default, field.description) for name, field in fields.items()
    }


@every_step
def test_the_components_signature_is_the_contract(step):
    """A component takes the contract's parameters with their types and defaults; the dataset is an artifact."""
    signature = inspect.signature(component(step).python_func).parameters
    taken = {n: (p.annotation.__name__, p.default) for n, p in signature.items() if n != "data"}
    fields = step.parameters.model_fields
    assert taken == {n: (f.annotation.__name__, f.default) for n, f in fields.items() if n != "data"}
    assert ("data" in signature) == ("data" in fields)


@every_step
def test_the_components_outputs_are_the_contract(step):
    """A component returns the contract's outputs, in their order and with their types; text for what may be None."""
    returned = inspect.signature(component(step).python_func).return_annotation.__annotations__
    fields = step.outputs.model_fields
    kinds = {
        name: str if may_be_none(field.annotation) else field.annotation for name, field in fields.items()
    }
    assert list(returned.items()) == list(kinds.items())


@every_step
def test_the_glue_is_the_contract(step):
    """The last cell glues the contract's outputs and nothing else."""
    (call,) = [n for n in ast.walk(ast.parse(cell(step.notebook, "glue"))) if ast.unparse(n).startswith("notebooks.glue(")
               and isinstance(n, ast.Call)]  # fmt: skip
    assert [keyword.arg for keyword in call.keywords] == list(step.outputs.model_fields)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.8"])
def test_outputs_refuse_what_a_gate_cannot_compare(value):
    """A score that is not a finite number never leaves a notebook."""
    with pytest.raises(ValidationError):
        EvaluateOutputs(score=value, threshold=0.5, passed=True)


def test_a_score_without_a_value_is_an_output():
    """A metric may have no value; on Kubeflow, which has no null, the score is then an empty text."""
    outputs = EvaluateOutputs(score=None, threshold=0.5, passed=False, reason="r2 has no value: no variance.")
    assert outputs.astuple() == ("", 0.5, False, "r2 has no value: no variance.")
    with pytest.raises(ValidationError, match="score"):
        EvaluateOutputs(threshold=0.5, passed=False)


@pytest.mark.parametrize(
    ("contract", "parameters"),
    [
        (TrainParameters, {"max_epochs": "ten"}),
        (TrainParameters, {"max_epochs": -1}),
        (TrainParameters, {"seed": 1.5}),
        (TrainParameters, {"epochs": 3}),
        (EvaluateParameters, {"threshold": float("nan")}),
        (EvaluateParameters, {"threshold": "high"}),
    ],
)
def test_parameters_refuse_unknown_names_and_wrong_types(contract, parameters):
    """Papermill would pass all of these on."""
    with pytest.raises(ValidationError):
        contract(**parameters)
