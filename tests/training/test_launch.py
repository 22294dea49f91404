"""Training in several processes: the same rows, the same model, and a clear end when a process fails."""

import contextlib
import os
import subprocess
import sys

import psutil
import pytest
import torch

from mlops_lib import config, loaders, notebooks, tracking, wrappers
from mlops_lib.errors import ConfigError, TrainingError
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.training import launch, worker
from tests.support.forked_workers import Forked, train
from tests.support.projects import written
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def fragile(project, way):
    """The project with a network whose worker 1 fails in the second epoch."""
    model = {"implementation": "toy_models:FragileNetwork", "params": {"way": way}}
    return project.configure(model=model, train={"processes": 2, "accelerator": "cpu"})


#: On the processes that a test starts: the workers of an interrupted run of the same test are not its own.
MARK = "MLOPS_TEST_OF"


@pytest.fixture(autouse=True)
def mark(monkeypatch, tmp_path):
    monkeypatch.setenv(MARK, str(tmp_path))


def workers_running():
    """Process ids of the running workers of this test."""
    found = psutil.process_iter(["cmdline", "environ"])
    return [
        p.pid
        for p in found
        if worker.__name__ in (p.info["cmdline"] or [])
        and (p.info["environ"] or {}).get(MARK) == os.environ[MARK]
    ]


def test_workers_read_a_loaders_files_only_if_they_hold_its_rows(stored, tmp_path):
    """The rows of a loader with `prepare` are written to new files beside the plan."""
    settings, prepared = written(stored)
    assert launch._data_folder(prepared, settings, tmp_path / "a") == str(loaders.prepared_folder(settings))
    own = LocalDataLoader(prepared.path, label="repurchased", prepare=lambda rows: rows.head(100))
    assert launch._data_folder(own, settings, tmp_path / "b") == ""
    assert loaders.prepared(settings, tmp_path / "b").count("train") == 100


def test_every_logged_value_is_a_mean_over_workers():
    """`log_dict` passes sync_dist=False itself; each worker would then keep another epoch."""
    seen = []
    worker._log_mean(
        lambda *_, **options: seen.append(options["sync_dist"]), "val_loss", 1.0, sync_dist=False
    )
    worker._log_mean(lambda *_, **options: seen.append(options["sync_dist"]), "x", 1.0, rank_zero_only=True)
    assert seen == [True, False]


@pytest.mark.usefixtures("forked_steps")
def test_two_processes_learn_what_one_does_from_each_row_once(trained_copy, tmp_path, monkeypatch):
    """02_train in a kernel with two gloo workers: each row once an epoch; losses and score are those of one process."""
    from sklearn.metrics import roc_auc_score

    seen, project = tmp_path / "seen", trained_copy.project
    seen.mkdir()
    params = {**project.settings().model.params, "folder": str(seen)}
    model = {"implementation": "toy_models:WitnessNetwork", "params": params}
    project.configure(model=model, train={"processes": 2, "accelerator": "cpu"})
    monkeypatch.setenv(config.CONFIG_ENV, str(project.config_file))
    outputs = notebooks.run("02_train")

    settings = project.settings()
    dataset = loaders.prepared(settings)
    train = dataset.load("train")[list(dataset.schema.features)].to_numpy("float32")
    expected = sorted(train.astype("float64").sum(1))
    orders = []
    for epoch in range(3):
        parts = [[float(v) for v in (seen / f"rank-{r}-epoch-{epoch}").read_text().split()] for r in (0, 1)]
        assert abs(len(parts[0]) - len(parts[1])) <= 1
        assert sorted(parts[0] + parts[1]) == pytest.approx(expected)
        orders.append(parts[0])
    assert orders[0] != orders[1] != orders[2]

    client = tracking.connect(settings)
    run = client.get_run(outputs.run_id)
    assert run.info.status == "FINISHED" and run.data.params["train.processes"] == "2"
    assert [file.path for file in client.list_artifacts(outputs.run_id) if "checkpoint" in file.path]
    both = (trained_copy.run_id, outputs.run_id)
    for metric, tolerance in (("val_loss", 0.01), ("train_loss", 0.03)):
        one, two = ([value for _, value in tracking.history(r, [metric])[metric]] for r in both)
        assert len(two) == 3 and two == pytest.approx(one, abs=tolerance)
    rows = dataset.load("test")
    one, two = (
        roc_auc_score(rows["repurchased"], wrappers.load(wrappers.uri_of_run(r)).predict(rows)) for r in both
    )
    assert two == pytest.approx(one, abs=0.01)


