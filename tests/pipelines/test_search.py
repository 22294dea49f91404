"""A search as a pipeline: compiled for Kubeflow, sent to a server, and run once for real on this machine."""

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from mlops_lib import config, search, tracking
from pipelines import search as search_pipeline
from tests import toy_notebooks
from tests.support import forks
from tests.support.kfp_server import KfpServer

TREE = {
    "wrapper": "sklearn",
    "implementation": "sklearn.tree:DecisionTreeClassifier",
    "params": {"random_state": 0},
}
SPACE = {"model.params.max_depth": {"type": "int", "low": 1, "high": 30}}
DATA = """
from mlops_lib import config, loaders, notebooks
settings = config.load()
folder = loaders.prepared_folder(settings, data)
rows = loaders.from_settings(settings).write(folder)
notebooks.glue(**{f"{split}_rows": count for split, count in rows.items()}, parent_run_id=parent_run_id,
               fingerprint=loaders.prepared(settings, folder).fingerprint())
"""


@pytest.mark.slow
def test_the_search_is_valid_by_the_schema_of_kubeflow(project, tmp_path):
    """The rounds have the configured number of parallel trials, and a trial has the resources of training."""
    project.configure(search={"trials": 7, "parallel": 3, "space": SPACE}, cluster={"gpus": 1})
    search_pipeline.compile_search(project.settings(), tmp_path / "search.yaml")
    spec = next(yaml.safe_load_all((tmp_path / "search.yaml").read_text()))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    rounds = [task for name, task in spec["root"]["dag"]["tasks"].items() if name.startswith("round")]
    counts = [task["inputs"]["parameters"]["count"]["runtimeValue"]["constant"] for task in rounds]
    assert sorted(counts) == [1, 3, 3]
    loops = [
        task["iteratorPolicy"]["parallelismLimit"]
        for component in spec["components"].values()
        for task in component.get("dag", {}).get("tasks", {}).values()
        if "iteratorPolicy" in task
    ]
    assert loops and set(loops) == {3}
    executors = spec["deploymentSpec"]["executors"]
    with_gpu = {name for name, e in executors.items() if "accelerator" in e["container"]["resources"]}
    assert {name.removeprefix("exec-").rstrip("-0123456789") for name in with_gpu} == {"trial"}


@pytest.mark.slow
def test_the_search_is_uploaded_under_its_own_name_and_waited_for(project):
    """The real client and a local server: the pipeline is called search, and is not the training one."""
    settings = project.configure(search={"trials": 2, "space": SPACE}).settings()
    with KfpServer() as server:
        made = search_pipeline.search_on_cluster(
            settings, server.url, "", lambda task, state: None, poll_s=0.01
        )
    assert made.state == "SUCCEEDED" and list(server.pipelines) == ["search"]
    assert b"finish-search" in server.versions[0]


@pytest.mark.slow
def test_the_tasks_search_like_the_command(stored, monkeypatch, tmp_path):
    """Two rounds through kfp.local: the values of the second are proposed from the score of the first."""
    from kfp import local

    stored.configure(model=TREE, search={"trials": 2, "parallel": 1, "space": SPACE})
    toy_notebooks.replace(stored.root, "01_get_data", DATA)
    for name, value in {config.CONFIG_ENV: str(stored.config_file), **forks.environment()}.items():
        monkeypatch.setenv(name, value)
    settings = stored.settings()
    local.init(
        local.SubprocessRunner(use_venv=False), str(tmp_path), raise_on_error=True, enable_caching=False
    )
    best_run = search_pipeline.make(settings)().output
    client = tracking.connect(settings)
    parent = client.get_run(best_run).data.tags["mlflow.parentRunId"]
    done = search.trials(settings, parent)
    assert best_run == search.best(done).run_id and client.get_run(parent).info.status == "FINISHED"
    assert [trial.values for trial in done] == [
        search.suggest(settings, [], 1)[0],
        search.suggest(settings, done[:1], 1)[0],
    ]
