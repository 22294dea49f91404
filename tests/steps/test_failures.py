"""A failure leaves a record: the notebook up to that cell, the run marked, nothing half-registered, a clean next run."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from mlops_lib import notebooks, registry, tracking
from mlops_lib.errors import MlopsError, NotebookError
from mlops_lib.files import sha256
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps.events import CellDone
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from mlops_lib.steps.record import send_kept
from mlops_lib.steps.table import STEPS
from pipelines import interrupts, local
from pipelines.local_run import LocalRun
from tests import toy_notebooks
from tests.support import warm
from tests.support.servers import mlflow_server
from tests.support.waiting import LIMIT_S, until

FIRST_CELL = "print('this was done' + ' before')"
SEEN = "this was done before"
REACHED = "from pathlib import Path\nimport time\nPath('reached').touch()\n"
#: Runs one notebook as a pipeline step does, in a process of its own.
STEP = "from mlops_lib.notebooks import run; run('01_get_data', parent_run_id={!r})"


def slow(test):
    """Mark a test that runs steps: as forks, which is how `mlops run` starts them."""
    return pytest.mark.slow(pytest.mark.usefixtures("forked_steps")(test))


def record_of(settings, run_id):
    """The text of the HTML that MLflow keeps, and the run's status."""
    client = tracking.connect(settings)
    files = [file.path for file in client.list_artifacts(run_id, "notebooks")]
    assert sorted(files) == ["notebooks/01_get_data.html", "notebooks/01_get_data.ipynb"]
    page = Path(client.download_artifacts(run_id, "notebooks/01_get_data.html")).read_text()
    run, executed = client.get_run(run_id), client.download_artifacts(run_id, "notebooks/01_get_data.ipynb")
    assert run.data.tags["mlops.record_sha256.01_get_data"] == sha256(Path(executed))
    return page, run.info.status


def runs(settings):
    """All runs of the project's experiment, newest first."""
    client = tracking.connect(settings)
    experiment = client.get_experiment_by_name(settings.mlflow.experiment)
    return client.search_runs([experiment.experiment_id])


def mlops_run(toy):
    """`mlops run`, started, and the file of what it prints."""
    printed = toy.root / "printed"
    with printed.open("w") as file:
        variables = {**os.environ, "COLUMNS": "200"}
        return warm.start(["mlops", "run"], toy.root, variables, file.fileno(), file.fileno()), printed


def is_clean(toy):
    """The next run of the step works, and nothing is in the registry."""
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA)
    settings = toy.settings()
    run_id = tracking.open_parent(settings)
    outputs = notebooks.run("01_get_data", parent_run_id=run_id)
    status = tracking.connect(settings).get_run(run_id).info.status
    return outputs.train_rows == 2 and status == "FINISHED" and registry.Registry(settings).names() == []


@slow
@pytest.mark.parametrize(
    ("cell", "sections", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {}, "kernel of 01_get_data died"),
        ("import time; time.sleep(600)", {"pipeline": {"cell_timeout_s": 10}}, "longer than pipeline.cell_timeout_s"),
    ],
    ids=["kernel killed", "time-out"],
)  # fmt: skip
def test_a_notebook_that_is_stopped_keeps_what_it_had(toy, cell, sections, said):
    """A killed kernel and a time-out: the first cell's output is in MLflow, under what stopped the second."""
    toy.configure(**sections)
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, cell)
    settings = toy.settings()
    run_id = tracking.open_parent(settings)
    with pytest.raises(NotebookError, match=said) as error:
        notebooks.run("01_get_data", parent_run_id=run_id)
    assert "notebooks/01_get_data.html" in str(error.value)
    page, status = record_of(settings, run_id)
    assert SEEN in page and said.split()[0] in page and "did not finish" in page
    assert status == "FAILED"
    toy.configure(pipeline={"cell_timeout_s": 0})
    assert is_clean(toy)


@slow
def test_what_was_killed_leaves_no_run_running(toy):
    """kill -9 while training writes to its own run: that run could not end itself, so it is FAILED with its parent."""
    train = """
import os
from mlops_lib import config, tracking
with tracking.child_run(config.load(), "train-model", parent_run_id, {}) as run:
    os.kill(os.getpid(), 9)
"""
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, train)
    with pytest.raises(NotebookError, match="died"):
        notebooks.run("01_get_data", parent_run_id=tracking.open_parent(toy.settings()))
    assert [run.info.status for run in runs(toy.settings())] == ["FAILED", "FAILED"]


