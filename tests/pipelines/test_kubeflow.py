"""Runs on a cluster: the real client of Kubeflow Pipelines against a local server with its v2 API."""

import shutil

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from mlops_lib.errors import MlopsError
from mlops_lib.step_cache.mode import StepCacheMode
from pipelines import kubeflow
from tests.support.kfp_server import TASKS, KfpServer

CLUSTER = {
    "cpu": 1.5,
    "memory": "3Gi",
    "gpus": 1,
    "retries": 3,
    "retry_wait_s": 20,
    "secret": "llm-keys",
    "volume_claim": "mlops",
    "node_selector": {"pool": "ml"},
    "pipeline_root": "s3://mlops/kfp",
}


@pytest.fixture
def settings(project):
    """A project that uses every option of the `cluster` section."""
    project.configure(cluster=CLUSTER, mlflow={"tracking_uri": "http://mlflow:5000"})
    return project.settings()


@pytest.fixture(scope="module")
def compiled_file(make_project, tmp_path_factory):
    """The file of the pipeline of such a project, which takes a second and more to compile."""
    folder = tmp_path_factory.mktemp("compiled")
    project = make_project(folder / "project", cluster=CLUSTER, mlflow={"tracking_uri": "http://mlflow:5000"})
    kubeflow.compile_pipeline(project.settings(), folder / "pipeline.yaml")
    return folder / "pipeline.yaml"


@pytest.fixture
def compiled(compiled_file):
    """The two documents of the compiled pipeline: pipeline spec and platform spec."""
    return list(yaml.safe_load_all(compiled_file.read_text()))


@pytest.fixture
def compiled_before(compiled_file, monkeypatch):
    """`run_on_cluster` uploads the compiled file: for tests of the time after the upload."""
    monkeypatch.setattr(
        kubeflow, "compile_pipeline", lambda _, output, *__: shutil.copy(compiled_file, output)
    )


def executors(compiled):
    return compiled[0]["deploymentSpec"]["executors"]


@pytest.mark.slow
def test_a_run_is_uploaded_started_and_waited_for(settings):
    """The upload is a valid pipeline spec, the arguments arrive, and each task is reported once."""
    told = []
    with KfpServer() as server:
        for _ in range(2):
            server.looks = 0
            run = kubeflow.run_on_cluster(
                settings, {"limit": 5}, server.url, poll_s=0.01, on_change=lambda *change: told.append(change)
            )
    assert run.state == "SUCCEEDED" and run.url == f"{server.url}/#/runs/details/run-1"
    assert told == [(task, "SUCCEEDED") for task in TASKS] * 2
    assert server.runs[0]["runtime_config"]["parameters"] == {"limit": 5}
    assert server.runs[0]["experiment_id"] == "experiment-1"
    # The second run made a new version of the same pipeline.
    assert len(server.pipelines) == 1 and len(server.versions) == 2
    assert server.runs[1]["pipeline_version_reference"]["pipeline_version_id"] == "version-2"
    spec = next(yaml.safe_load_all(server.versions[0]))
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_before")
def test_a_failed_run_is_an_error_that_names_the_task(settings):
    """The error names the failed task and the address of the run."""
    with KfpServer(fails="train-model") as server, pytest.raises(MlopsError) as error:
        kubeflow.run_on_cluster(settings, {}, server.url, poll_s=0.01)
    assert "FAILED" in str(error.value) and "Failed: train-model" in str(error.value)
    assert f"{server.url}/#/runs/details/run-1" in str(error.value)


