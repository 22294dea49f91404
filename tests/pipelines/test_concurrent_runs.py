"""`mlops run` beside another one of the same project, and after an edit of the library: real processes."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from mlops_lib import tracking
from mlops_lib.registry import Registry
from mlops_lib.steps.table import STEPS
from tests import toy_notebooks
from tests.conftest import ROOT
from tests.support import forks, warm
from tests.support.waiting import LIMIT_S

pytestmark = pytest.mark.slow

#: Logs a model of two numbers, as a real notebook does.
TRAIN = """
import mlflow
from mlops_lib import config, notebooks, tracking
settings = config.load()
class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return [seed] * len(model_input)
with tracking.child_run(settings, "train-model", parent_run_id, {}) as run:
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.pyfunc.log_model(name="model", python_model=Constant(), pip_requirements=[])
notebooks.glue(run_id=run.info.run_id, model_uri=f"runs:/{run.info.run_id}/model")
"""
PASS = """
from mlops_lib import config, notebooks, registry, tracking
client = tracking.connect(config.load())
client.set_tag(run_id, registry.GATE_TAG, "passed")
client.set_tag(run_id, registry.CHAMPION_TAG, registry.champion_tag(0, ""))
notebooks.glue(score=0.9, threshold=0.5, passed=True)
"""
REGISTER = """
from mlops_lib import config, notebooks, registry
settings = config.load()
store = registry.Registry(settings)
version = store.promote(settings.model.name, store.register(settings.model.name, run_id, {}).version, "Staging")
notebooks.glue(model_name=version.name, version=version.version, stage=version.stage)
"""


@pytest.fixture
def quick(toy):
    """A project whose four notebooks do their part in a second."""
    for step, cell in zip(STEPS, (toy_notebooks.DATA, TRAIN, PASS, REGISTER), strict=True):
        toy_notebooks.replace(toy.root, step.notebook, cell)
    return toy


@pytest.fixture
def library(tmp_path):
    """A copy of the code, which a run may use and the test may edit."""
    for package in ("mlops_lib", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "mlops_lib"


def start_warm(project, seed, file):
    """Start `mlops run` as a fork that prints into a file."""
    variables = {**os.environ, "COLUMNS": "200", **forks.environment()}
    with file.open("w") as out:
        return warm.start(
            ["mlops", "run", "--seed", seed], project.root, variables, out.fileno(), out.fileno()
        )


def start(project, seed, environment):
    """Start `mlops run` with these variables."""
    command = [sys.executable, "-c", "from mlops_lib.cli.app import main; main()", "run", "--seed", seed]
    return subprocess.Popen(
        command, cwd=project.root, env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process):
    said = process.communicate(timeout=3600)[0]
    assert process.returncode == 0, said
    return said


def test_two_runs_at_the_same_time_and_an_edited_library(quick, library, tmp_path):
    """Both finish, each with a version of its own run; both are cached; an edit of the library misses all steps."""
    printed = [tmp_path / seed for seed in "12"]
    for process, file in [(start_warm(quick, file.name, file), file) for file in printed]:
        assert process.wait(LIMIT_S) == 0, file.read_text()
    client = tracking.connect(quick.settings())
    experiment = client.get_experiment_by_name(quick.settings().mlflow.experiment).experiment_id
    runs = client.search_runs([experiment])
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    parents = {run.info.run_id: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    nested = [run for run in runs if run.info.run_id not in parents]
    children = {run.info.run_id: run.data.tags["mlflow.parentRunId"] for run in nested}
    versions = Registry(quick.settings()).versions("repurchase")
    assert sorted(version.version for version in versions) == [1, 2]
    assert {version.run_id for version in versions} == set(children)
    assert set(children.values()) == set(parents)
    for version in versions:
        recorded = parents[children[version.run_id]].data
        assert recorded.metrics["04_register.version"] == version.version
        assert recorded.tags["02_train.run_id"] == version.run_id

    [last] = [version for version in versions if version.stage == "Staging"]
    seed = "1" if '"seed": 1' in parents[children[last.run_id]].data.tags[tracking.ARGUMENTS_TAG] else "2"
    copied = {"PYTHONPATH": str(library.parent)}
    said = finish(start(quick, seed, copied))
    assert said.count("hit: nothing changed since run") == 4, f"{last.version} was moved last\n{said}"
    with (library / "loaders/local.py").open("a") as file:
        file.write("# one more line\n")
    missed = re.findall(r"miss: because (.* )?the library changed", finish(start(quick, seed, copied)))
    assert len(missed) == 4  # the later ones because of the new model too