def test_a_killed_worker_ends_the_training_with_its_reason(stored):
    """The error names the first worker that failed, the run is FAILED, and no process is left."""
    settings, dataset = written(fragile(stored, "die"))
    with pytest.raises(TrainingError, match="Worker 1 of 2 was killed by SIGKILL"):
        wrappers.from_settings(settings).train(dataset, settings)
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert workers_running() == []


def test_the_port_where_workers_meet_is_taken_before_they_start(stored, tmp_path, monkeypatch):
    """No other program gets it in the seconds in which they import their packages."""
    meet = "import os, socket; socket.create_connection(('127.0.0.1', int(os.environ['MASTER_PORT'])))"
    start = subprocess.Popen
    replaced = lambda command, **options: start([sys.executable, "-c", meet], **options)
    monkeypatch.setattr(subprocess, "Popen", replaced)
    launch._run_here(stored.settings(train__processes=2), tmp_path)


def test_workers_end_with_a_killed_parent(stored):
    """After kill -9 of a kernel its workers end, even one that hangs."""
    written(fragile(stored, "sleep"))
    environment = {**os.environ, config.CONFIG_ENV: str(stored.config_file)}
    with open(os.devnull, "w") as null:
        parent = Forked(f"{train.__module__}:train", env=environment, error=null.fileno())
    until(lambda: len(workers_running()) == 2 or parent.poll() is not None, "two workers run")
    assert parent.poll() is None
    parent.kill()
    parent.wait()
    until(lambda: workers_running() == [], "the workers end")


def test_too_many_processes_are_refused_before_one_starts(stored):
    """More processes than rows, and more than half of a batch's rows."""
    settings, dataset = written(
        stored, train__processes=500, train__batch_size=1000, train__accelerator="cpu"
    )
    with pytest.raises(TrainingError, match="'validation' has .* rows, which 500 processes cannot share"):
        wrappers.from_settings(settings).train(dataset, settings)
    with pytest.raises(ConfigError, match="batch_size is shared by 50 processes: make it 100 rows or more"):
        stored.settings(train__processes=50)


def test_a_failed_worker_writes_its_error(tmp_path):
    """The error (here: no launcher) is in the file that a parent or Kubernetes reads, and in the log."""
    written_error = tmp_path / "error"
    result = subprocess.run(
        [sys.executable, "-m", worker.__name__, tmp_path], env={**os.environ, worker.ERROR_FILE_ENV: str(written_error)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1 and "Traceback" in result.stderr
    assert written_error.read_text().startswith(
        "The launcher must set MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE."
    )


def test_a_batch_of_one_row_is_refused_where_batch_normalisation_would_fail(stored):
    """Two processes with batches of two rows: a share of an odd number of rows has a batch of one beside a full one."""
    stored.configure(model={"implementation": "toy_training:Scheduled", "params": {}})
    settings, _ = written(stored, train__processes=2, train__batch_size=4, train__accelerator="cpu")
    network = torch.nn.Sequential(torch.nn.BatchNorm1d(2))
    for rows, refused in ((7, True), (8, False), (9, False), (10, False), (11, True), (2, True)):
        found = contextlib.nullcontext()
        if refused:
            found = pytest.raises(TrainingError, match=r"a batch of one row.*train\.batch_size: 6 or more")
        with found:
            launch._require_two_rows(network, rows, settings)
    launch._require_two_rows(torch.nn.Linear(1, 1), 7, settings)
    wider = settings.model_copy(update={"train": settings.train.model_copy(update={"batch_size": 6})})
    for rows in range(6, 60):
        launch._require_two_rows(network, rows, wider)
