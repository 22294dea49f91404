"""A fifth step is one row of the table, one contract and one component, put into the wiring of the pipeline."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml

from mlops_lib import tracking
from tests import toy_notebooks
from tests.conftest import ROOT

CONTRACT = '''

class ReportParameters(Parameters):
    """The toy step reads the run that was trained."""

    run_id: str = Field("", description="MLflow run of the model")
    title: str = Field("", description="title of the report")


class ReportOutputs(Outputs):
    """How long the report is."""

    words: Positive
'''
ROW = """
from mlops_lib.steps import contracts  # noqa: E402

STEPS += (Step("05_report", "write-report", contracts.ReportParameters, contracts.ReportOutputs),)
"""
COMPONENT = """

@dsl.component(base_image=IMAGE, install_kfp_package=False)
def write_report(parent_run_id: str = "", run_id: str = "", title: str = "") -> NamedTuple(
    "Outputs", [("words", int)]
):
    from mlops_lib.notebooks import run

    return run("05_report", parent_run_id=parent_run_id, run_id=run_id, title=title).astuple()
"""
#: The one line of the wiring, after evaluation.
WIRING = "        gate(passed="
WIRED = (
    "        from pipelines.components import write_report\n"
    "        step(write_report(parent_run_id=parent, run_id=run_id).after(evaluated))\n"
)
PARAMETERS = """
parent_run_id: str = ""  # MLflow run of the whole pipeline; empty: none
run_id: str = ""  # MLflow run of the model
title: str = ""  # title of the report
"""
GLUE = "from mlops_lib import notebooks\nnotebooks.glue(words=len(f'{title} of {run_id}'.split()))"


@pytest.fixture
def extended(toy, tmp_path):
    """A copy of the library with a fifth step, and a project whose notebooks are quick."""
    library = tmp_path / "library"
    for package in ("mlops_lib", "pipelines"):
        shutil.copytree(ROOT / package, library / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, text in (
        ("mlops_lib/steps/contracts.py", CONTRACT),
        ("mlops_lib/steps/table.py", ROW),
        ("pipelines/components.py", COMPONENT),
    ):
        with (library / file).open("a") as stream:
            stream.write(text)
    wiring = library / "pipelines/training.py"
    assert wiring.read_text().count(WIRING) == 1
    wiring.write_text(wiring.read_text().replace(WIRING, WIRED + WIRING))
    for name, cell in (
        ("01_get_data", toy_notebooks.DATA),
        ("02_train", toy_notebooks.TRAIN),
        ("03_evaluate", toy_notebooks.EVALUATE),
    ):
        toy_notebooks.replace(toy.root, name, cell)
    parameters = nbformat.v4.new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]})
    report = nbformat.read(toy.root / "notebooks" / "04_register.ipynb", as_version=4)
    report.cells = [parameters, nbformat.v4.new_code_cell(GLUE)]
    nbformat.write(report, toy.root / "notebooks" / "05_report.ipynb")
    return toy, library


def mlops(project, library, *arguments):
    """The command line of the copied library."""
    return subprocess.run(
        [sys.executable, "-c", "from mlops_lib.cli.app import main; main()", *arguments],
        cwd=project.root, env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(library)},
        capture_output=True, text=True, timeout=3600, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_fifth_step_runs_is_displayed_cached_and_compiled(extended):
    """Its outputs are on the run, its progress is shown, the second run is a hit, and the YAML has its task."""
    project, library = extended
    first = mlops(project, library, "run")
    assert first.returncode == 3, first.stderr  # the toy notebooks refuse the model
    assert "write-report    miss: because it has not run before" in first.stderr
    assert "write-report done, " in first.stderr
    client = tracking.connect(project.settings())
    experiment = client.get_experiment_by_name(project.settings().mlflow.experiment).experiment_id
    (parent,) = client.search_runs([experiment], "tags.`mlops.arguments` != ''")
    assert parent.data.metrics["05_report.words"] == 2
    assert "notebooks/05_report.html" in {
        file.path for file in client.list_artifacts(parent.info.run_id, "notebooks")
    }

    second = mlops(project, library, "run")
    assert second.returncode == 3 and second.stderr.count("hit: nothing changed since run") == 4
    assert "write-report    hit: nothing changed" in second.stderr

    compiled = mlops(project, library, "compile", "training.yaml")
    assert compiled.returncode == 0, compiled.stderr
    tasks = yaml.safe_load((project.root / "training.yaml").read_text())["root"]["dag"]["tasks"]
    assert "write-report" in tasks and "evaluate-model" in tasks["write-report"]["dependentTasks"]
