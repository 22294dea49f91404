"""The fork server of a local run: fresh processes that share nothing but the imports, and no harm when it dies."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile

import pytest

from mlops_lib import notebooks, tracking
from mlops_lib.errors import ContractError, MlopsError, NotebookError
from mlops_lib.step_cache import key
from mlops_lib.steps import fork_client, record
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from tests import toy_notebooks
from tests.support.waiting import LIMIT_S, until

#: Glues the outputs of 03_evaluate.
GLUE = "from mlops_lib import notebooks\nnotebooks.glue(score=0.75, threshold=0.5, passed=True)"
#: Writes facts about the kernel's process to a file.
REPORT = """
import json, os, random, sys, numpy
from pathlib import Path
facts = dict(pid=os.getpid(), parent=os.getppid(), random=random.random(), numpy=numpy.random.random(),
             folder=os.getcwd(), toy=os.environ.get("TOY", ""), seen=hasattr(sys, "toy_mark"),
             server=os.environ.get("MLOPS_FORK_SERVER", ""))
sys.toy_mark = True
os.environ["TOY"] = "set by a kernel"
numpy.toy_mark = True
Path(REPORT_FILE).write_text(json.dumps(facts))
"""


@pytest.fixture
def fork_server():
    """A fork server to kill, without a model's packages; gives its process id."""
    with fork_client.server(()):
        yield server_pid()


