"""MLflow runs: opened, adopted, nested, ended with the right status."""

import os
import socket

import pytest

from mlops_lib import config, tracking
from mlops_lib.errors import MlopsError


def test_connecting_leaves_the_environment_alone(stored):
    """A process that has connected still reads an edited tracking URI: nothing was exported."""
    before = dict(os.environ)
    tracking.connect(stored.settings())
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert config.load_with_origins(stored.config_file).origins["mlflow.tracking_uri"] == str(
        stored.config_file
    )
    assert os.environ.get("MLFLOW_TRACKING_URI") == before.get("MLFLOW_TRACKING_URI")


def test_an_embedded_store_lies_in_the_projects_folder(stored, monkeypatch):
    """Runs and artifacts are stored beside config.yaml, in whatever folder the process was started."""
    monkeypatch.chdir("/")
    settings = stored.settings()
    client = tracking.connect(settings)
    run_id = tracking.open_parent(settings)
    client.log_text(run_id, "hello", "note.txt")
    uri = client.get_run(run_id).info.artifact_uri
    assert uri.startswith((stored.root / ".mlops" / "artifacts").as_uri())
    assert (stored.root / ".mlops/artifacts" / run_id / "artifacts/note.txt").read_text() == "hello"


def test_a_run_that_kubeflow_injects_is_adopted(stored, monkeypatch):
    """With MLFLOW_RUN_ID in the environment no second parent is made."""
    settings = stored.settings()
    client = tracking.connect(settings)
    given = client.create_run(client.get_experiment_by_name("repurchase").experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert tracking.open_parent(settings) == given
    assert len(client.search_runs([client.get_run(given).info.experiment_id])) == 1


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_child_run_has_the_status_of_its_block(stored, error, status):
    """FINISHED, FAILED or KILLED, below its parent, and the error is raised again."""
    settings = stored.settings()
    parent = tracking.open_parent(settings)
    seen = []
    try:
        with tracking.child_run(settings, "train-model", parent, {"mlops.extra": "1"}) as run:
            seen.append(run.info.run_id)
            if error:
                raise error
    except (ValueError, KeyboardInterrupt) as raised:
        assert raised is error
    child = tracking.connect(settings).get_run(seen[0])
    assert child.info.status == status
    assert child.data.tags["mlflow.parentRunId"] == parent
    assert child.data.tags["mlops.step"] == "train-model" and child.data.tags["mlops.extra"] == "1"
    assert child.data.tags["mlops.config_digest"] == settings.digest()


def test_the_latest_run_is_the_newest_finished_one_with_the_tags(stored):
    """An unfinished or failed run is never taken for a trained model; none at all says what to run."""
    settings = stored.settings()
    with pytest.raises(MlopsError, match="no finished run .*Run the notebook before this one"):
        tracking.latest_run(settings, "train-model")
    made = []
    for tags in ({}, {"mlops.gate": "passed"}, {}):
        with tracking.child_run(settings, "train-model", "", tags) as run:
            made.append(run.info.run_id)
    with pytest.raises(ValueError), tracking.child_run(settings, "train-model", "", {}):
        raise ValueError("training broke")
    assert tracking.latest_run(settings, "train-model") == made[2]
    assert tracking.latest_run(settings, "train-model", {"mlops.gate": "passed"}) == made[1]


def test_the_latest_run_is_one_of_the_same_model(stored):
    """Two models share an experiment: a newer run of the other model is not taken."""
    mine, other = stored.settings(), stored.settings(model__name="other")
    with tracking.child_run(mine, "train-model", "", {}) as run:
        wanted = run.info.run_id
    with tracking.child_run(other, "train-model", "", {}):
        pass
    assert tracking.latest_run(mine, "train-model") == wanted
    with pytest.raises(MlopsError, match="'mlops.model': 'third'"):
        tracking.latest_run(stored.settings(model__name="third"), "train-model")


def test_outputs_become_metrics_and_tags(stored):
    """Numbers are metrics, texts and booleans are tags."""
    settings = stored.settings()
    client, run_id = tracking.connect(settings), tracking.open_parent(settings)
    tracking.log_outputs(run_id, "03_evaluate", {"score": 0.75, "passed": True, "note": "fine", "rows": 3})
    data = client.get_run(run_id).data
    assert data.metrics == {"03_evaluate.score": 0.75, "03_evaluate.rows": 3}
    assert data.tags["03_evaluate.passed"] == "True" and data.tags["03_evaluate.note"] == "fine"


def test_more_values_than_one_transaction_takes_are_all_logged(stored):
    """MLflow takes 1,000 metrics and 100 tags at a time."""
    settings = stored.settings()
    client, run_id = tracking.connect(settings), tracking.open_parent(settings)
    numbers, texts = {f"m{i}": float(i) for i in range(1_200)}, {f"t{i}": str(i) for i in range(150)}
    tracking.log_values(run_id, numbers, texts, "step.")
    data = client.get_run(run_id).data
    assert {name: data.metrics.get(f"step.{name}") for name in numbers} == numbers
    assert {name: data.tags.get(f"step.{name}") for name in texts} == texts


def test_a_server_that_does_not_answer_is_named(project, monkeypatch):
    """The message has the address, and the variable that sets it."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(MlopsError, match=f"MLflow at {uri} .*MLFLOW_TRACKING_URI"):
            tracking.connect(project.settings())
