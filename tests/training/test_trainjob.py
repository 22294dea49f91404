"""Training on several nodes: the real Kubernetes client against a local server that runs the jobs it gets."""

import signal
import threading
from contextlib import contextmanager

import mlflow
import pytest
from sklearn.metrics import roc_auc_score

from mlops_lib import tracking, wrappers
from mlops_lib.errors import TrainingError
from mlops_lib.training import trainjob
from mlops_lib.training.trainjob import job
from tests.support.kubernetes_server import KubernetesServer
from tests.support.projects import written
from tests.support.waiting import LIMIT_S

CLUSTER = {
    "cpu": 1.5,
    "memory": "3Gi",
    "gpus": 2,
    "secret": "keys",
    "secret_keys": ["AWS_SECRET_ACCESS_KEY"],
    "volume_claim": "mlops",
    "node_selector": {"pool": "gpu"},
    "service_account": "trainer",
}


@pytest.fixture
def on_nodes(stored, tracking_server, monkeypatch):
    """A project that trains on two nodes and whose MLflow is a server."""
    monkeypatch.setattr(job, "POLL_S", 0.1)
    return stored.configure(train={"nodes": 2}, mlflow={"tracking_uri": tracking_server})


@contextmanager
def cluster(tmp_path, monkeypatch, **behaviour):
    folder = tmp_path / "cluster"
    folder.mkdir()
    with KubernetesServer(folder, **behaviour) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        yield server


