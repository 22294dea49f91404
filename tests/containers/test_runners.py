"""The Docker runner makes what the subprocess runner makes, and its failures are on record."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from mlops_lib import tracking
from mlops_lib.registry import Registry
from tests import toy_notebooks
from tests.conftest import BIN, PipelineRun
from tests.support.waiting import LIMIT_S, until

#: What may differ: names and numbers of the run itself, digests of files that name them, and the image that only one has.
OWN = (
    "config_digest",
    "evidence",
    "evidence_sha256",
    "image_digest",
    "lineage_sha256",
    "model_digest",
    "run_id",
    "parent_run_id",
    "model_uri",
    "mlops.arguments",
    "mlops.image",
    "parentRunId",
    "runName",
    "source",
    "user",
)
#: Tags about executed notebooks, and MLflow's own history of models.
OF_FILES = re.compile("history|record_sha256")


def result_of(project):
    """A project's only pipeline run as MLflow has it, without ids, names and times."""
    client = tracking.connect(project.settings())
    experiment = client.get_experiment_by_name(project.settings().mlflow.experiment)
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    (child,) = (run for run in runs if "mlflow.parentRunId" in run.data.tags)
    (version,) = Registry(project.settings()).versions("repurchase")
    return {
        "status": (parent.info.status, child.info.status),
        "kept": sorted(file.path for file in client.list_artifacts(parent.info.run_id, "notebooks")),
        "tags": [own_taken_out(run.data.tags) for run in (parent, child)],
        "params": child.data.params,
        "version": (version.version, version.stage, version.aliases, own_taken_out(version.tags)),
        "metrics": [run.data.metrics for run in (parent, child)],
    }


def own_taken_out(tags):
    return {
        name: value for name, value in tags.items() if not name.endswith(OWN) and not OF_FILES.search(name)
    }


@pytest.fixture(scope="session")
def docker_run(make_project, notebook_image, tmp_path_factory):
    """`mlops run --runner docker` on a project that has never run."""
    project = make_project(tmp_path_factory.mktemp("docker") / "project", pipeline={"image": notebook_image})
    ran = project.mlops("run", "--runner", "docker")
    assert ran.returncode == 0, ran.stderr
    return PipelineRun(project, ran)


def test_containers_and_processes_make_the_same(docker_run, pipeline_run):
    """Same plan, same tags, same parameters, same version and verdict, and the same scores."""
    inside, outside = result_of(docker_run.project), result_of(pipeline_run.project)
    for what in ("status", "kept", "params", "tags", "version"):
        assert inside[what] == outside[what], what
    for one, other in zip(inside["metrics"], outside["metrics"], strict=True):
        compared = {name: n for name, n in other.items() if not name.endswith(("_s", "_seconds", "_mb"))}
        assert {name: one[name] for name in compared} == pytest.approx(compared, rel=1e-3, abs=1e-4)
    plans = [re.findall(r"(\S+) done, ", ran.result.stderr) for ran in (docker_run, pipeline_run)]
    assert plans[0] == plans[1] == ["get-data", "train-model", "evaluate-model", "register-model"]


def test_the_steps_ran_in_the_image(docker_run, notebook_image):
    """The runs are tagged with the image; a kfp.local that only claims success would leave no tag."""
    project = docker_run.project
    client = tracking.connect(project.settings())
    experiment = client.get_experiment_by_name(project.settings().mlflow.experiment)
    images = {run.data.tags.get("mlops.image") for run in client.search_runs([experiment.experiment_id])}
    assert images == {notebook_image}


def test_out_of_memory_in_a_container_is_on_record(docker, stored, notebook_image):
    """A cell takes more memory than the container has: the cells before it are kept, the run FAILED, no container stays."""
    stored.configure(pipeline={"image": notebook_image}, cluster={"memory": "1Gi"})
    toy_notebooks.replace(
        stored.root, "01_get_data", "print('this was done' + ' before')", "hoard = bytearray(2**31)"
    )
    ran = stored.mlops("run", "--runner", "docker")
    assert ran.returncode == 1 and "out of memory" in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
    settings = stored.settings()
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    (failed,) = client.search_runs([experiment.experiment_id])
    assert failed.info.status == "FAILED"
    page = client.download_artifacts(failed.info.run_id, "notebooks/01_get_data.html")
    assert "this was done before" in Path(page).read_text()
    assert "Its record: " in ran.stderr and failed.info.run_id in ran.stderr
    assert Registry(settings).names() == []
    assert not docker("ps", "--quiet", "--all", "--filter", "label=mlops.run")


def test_ctrl_c_ends_a_step_in_its_container_on_record(docker, stored, notebook_image):
    """The executed cells are kept, the run is KILLED, and no container goes on."""
    stored.configure(pipeline={"image": notebook_image})
    reached = stored.root / ".mlops" / "reached"
    wait = f"import pathlib, time; pathlib.Path({str(reached)!r}).touch(); time.sleep(300)"
    toy_notebooks.replace(stored.root, "01_get_data", "print('this was done' + ' before')", wait)
    process = subprocess.Popen(
        [str(BIN / "mlops"), "run", "--runner", "docker"],
        cwd=stored.root, env={**os.environ, "COLUMNS": "200"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(reached.exists, "the second cell")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130 and "mlops run --runner docker --resume" in said, said
    client = tracking.connect(stored.settings())
    experiment = client.get_experiment_by_name(stored.settings().mlflow.experiment)
    (run,) = client.search_runs([experiment.experiment_id])
    page = client.download_artifacts(run.info.run_id, "notebooks/01_get_data.html")
    assert run.info.status == "KILLED" and "this was done before" in Path(page).read_text()
    assert not docker("ps", "--quiet", "--filter", "label=mlops.run")