@slow
def test_a_cached_run_ends_too(toy, monkeypatch, tmp_path):
    """On a cluster, where 01_get_data opens the run: cached or not, it is FINISHED and has its outputs."""
    for name, value in StepCacheMode(lookup=True).to_env().items():
        monkeypatch.setenv(name, value)
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA)
    made = [notebooks.run("01_get_data", data=str(tmp_path / pod / "data")) for pod in ("pod1", "pod2")]
    found = {run.info.run_id: run for run in runs(toy.settings())}
    assert len({outputs.parent_run_id for outputs in made} & set(found)) == 2
    for run in found.values():
        assert run.info.status == "FINISHED" and run.data.metrics["01_get_data.train_rows"] == 2
    assert "mlops.notebook_sha256.01_get_data" not in found[made[1].parent_run_id].data.tags


@slow
def test_a_loader_that_raises_is_on_record(toy):
    """A loader of the user's own cannot read its source: `mlops run` shows the notebook's error, with its record."""
    (toy.root / "bad_loader.py").write_text(
        "from mlops_lib.loaders.files import LocalDataLoader\n"
        "class Bad(LocalDataLoader):\n"
        "    def fingerprint(self):\n"
        "        raise ValueError('no such bucket')\n"
    )
    toy.configure(data={"loader": "bad_loader:Bad"})
    read = "from mlops_lib import config, loaders; loaders.from_settings(config.load()).fingerprint()"
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, read)
    result = toy.mlops("run", warm=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert "ValueError: no such bucket" in result.stderr
    (run,) = runs(toy.settings())
    page, status = record_of(toy.settings(), run.info.run_id)
    assert SEEN in page and status == "FAILED"


@slow
def test_an_interrupt_between_two_steps_stops_the_next(toy, monkeypatch):
    """Nothing was there to stop when the signal came: the step that starts next is stopped, on record."""
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA)
    stop_step, told, sent = interrupts.stop_child_steps, [], []

    def nothing_to_stop_at_first():
        told.append(len(told))
        if len(told) > 1:
            stop_step()

    def interrupt_once(event):
        # The handler may run after the step's next event, and a second signal would end the run at once.
        if isinstance(event, CellDone) and event.step == "get-data" and not sent:
            sent.append(event)
            os.kill(os.getpid(), signal.SIGINT)

    toy_notebooks.replace(toy.root, "02_train", "import time; time.sleep(300)")
    monkeypatch.setattr(interrupts, "stop_child_steps", nothing_to_stop_at_first)
    with pytest.raises(KeyboardInterrupt, match="Interrupted. Continue it with: mlops run --resume"):
        local.run_local(toy.settings(), toy.config_file, {}, interrupt_once)
    (run,) = runs(toy.settings())
    assert told == [0, 1] and run.info.status == "KILLED"
    assert run.data.metrics["01_get_data.train_rows"] == 2


@pytest.mark.slow
def test_a_run_that_another_process_holds_is_not_opened_again(toy):
    """That one may have set the status that the run ends with a moment ago: nobody would set it again."""
    settings = toy.settings()
    run_id = tracking.open_parent(settings, {tracking.ARGUMENTS_TAG: "{}"})
    client = tracking.connect(settings)
    client.set_terminated(run_id, "FINISHED")
    work = settings.path(settings.pipeline.work_dir)
    run = LocalRun(settings, toy.config_file, run_id, {}, "subprocess", StepCacheMode(), print)
    with run.held(), pytest.raises(MlopsError, match="still running"):
        local.run_local(settings, toy.config_file, {}, resume=run_id)
    assert client.get_run(run_id).info.status == "FINISHED"
    with pytest.raises(MlopsError, match="no-such-run cannot be resumed"):
        local.run_local(settings, toy.config_file, {}, resume="no-such-run")
    assert not (work / "runs" / "no-such-run").exists()


@slow
def test_an_interrupted_pipeline_is_killed_on_record(toy):
    """One Ctrl-C to `mlops run`: it waits for the step's record, and the run is KILLED, not left RUNNING."""
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, REACHED + "time.sleep(300)")
    process, printed = mlops_run(toy)
    until((toy.root / "reached").exists, "the second cell")
    (run,) = runs(toy.settings())
    second = toy.mlops("run", "--resume", run.info.run_id, warm=True)
    assert second.returncode == 1 and f"Run {run.info.run_id} is still running" in second.stderr
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) != 0
    output = printed.read_text()
    assert "Traceback" not in output
    settings = toy.settings()
    (run,) = runs(settings)
    assert run.info.status == "KILLED"
    assert SEEN in record_of(settings, run.info.run_id)[0]
    assert f"mlops run --resume {run.info.run_id}" in output
    assert is_clean(toy)