@pytest.mark.slow
def test_a_recurring_run_has_the_cron_expression(settings):
    """--cron creates a schedule and starts no run now."""
    with KfpServer() as server:
        made = kubeflow.run_on_cluster(settings, {"limit": 5}, server.url, cron="0 0 3 * * *")
    assert made.id == "recurring-1" and server.runs == []
    assert server.recurring[0]["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"


@pytest.mark.slow
def test_the_command_passes_its_options_on(project):
    """Namespace and experiment reach the server; with --cron there is a schedule and no run."""
    with KfpServer() as server:
        command = (
            "run",
            "--runner",
            "kfp",
            "--host",
            server.url,
            "--namespace",
            "team",
            "--experiment",
            "nightly",
        )
        ran = project.mlops(*command, "--limit", "5", "--cron", "0 0 3 * * *")
    assert ran.returncode == 0 and "ENABLED" in ran.stdout, ran.stderr
    assert server.namespaces == {"team"} and list(server.experiments) == ["nightly"] and server.runs == []
    (made,) = server.recurring
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 3 * * *"
    assert made["runtime_config"]["parameters"]["limit"] == 5
    assert b"nightly" in server.versions[0]


@pytest.mark.parametrize("cron", ["0 3 * * *", "nightly"])
def test_a_schedule_without_six_fields_is_refused(settings, cron):
    """The five fields of Unix' cron are an error, not a schedule at other times."""
    with KfpServer() as server, pytest.raises(MlopsError, match="wants six, seconds first"):
        kubeflow.run_on_cluster(settings, {}, server.url, cron=cron)
    assert server.recurring == [] and server.versions == []


@pytest.mark.usefixtures("compiled_before")
def test_each_task_of_the_same_name_is_reported_once(settings):
    """The trials of a search share a name; the end of each is reported once."""
    told = []
    with KfpServer(tasks=("trial", "trial", "finish")) as server:
        kubeflow.run_on_cluster(
            settings, {}, server.url, poll_s=0.01, on_change=lambda *change: told.append(change)
        )
    assert told == [("trial", "SUCCEEDED"), ("trial", "SUCCEEDED"), ("finish", "SUCCEEDED")]


@pytest.mark.usefixtures("compiled_before")
def test_a_server_that_is_away_for_a_while_does_not_end_the_wait(settings, monkeypatch):
    """A few failed polls are tried again; too many are an error with the address of the run."""
    with KfpServer(misses=3) as server:
        assert kubeflow.run_on_cluster(settings, {}, server.url, poll_s=0.01).state == "SUCCEEDED"
    monkeypatch.setattr(kubeflow, "MAX_POLL_FAILURES", 2)
    with KfpServer(misses=3) as server, pytest.raises(MlopsError, match=r"HTTP 502.*runs/details/run-1"):
        kubeflow.run_on_cluster(settings, {}, server.url, poll_s=0.01)


@pytest.mark.usefixtures("compiled_before")
def test_the_token_is_sent_and_never_shown(settings):
    """The server gets the token; the error without it names the variable, and no error shows the token."""
    with KfpServer(token="t0p-secret") as server:
        run = kubeflow.run_on_cluster(settings, {}, server.url, token="t0p-secret", poll_s=0.01)
        assert run.state == "SUCCEEDED"
        with pytest.raises(MlopsError, match="KFP_TOKEN") as error:
            kubeflow.run_on_cluster(settings, {}, server.url, token="t0p-wrong")
    assert "t0p" not in str(error.value)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line(project):
    """The error names the server that did not answer, without a traceback."""
    result = project.mlops("run", "--runner", "kfp", "--host", "http://127.0.0.1:9")
    assert result.returncode == 1 and "http://127.0.0.1:9 failed" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_pipeline_is_valid_by_the_schema_of_kubeflow(compiled):
    """Both documents parse into the protocol buffers that a Kubeflow backend reads."""
    spec, platform = compiled
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert spec["defaultPipelineRoot"] == "s3://mlops/kfp"
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    configs = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    for config in configs:
        json_format.ParseDict(config, kubernetes_pb2.KubernetesExecutorConfig())
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({**spec, "componets": {}}, pipeline_spec_pb2.PipelineSpec())


def test_every_step_has_the_options_of_config_yaml(compiled):
    """Image, memory, cores, secret, volume and node labels on all four; the GPU on training alone."""
    found = executors(compiled)
    assert len(found) == 4
    for name, executor in found.items():
        container = executor["container"]
        limits = container["resources"]
        assert (limits["resourceCpuLimit"], limits["resourceMemoryLimit"]) == ("1.5", "3Gi")
        assert container["image"] == "mlops-notebook-python:latest"
        assert ("accelerator" in limits) == (name == "exec-train-model")
        environment = {entry["name"]: entry["value"] for entry in container["env"]}
        assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
        assert StepCacheMode.from_env(environment) == StepCacheMode(lookup=True)
    platform = compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(platform) == set(found)
    for config in platform.values():
        (secret,) = config["secretAsEnv"]
        assert secret["secretName"] == "llm-keys"
        assert {"secretKey": "OPENAI_API_KEY", "envVar": "OPENAI_API_KEY"} in secret["keyToEnv"]
        assert config["pvcMount"][0]["mountPath"] == "/mnt/mlops"
        assert config["nodeSelector"]["labels"] == {"pool": "ml"}


def test_a_failed_step_is_retried_with_backoff(compiled):
    """Every task of the pipeline has retries with backoff, also the one behind the gate."""
    tasks = dict(compiled[0]["root"]["dag"]["tasks"])
    for component in compiled[0]["components"].values():
        tasks |= component.get("dag", {}).get("tasks", {})
    policies = {name: task["retryPolicy"] for name, task in tasks.items() if "retryPolicy" in task}
    assert sorted(policies) == sorted(TASKS)
    expected = {
        "maxRetryCount": 3,
        "backoffDuration": "20s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "3600s",
    }
    assert all(policy == expected for policy in policies.values())


@pytest.mark.parametrize("memory", ["4G", "lots", "0Gi", ""])
def test_a_wrong_amount_of_memory_is_refused(project, memory):
    """A value that Kubernetes or Docker would refuse hours later is refused at once."""
    project.configure(cluster={"memory": memory})
    with pytest.raises(MlopsError, match="cluster.memory"):
        project.settings()