def server_pid():
    """The newest child of this process that is a fork server."""
    found = subprocess.run(
        ["pgrep", "-n", "-P", str(os.getpid()), "-f", "mlops_lib.steps.fork_server"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(found.stdout)


def kill(pid):
    """kill -9, and wait until nobody listens."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def report_of(toy, name, **parameters):
    """Run 03_evaluate with the cell that reports, and give its facts."""
    file = toy.root / name
    toy_notebooks.replace(toy.root, "03_evaluate", f"REPORT_FILE = {str(file)!r}", REPORT, GLUE)
    outputs = notebooks.run("03_evaluate", **parameters)
    assert outputs.score == 0.75
    return json.loads(file.read_text())


@pytest.mark.slow
def test_no_step_sees_what_another_left(toy, forked_steps, monkeypatch):
    """Two kernels of one server: marks in `sys`, numpy and the environment of the first are not in the second."""
    first = report_of(toy, "first")
    monkeypatch.setenv("TOY", "of the second")
    second = report_of(toy, "second")
    assert first["pid"] != second["pid"] and first["parent"] != second["parent"] != os.getpid()
    assert not first["seen"] and not second["seen"]
    assert (first["toy"], second["toy"]) == ("", "of the second")
    assert first["random"] != second["random"] and first["numpy"] != second["numpy"]
    assert first["folder"] == second["folder"] == str(toy.root)
    assert first["server"] == second["server"] == ""


def known_digests():
    """Digests of code that this process has from before."""
    return key.digest_of_code.cache_info().currsize


@pytest.mark.slow
def test_the_key_of_a_step_has_the_library_that_the_server_imported(forked_steps):
    """The library may be edited during a run: a step that runs the old code must not be stored as one of the new."""
    assert fork_client.run(known_digests) == 1


def compiled_templates():
    """Templates of a record's page that this process has from before."""
    return len(record._exporter().environment.cache)


@pytest.mark.slow
def test_a_step_has_the_page_of_its_record_compiled(forked_steps):
    """Each step would compile it again, for half a second."""
    assert fork_client.run(compiled_templates) > 0


@pytest.mark.slow
def test_errors_are_those_of_a_cold_step(toy, forked_steps):
    """A raising cell, a killed kernel and a bad parameter, each with its class and its record."""
    with pytest.raises(ContractError, match="threshold has value 'high'"):
        notebooks.run("03_evaluate", threshold="high")
    toy_notebooks.replace(toy.root, "03_evaluate", "raise ValueError('no purchases')", GLUE)
    with pytest.raises(
        NotebookError, match=r"failed in cell In \[\d\]: ValueError: no purchases\nIts record: "
    ):
        notebooks.run("03_evaluate")
    toy_notebooks.replace(toy.root, "03_evaluate", "import os; os.kill(os.getpid(), 9)", GLUE)
    with pytest.raises(NotebookError, match="kernel of 03_evaluate died"):
        notebooks.run("03_evaluate")


@pytest.mark.slow
def test_a_dead_server_costs_only_time(toy, fork_server):
    """kill -9 between two steps: the next one runs in its own process."""
    assert report_of(toy, "first")["parent"] != os.getpid()
    kill(fork_server)
    assert report_of(toy, "cold")["parent"] == os.getpid()


@pytest.mark.slow
def test_a_server_that_dies_before_the_first_step_calls_nothing(fork_server):
    """The caller then calls the function itself."""
    kill(fork_server)
    with pytest.raises(fork_client.NoServerError):
        fork_client.run(os.getpid)


@pytest.mark.slow
def test_a_server_that_dies_when_asked_calls_nothing(fork_server, monkeypatch):
    """Stopped, so that it holds the request without an answer, and then killed."""
    os.kill(fork_server, signal.SIGSTOP)
    sent = []

    def kill_after_request(connection, length=sys.maxsize):
        if not sent:
            sent.append(True)
            kill(fork_server)
        return receive(connection, length)

    receive = fork_client.receive
    monkeypatch.setattr(fork_client, "receive", kill_after_request)
    with pytest.raises(fork_client.NoServerError):
        fork_client.run(os.getpid)
    assert sent


def test_a_server_that_the_environment_names_is_used(monkeypatch, tmp_path):
    """A run in a run, say: no second one is started, and the first one stays."""
    monkeypatch.setenv(FORK_SERVER_ENV, "/of/the/outer/run")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with fork_client.server(()):
        assert not list(tmp_path.iterdir())
    assert os.environ[FORK_SERVER_ENV] == "/of/the/outer/run"


def test_an_address_without_a_server_calls_nothing(monkeypatch, tmp_path):
    """The folder of the socket is gone, for example."""
    monkeypatch.setenv(FORK_SERVER_ENV, str(tmp_path / "gone"))
    with pytest.raises(fork_client.NoServerError):
        fork_client.run(os.getpid)


def test_a_temporary_folder_with_a_long_path_is_no_error(tmp_path, monkeypatch):
    """The file of a socket may have about a hundred characters: then there is no server, and steps start cold."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with fork_client.server(()):
        assert FORK_SERVER_ENV not in os.environ
    assert not list(folder.iterdir())


@pytest.mark.slow
def test_a_caller_with_a_thousand_open_files_is_served(monkeypatch):
    """The server's socket keeps the caller's number, and `select` refuses numbers from 1024."""
    monkeypatch.delenv(FORK_SERVER_ENV, raising=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        while files.enter_context(open(os.devnull)).fileno() < 1024:
            pass
        files.enter_context(fork_client.server(()))
        assert fork_client.run(os.getpid) != os.getpid()


@pytest.mark.slow
def test_the_server_ends_with_its_runner(tmp_path):
    """kill -9 of the runner closes the pipe that keeps the server alive."""
    code = (
        "import os, time\n"
        "from mlops_lib.steps import fork_client\n"
        "with fork_client.server(()):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as runner:
        runner.stdout.readline()
        found = subprocess.run(["pgrep", "-P", str(runner.pid)], capture_output=True, text=True, check=True)
        runner.kill()
    until(lambda: not os.path.exists(f"/proc/{int(found.stdout)}"), "the fork server ends with its runner")


@pytest.mark.slow
def test_sigterm_to_the_caller_reaches_the_step(toy, forked_steps):
    """As `mlops run` stops a step: the caller forwards the signal, and the run is KILLED with its record."""
    settings = toy.settings()
    run_id = tracking.open_parent(settings)
    wait = "from pathlib import Path\nimport time\nPath('reached').touch()\ntime.sleep(300)"
    toy_notebooks.replace(toy.root, "03_evaluate", "print('this was done' + ' before')", wait)
    code = f"from mlops_lib.notebooks import run; run('03_evaluate', parent_run_id={run_id!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as caller:
        until(lambda: (toy.root / "reached").exists() or caller.poll() is not None, "the cell runs")
        assert caller.poll() is None
        caller.send_signal(signal.SIGTERM)
        output = caller.communicate(timeout=LIMIT_S)[0]
    assert "KeyboardInterrupt" in output and "was interrupted" in output
    client = tracking.connect(settings)
    assert client.get_run(run_id).info.status == "KILLED"
    assert len(client.list_artifacts(run_id, "notebooks")) == 2


@pytest.mark.slow
def test_a_step_that_is_killed_takes_its_kernel_along(toy, forked_steps):
    """kill -9 of the fork that executes the notebook: an error of the step, and no kernel is left."""
    kill_parent = "import os\nopen('kernel', 'w').write(str(os.getpid()))\nos.kill(os.getppid(), 9)"
    toy_notebooks.replace(toy.root, "03_evaluate", kill_parent, "import time; time.sleep(600)", GLUE)
    with pytest.raises(MlopsError, match="process of the step was killed"):
        notebooks.run("03_evaluate")
    kernel = (toy.root / "kernel").read_text()
    until(lambda: not os.path.exists(f"/proc/{kernel}"), "the kernel ends with its step")