@slow
def test_a_full_disk_under_the_temporary_files_is_a_clear_error(toy, tmp_path):
    """The executed notebook itself cannot be written: the error says so and the run is FAILED."""
    full = tmp_path / "full"
    full.mkdir()
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, "print('x' * 10**7)")
    settings = toy.settings()
    run_id = tracking.open_parent(settings)
    result = in_small_disk(full, STEP.format(run_id), toy, TMPDIR=str(full))
    assert "NotebookError: 01_get_data cannot be written" in result.stderr
    assert tracking.connect(settings).get_run(run_id).info.status == "FAILED"


#: Run with `in_small_disk`.
RUN = "from mlops_lib.cli.app import main; import sys; sys.argv = ['mlops', 'run']; main()"
#: Leaves not a byte free on the work folder's disk.
FILL = """
from mlops_lib import config, loaders
try:
    with open(loaders.prepared_folder(config.load()).parent / "rows", "wb", buffering=0) as rows:
        while rows.write(bytes(4096)):
            pass
except OSError as error:
    said = str(error)
"""


@pytest.fixture
def small_disk(toy, tmp_path):
    """A folder that `in_small_disk` makes a disk of one megabyte: the toy's work folder, MLflow being elsewhere."""
    full = tmp_path / "full"
    full.mkdir()
    toy.configure(pipeline={"work_dir": str(full)}, mlflow={"tracking_uri": store(toy)})
    return full


@slow
def test_a_pipeline_whose_disk_is_full_says_so(toy, small_disk):
    """`mlops run` with no room for its own log: the step's error, the run FAILED, the next one clean."""
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, FILL + "raise OSError(said)")
    result = in_small_disk(small_disk, RUN, toy)
    settings = toy.settings()
    (run,) = runs(settings)
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert "OSError: [Errno 28] No space left on device" in result.stderr
    assert f"Run {run.info.run_id}\n" in result.stderr and run.info.status == "FAILED"
    assert "--resume" not in result.stderr  # no step has finished
    page, _ = record_of(settings, run.info.run_id)
    assert SEEN in page and "No space left on device" in page
    assert is_clean(toy)


@slow
def test_a_step_that_cannot_be_cached_has_not_failed(toy, small_disk):
    """The disk is full when the work is done: outputs are handed on, and no half-written entry is left."""
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA, FILL)
    run_id = tracking.open_parent(toy.settings())
    after = "; from pathlib import Path; print([str(f) for f in Path({!r}).rglob('*.partial')])"
    result = in_small_disk(small_disk, STEP.format(run_id) + after.format(str(small_disk)), toy)
    assert result.returncode == 0, result.stderr
    assert "Not cached" in result.stdout and result.stdout.splitlines()[-1] == "[]"
    run = tracking.connect(toy.settings()).get_run(run_id)
    assert run.info.status == "FINISHED" and run.data.metrics["01_get_data.train_rows"] == 2


def in_small_disk(folder, code, toy, **environment):
    """Run Python code where `folder` is a disk of one megabyte."""
    mount = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    return subprocess.run(
        [*command, sys.executable, "-c", code],
        cwd=toy.root, env={**os.environ, FORK_SERVER_ENV: "", **environment},  # the forks' disk is another
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


@pytest.fixture
def leaving(toy, monkeypatch):
    """Makes a context in which the project's MLflow is a server. After it, the server is gone."""

    @contextmanager
    def leaving():
        with mlflow_server(store(toy), f"{toy.root}/artifacts") as address:
            monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
            yield

    return leaving


def store(toy):
    """The file of the project's MLflow, which outlives a server."""
    return f"sqlite:///{toy.root}/.mlops/mlflow.db"


@slow
def test_a_pipeline_whose_mlflow_goes_away_says_so(toy, leaving, monkeypatch):
    """`mlops run`, the server dying in the second step: its error, its record, how to go on, and a clean next run."""
    wait = REACHED + "while not Path('go').exists(): time.sleep(0.1)\nraise RuntimeError('and then this')"
    toy_notebooks.replace(toy.root, "01_get_data", toy_notebooks.DATA)
    toy_notebooks.replace(toy.root, "02_train", FIRST_CELL, wait)
    with leaving():
        process, printed = mlops_run(toy)
        until((toy.root / "reached").exists, "the second cell")
    (toy.root / "go").touch()
    status, output = process.wait(LIMIT_S), printed.read_text()
    assert status == 1 and "Traceback" not in output, output
    assert "RuntimeError: and then this" in output and "MLflow could not keep it" in output
    assert "mlops run --resume " in output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store(toy))
    send_kept(toy.settings())
    assert [run.info.status for run in runs(toy.settings())] == ["FAILED"]
    assert is_clean(toy)