@pytest.mark.slow
def test_the_job_is_valid_by_the_models_of_kubeflow_trainer(project):
    """Kubeflow Trainer's own models know every field, and secrets are references."""
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob  # a second, which the other tests save

    settings = project.configure(
        cluster=CLUSTER, train={"nodes": 3, "processes": 2}, mlflow={"tracking_uri": "http://mlflow:5000"}
    ).settings()
    made = trainjob.manifest(settings, "run-1", "train-run-1")
    parsed = TrainerV1alpha1TrainJob.from_dict(made)
    assert TrainerV1alpha1TrainJob.from_dict(parsed.to_dict()).to_dict() == made
    trainer = made["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 2)
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "1.5", "memory": "3Gi", "nvidia.com/gpu": "2"}
    environment = {entry["name"]: entry for entry in trainer["env"]}
    assert environment["MLFLOW_TRACKING_URI"]["value"] == "http://mlflow:5000"
    assert environment["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "keys"
    patch = made["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    pod = patch["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"} and pod["serviceAccountName"] == "trainer"
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/mnt/mlops"


def test_a_variable_comes_once_and_from_the_secret(project):
    """Kubernetes refuses a name that comes twice. A variable of cluster.secret_keys has no value in clear."""
    project.configure(
        mlflow={"tracking_uri": "http://mlflow:5000"},
        cluster={"secret": "keys", "secret_keys": ["MLFLOW_TRACKING_URI"]},
    )
    spec = trainjob.manifest(project.settings(), "run-1", "train-run-1")["spec"]
    (found,) = [v for v in spec["trainer"]["env"] if v["name"] == "MLFLOW_TRACKING_URI"]
    assert "value" not in found and found["valueFrom"]["secretKeyRef"]["name"] == "keys"


def test_a_password_in_the_address_of_mlflow_is_in_no_manifest(project):
    """An address with a password comes from the Secret, as in the other steps."""
    settings = project.settings(mlflow__tracking_uri="http://me:t0p@mlflow:5000", train__nodes=2)
    assert "t0p" not in str(trainjob.manifest(settings, "run-1", "train-run-1"))


@pytest.mark.slow
def test_two_nodes_train_the_model_of_one_process(on_nodes, trained_once, tmp_path, monkeypatch, capfd):
    """The job's own command, under torchrun as Trainer starts it: same losses, the model logged, the job gone."""
    settings, dataset = written(on_nodes)
    with cluster(tmp_path, monkeypatch) as server:
        result = wrappers.from_settings(settings).train(dataset, settings)
    assert server.deleted == [server.jobs[0]["metadata"]["name"]]
    assert capfd.readouterr().out.count("val_loss") == 3
    losses = [value for _, value in tracking.history(result.run_id, ["val_loss"])["val_loss"]]
    rows = dataset.load("test")
    score = roc_auc_score(rows["repurchased"], wrappers.load(result.model_uri).predict(rows))
    assert mlflow.MlflowClient().get_run(result.run_id).info.status == "FINISHED"

    alone = trained_once.project.settings()
    tracking.use_store(alone)
    expected = [value for _, value in tracking.history(trained_once.run_id, ["val_loss"])["val_loss"]]
    assert losses == pytest.approx(expected, abs=0.01)
    model = wrappers.load(wrappers.uri_of_run(trained_once.run_id))
    assert score == pytest.approx(roc_auc_score(rows["repurchased"], model.predict(rows)), abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ValueError: no more", "node-0-1: ValueError: no more"),
        (" ", "node-0-0 ended with exit code 1, without output"),
    ],
)
def test_the_error_of_a_node_is_the_error_of_the_step(on_nodes, tmp_path, monkeypatch, words, said):
    """The step reports the node's error, not only "the job failed"; the run is FAILED, the job is kept."""
    settings, dataset = written(on_nodes)
    with (
        cluster(tmp_path, monkeypatch, fails=words) as server,
        pytest.raises(TrainingError, match=said) as error,
    ):
        wrappers.from_settings(settings).train(dataset, settings)
    assert "kubectl -n ml describe trainjob train-" in str(error.value) and server.deleted == []
    client = tracking.connect(settings)
    found = client.search_runs([client.get_experiment_by_name(settings.mlflow.experiment).experiment_id])
    assert found[0].info.status == "FAILED"


@pytest.mark.slow
def test_a_node_that_cannot_start_is_reported_and_an_interrupted_job_is_deleted(
    on_nodes, tmp_path, monkeypatch, capfd
):
    """An image that cannot be pulled is reported in the notebook, and Ctrl-C deletes the job."""
    settings, dataset = written(on_nodes)
    with cluster(tmp_path, monkeypatch, waits="no such image") as server:

        def interrupt():
            for _ in range(2):  # at the second poll, the first has been answered in full
                assert server.looked.wait(LIMIT_S)
                server.looked.clear()
            signal.raise_signal(signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            wrappers.from_settings(settings).train(dataset, settings)
        assert server.deleted == [server.jobs[0]["metadata"]["name"]]
    assert "node-0-0 waits: ImagePullBackOff no such image" in capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "hint"), [(403, "needs the Role of docs"), (404, "Is Kubeflow Trainer v2 installed")]
)
def test_a_refusal_of_the_cluster_names_the_remedy(on_nodes, tmp_path, monkeypatch, status, hint):
    """No permission, or no Trainer: one line with the server's reason and the remedy, and no token in it."""
    settings, dataset = written(on_nodes)
    with cluster(tmp_path, monkeypatch, refuses=status), pytest.raises(TrainingError, match=hint) as error:
        wrappers.from_settings(settings).train(dataset, settings)
    assert "not for you" in str(error.value) and "t0p" not in str(error.value)


@pytest.mark.slow
def test_nodes_without_a_server_or_a_cluster_are_refused(stored, tmp_path, monkeypatch):
    """A SQLite store that no node can open, and a missing kubeconfig, are errors before training."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    settings, dataset = written(stored, train__nodes=2)
    with pytest.raises(
        TrainingError, match="nodes cannot reach MLflow at sqlite:///.*Set mlflow.tracking_uri"
    ):
        wrappers.from_settings(settings).train(dataset, settings)
    with pytest.raises(TrainingError, match="no Kubernetes cluster to train on"):
        job.Job(settings, "train-1")
