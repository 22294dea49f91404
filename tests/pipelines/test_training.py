"""The pipeline as Kubeflow sees it: wiring, condition, and what each step passes on."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mlops_lib.steps.table import STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What `mlops compile` writes."""
    path = tmp_path_factory.mktemp("compiled") / "training.yaml"
    command = [str(Path(sys.executable).parent / "mlops"), "compile", str(path)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "training.yaml" in said and "kfp pipeline create" in said.replace("\n", " ")
    return yaml.safe_load(path.read_text())


def test_the_steps_follow_each_other(compiled):
    """get-data -> train-model -> evaluate-model -> gate."""
    tasks = compiled["root"]["dag"]["tasks"]
    assert {name: task.get("dependentTasks", []) for name, task in tasks.items()} == {
        "get-data": [],
        "train-model": ["get-data"],
        "evaluate-model": ["get-data", "train-model"],
        "gate": ["evaluate-model", "get-data", "train-model"],
    }


def test_registration_hangs_on_the_verdict_alone(compiled):
    """The condition reads `passed`, which evaluation decided once, and nothing else."""
    gate = compiled["components"]["comp-gate"]["dag"]["tasks"]
    (condition,) = [task for task in gate.values() if "triggerPolicy" in task]
    assert "passed" in condition["triggerPolicy"]["condition"]
    inner = compiled["components"][condition["componentRef"]["name"]]["dag"]["tasks"]
    assert list(inner) == ["register-model"]
    passed = compiled["root"]["dag"]["tasks"]["gate"]["inputs"]["parameters"]["passed"]["taskOutputParameter"]
    assert passed == {"outputParameterKey": "passed", "producerTask": "evaluate-model"}


def test_evaluation_and_registration_get_the_run_that_training_made(compiled):
    """`run_id` goes from train-model to the steps after it; nobody takes the latest run by chance."""
    for task in ("evaluate-model", "gate"):
        given = compiled["root"]["dag"]["tasks"][task]["inputs"]["parameters"]["run_id"]
        assert given["taskOutputParameter"] == {"outputParameterKey": "run_id", "producerTask": "train-model"}


def test_every_step_runs_in_the_notebook_image_and_installs_nothing(compiled):
    """One image, nothing fetched when a step starts."""
    executors = compiled["deploymentSpec"]["executors"].values()
    assert len(executors) == len(STEPS)
    for executor in executors:
        container = executor["container"]
        assert container["image"] == "mlops-notebook-python:latest"
        assert "pip install" not in " ".join(container["command"])


def test_a_component_is_plain_python_that_runs_its_notebook(monkeypatch):
    """Through `.python_func`: the notebook's name and the parameters, and the outputs as a tuple."""
    from mlops_lib import notebooks
    from mlops_lib.steps.contracts import RegisterOutputs
    from pipelines import components

    seen = {}

    def run(notebook, **parameters):
        seen[notebook] = parameters
        return RegisterOutputs(model_name="m", version=3, stage="Staging")

    monkeypatch.setattr(notebooks, "run", run)
    assert components.register_model.python_func("p", "r", "m") == ("m", 3, "Staging")
    assert seen == {"04_register": {"parent_run_id": "p", "run_id": "r", "model_name": "m"}}