@slow
def test_mlflow_going_away_in_the_middle_costs_no_record(toy, leaving, monkeypatch):
    """The server dies while a cell runs: the notebook is kept here, and the next run is clean once MLflow is back."""
    wait = REACHED + "while not Path('go').exists(): time.sleep(0.1)"
    toy_notebooks.replace(toy.root, "01_get_data", FIRST_CELL, wait, toy_notebooks.DATA)
    with leaving():
        run_id = tracking.open_parent(toy.settings())
        process = subprocess.Popen(
            [sys.executable, "-c", STEP.format(run_id)], cwd=toy.root,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        until((toy.root / "reached").exists, "the second cell")
    (toy.root / "go").touch()
    output = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode != 0
    kept = toy.root / ".mlops" / "records" / run_id / "notebooks"
    assert (
        SEEN in (kept / "01_get_data.ipynb").read_text() and SEEN in (kept / "01_get_data.html").read_text()
    )
    assert "MLflow could not keep it" in output and "its outputs cannot be logged" in output
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store(toy))
    settings = toy.settings()
    assert tracking.connect(settings).get_run(run_id).info.status == "RUNNING"
    send_kept(settings)
    page, status = record_of(settings, run_id)
    assert SEEN in page and status == "FAILED" and not kept.exists()
    assert is_clean(toy)


@slow
def test_a_failed_pipeline_resumes_after_its_last_finished_step(toy):
    """Fail, mend, resume, run again: no step that finished is run twice, and one run holds it all."""
    for step, cell in zip(
        STEPS, (toy_notebooks.DATA, toy_notebooks.TRAIN, toy_notebooks.EVALUATE), strict=False
    ):
        toy_notebooks.replace(toy.root, step.notebook, cell)
    (toy.root / "broken").touch()
    arguments = ("--limit", "7", "--max-epochs", "3", "--seed", "2", "--threshold", "0.9")
    first = toy.mlops("run", *arguments, warm=True)
    assert first.returncode == 1 and "Traceback" not in first.stderr
    error = "RuntimeError: somebody must mend this first\nRemove the file broken.\nIts record: "
    assert error in first.stderr  # all lines of the error, and then where to read on
    run_id = first.stderr.partition("mlops run --resume ")[2].split()[0]
    client = tracking.connect(toy.settings())
    assert client.get_run(run_id).info.status == "FAILED"

    (toy.root / "broken").unlink()
    resumed = toy.mlops("run", "--resume", run_id, warm=True)
    assert resumed.returncode == 3, resumed.stderr  # these notebooks refuse
    assert resumed.stderr.count("get-data        hit: finished in this run before") == 1
    assert "train-model     miss: because it has not run before" in resumed.stderr
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED" and run.data.tags["mlops.arguments"].count('"limit": 7')

    rows = client.get_metric_history(run_id, "01_get_data.train_rows")
    assert len(rows) == 1  # and not a second time by the resumed run

    folders = sorted((toy.root / ".mlops" / "runs").iterdir())
    again = toy.mlops("run", *arguments, PYTHONPROFILEIMPORTTIME="1")
    assert again.stderr.count("hit: nothing changed since run") == 3
    # No step was started, and the first process did not import these, which takes seconds.
    assert sorted((toy.root / ".mlops" / "runs").iterdir()) == folders
    imported = {line.split("|")[-1].strip() for line in again.stderr.splitlines()}
    assert not imported & {"mlflow", "kfp.dsl", "papermill", "sklearn"}
    assert "Traceback" not in again.stderr and again.returncode == 3

    anew = toy.mlops("run", *arguments, "--no-cache", warm=True)
    assert "hit:" not in anew.stderr and anew.stderr.count(" done, ") == 3 and anew.returncode == 3


def test_what_a_concurrent_run_made_a_moment_ago_is_no_error(stored):
    """Two first runs of a project make the same experiment; whoever is second goes on with it."""
    client = tracking.connect(stored.settings())
    with pytest.raises(MlflowException, match="already exists"):
        client.create_experiment("repurchase")
    with tracking.made_meanwhile():
        client.create_experiment("repurchase")
    with tracking.made_meanwhile():
        client.create_registered_model("twice")
        client.create_registered_model("twice")
    with pytest.raises(MlflowException), tracking.made_meanwhile():
        client.create_experiment("")
